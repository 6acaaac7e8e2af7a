"""JSON as models write it: now and then with halves of characters in it."""

from __future__ import annotations

import json

from pydantic_core import from_json

UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)
"""What reading raises if an answer is not of the documented shape."""


class UnreadableError(ValueError):
    """Raised where an answer's shape is at fault; its text says how."""


def encode(value: object) -> bytes:
    """Write JSON in UTF-8.

    Args:
        value: What is to be sent.

    Returns:
        The JSON text's bytes.

    Raises:
        ValueError: If JSON has no form for something in it.
    """
    try:
        text = json.dumps(
            value, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )
    except (TypeError, ValueError) as error:
        msg = f"The request cannot be written as JSON: {error}"
        raise ValueError(msg) from error
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _whole_characters(text).encode()


def decode(payload: bytes) -> object:
    r"""Read JSON that is not quite right: bytes that are no UTF-8, half characters.

    Models write halves, as `\ud83d` in the arguments of a tool call, and pydantic's
    parser refuses them.

    Args:
        payload: The JSON text's bytes.

    Returns:
        The value. What is no character is replaced, as WHATWG decodes.

    Raises:
        ValueError: If it is no JSON.
    """
    try:
        value = json.loads(payload.decode("utf-8", "replace"))
    except RecursionError as error:
        msg = "it is nested too deeply"
        raise ValueError(msg) from error
    return from_json(_whole_characters(json.dumps(value, ensure_ascii=False)))


def _whole_characters(text: str) -> str:
    """Join halves that belong together, and replace those that stand alone."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
