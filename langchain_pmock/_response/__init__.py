"""Tokens come up: JSON becomes LangChain's messages and chunks."""
