"""A prompt goes down: LangChain's messages, tools and schemas become JSON."""
