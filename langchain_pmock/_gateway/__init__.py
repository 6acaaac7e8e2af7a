"""The HTTP client: the only subpackage that uses httpx."""
