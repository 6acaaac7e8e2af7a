"""Names in snake_case, as Python has them, and in camelCase, as the wire does."""

from __future__ import annotations

from functools import cache, lru_cache


@cache
def camel_case(name: str) -> str:
    """Write a name of ours as the wire has it.

    Args:
        name: The name in snake_case.

    Returns:
        The name in camelCase.
    """
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


@lru_cache(maxsize=1024)  # The names are the service's: it may not know an end of them.
def snake_case(name: str) -> str:
    """Write a name of the service's as Python has it.

    Args:
        name: The name in camelCase.

    Returns:
        The name in snake_case.
    """
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
