"""The command `python -m langchain_pmock.check`: checks assumptions about the service.

It sends short requests with your keys, and prints what was expected and what was found.
It shares only the signature with `ChatPmock`: a mistake in more common code would go
unnoticed.
"""
