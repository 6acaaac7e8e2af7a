"""Recording of an upstream's answers to a file, and replay.

A tape is a JSON Lines file with one exchange per line: the request's body, and the
status, code, content type and bytes of the answer (for a stream, those of each event).
Bytes that are not UTF-8 are preserved. It has no headers, and therefore no keys.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from langchain_pmock.testing._body import validate
from langchain_pmock.testing._http import Response
from langchain_pmock.testing._script import HeaderText, Status  # noqa: TC001 - pydantic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_pmock.testing._script import RecordedRequest

Json = dict[str, Any]

_LONGEST_VALUE = 60
_LEFT_OUT = object()
_BAD_GATEWAY = 502


class _Exchange(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    request: Json
    status: Status
    code: int | None
    type: HeaderText
    body: str = ""
    events: list[str] | None = None


class Tape:
    """Replays a tape."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.end = 0  # of the last line that is not cut off, in bytes
        self._exchanges: dict[str, list[tuple[int, _Exchange]]] = {}
        self._played: Counter[str] = Counter()
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    if line.strip():
                        exchange = _Exchange.model_validate(json.loads(line))
                        validate(exchange.request, allow_reasoning=True)
                        key = _key(exchange.request)
                        self._exchanges.setdefault(key, []).append((number, exchange))
                except (ValueError, RecursionError) as error:
                    where = f"{path}, line {number}"
                    if line.endswith(b"\n"):
                        message = f"{where}: this is not a tape: {error}"
                        raise ValueError(message) from error
                    message = f"{where} is cut off; it is not replayed"
                    warnings.warn(message, stacklevel=3)
                else:
                    self.end += len(line)

    def rewind(self) -> None:
        """Start again from the beginning."""
        self._played.clear()

    def take(self, body: Json) -> Response | None:
        """Return the next answer to a request; None if there is none left."""
        key = _key(body)
        number, exchanges = self._played[key], self._exchanges.get(key, [])
        if number == len(exchanges):
            return None
        self._played[key] += 1
        _, found = exchanges[number]
        texts = [found.body] if found.events is None else found.events
        return Response(
            [text.encode("utf-8", "surrogateescape") for text in texts],
            status=found.status,
            code=found.code,
            type=found.type,
        )

    def explain(self, body: Json) -> str:
        """Explain a missing request, with the most similar one on the tape."""
        key = _key(body)
        if times := len(self._exchanges.get(key, [])):
            return f"{times} answers to this request are on the tape, and all are used"
        near = [
            (number, [*_differences(json.loads(key), json.loads(other))])
            for other, [(number, _), *_] in self._exchanges.items()
        ]
        if not near:
            return f"the tape {self.path} is empty"
        number, differences = min(near, key=lambda item: len(item[1]))
        return (
            f"the tape {self.path} does not have this request; "
            f"nearest is line {number}: {'; '.join(differences[:3])}"
        )


class Recorder:
    """Adds answers to a new tape, or to the one that is replayed.

    Raises:
        ValueError: If the file has another recording.
    """

    def __init__(self, path: str | os.PathLike[str], replayed: Tape | None) -> None:
        self._path = Path(path)
        self._path.parent.stat()  # A missing folder is an error now, not later.
        if not self._path.exists() or not self._path.stat().st_size:
            return
        if replayed is None or not self._path.samefile(replayed.path):
            message = (
                f"{path} has a recording already. Delete it to record anew, or set "
                "replay to the same file to add to it"
            )
            raise ValueError(message)
        content = self._path.read_bytes()
        if not content.endswith(b"\n"):
            self._path.write_bytes(content[: replayed.end] + b"\n")

    def keep(self, request: RecordedRequest, response: Response) -> Response:
        """Record an answer; a stream is recorded once it is complete."""
        if response.live is not None:
            response.live = self._kept(request, response, response.live)
        else:
            request.code = response.code
            self._write(request, response, body=_text(response.content))
        return response

    async def _kept(
        self, request: RecordedRequest, response: Response, live: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        events: list[str] = []
        is_done = False
        async for sent in live:
            events.append(_text(sent))
            is_done = sent.removeprefix(b"data:").strip() == b"[DONE]"
            if is_done:  # Clients disconnect after it.
                self._write(request, response, events=events)
            yield sent
        if not is_done:
            self._write(request, response, events=events)

    def _write(
        self, request: RecordedRequest, response: Response, **content: Any
    ) -> None:
        if request.code == _BAD_GATEWAY:  # the upstream did not answer
            return
        exchange = {
            "request": request.body,
            "status": response.status,
            "code": request.code,
            "type": response.type,
            **content,
        }
        text = json.dumps(exchange, ensure_ascii=False) + "\n"
        private = functools.partial(os.open, mode=0o600)
        with open(self._path, "ab", opener=private) as file:
            # A byte that is not UTF-8 becomes an escape of JSON.
            file.write(text.encode(errors="backslashreplace"))


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _key(body: Json) -> str:
    """Return a request's body as text, with numbers in place of tool call ids."""
    numbers: defaultdict[str, str] = defaultdict(lambda: f"#{len(numbers) + 1}")
    messages = []
    for message in body["messages"]:
        copy = dict(message)
        if calls := message.get("toolCalls"):
            copy["toolCalls"] = [{**call, "id": numbers[call["id"]]} for call in calls]
        if call_id := message.get("toolCallId"):
            copy["toolCallId"] = numbers[call_id]
        messages.append(copy)
    return json.dumps({**body, "messages": messages}, sort_keys=True)


def _differences(asked: Any, taped: Any, path: str = "") -> Iterator[str]:
    """Describe the values in which two JSON documents differ."""
    if isinstance(asked, dict) and isinstance(taped, dict):
        for name in {**taped, **asked}:
            values = asked.get(name, _LEFT_OUT), taped.get(name, _LEFT_OUT)
            yield from _differences(*values, f"{path}.{name}".lstrip("."))
    elif isinstance(asked, list) and isinstance(taped, list):
        pairs = itertools.zip_longest(asked, taped, fillvalue=_LEFT_OUT)
        for index, values in enumerate(pairs):
            yield from _differences(*values, f"{path}[{index}]")
    elif asked != taped:
        yield f"{path} is {_show(asked)} in the request, {_show(taped)} on the tape"


def _show(value: Any) -> str:
    if value is _LEFT_OUT:
        return "left out"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"
