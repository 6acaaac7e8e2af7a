"""Bytes out, bytes in: the only folder that knows httpx."""
