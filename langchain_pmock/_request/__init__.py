"""Conversion of LangChain's messages, tools and schemas to JSON."""
