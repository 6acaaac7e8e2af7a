"""Conversion of JSON to LangChain's messages and chunks."""
