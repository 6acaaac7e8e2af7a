"""`python -m langchain_pmock.check`: does the service work as this package assumes?

It asks the service in short requests, with your keys, and prints what was expected and
what was found. It uses neither `ChatPmock` nor the code under it, and splits streams
into events itself: a mistake that both shared would go unnoticed.
"""
