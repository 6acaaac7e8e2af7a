"""Recording of an upstream's answers to a file, and replay.

A tape is a JSON Lines file with one exchange per line: the request's body, and the
status, code, content type and bytes of the answer (for a stream, one item per event).
Bytes that are not UTF-8 are preserved. It has no headers, and therefore no keys.
"""

from __future__ import annotations

import functools
import json
import os
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from langchain_pmock.testing._body import shown, validate
from langchain_pmock.testing._http import Response
from langchain_pmock.testing._script import HeaderText, Status  # noqa: TC001 - pydantic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_pmock.testing._script import RecordedRequest

Json = dict[str, Any]
Leaves = tuple[tuple[str, str], ...]

_BAD_GATEWAY = 502
_LEFT_OUT = "left out"


class _Exchange(BaseModel, strict=True, extra="forbid"):
    request: Json
    status: Status
    code: int | None
    type: HeaderText
    answer: list[str]


class Tape:
    """Replays a tape."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.end = 0  # of the last line that is not cut off, in bytes
        self._exchanges: dict[Leaves, list[tuple[int, _Exchange]]] = {}
        self._played: Counter[Leaves] = Counter()
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
                    warnings.warn(message, stacklevel=4)
                else:
                    self.end += len(line)

    def rewind(self) -> None:
        self._played.clear()

    def take(self, body: Json) -> Response | None:
        """Return the next answer to a request; None if there is none left."""
        key = _key(body)
        number, exchanges = self._played[key], self._exchanges.get(key, [])
        if number == len(exchanges):
            return None
        self._played[key] += 1
        _, found = exchanges[number]
        steps = (text.encode("utf-8", "surrogateescape") for text in found.answer)
        return Response([*steps], status=found.status, code=found.code, type=found.type)

    def explain(self, body: Json) -> str:
        """Explain a missing request, with the most similar one on the tape."""
        key = _key(body)
        if times := len(self._exchanges.get(key, [])):
            return f"{times} answers to this request are on the tape, and all are used"
        if not self._exchanges:
            return f"the tape {self.path} is empty"
        nearest = min(self._exchanges, key=lambda other: len({*key} ^ {*other}))
        line, asked, taped = self._exchanges[nearest][0][0], dict(key), dict(nearest)
        differences = [
            f"{path} is {shown(asked.get(path, _LEFT_OUT))} in the request, "
            f"{shown(taped.get(path, _LEFT_OUT))} on the tape"
            for path in taped | asked
            if asked.get(path) != taped.get(path)
        ]
        where = f"the tape {self.path} does not have this request; nearest is line"
        return f"{where} {line}: {'; '.join(differences[:3])}"


class Recorder:
    """Adds answers to a new tape, or to the one that is replayed."""

    def __init__(self, path: str | os.PathLike[str], replayed: Tape | None) -> None:
        self._path = Path(path)
        self._path.parent.stat()  # A missing folder is an error now, not later.
        if not self._path.exists() or not self._path.stat().st_size:
            return
        if replayed is None or not self._path.samefile(replayed.path):
            message = f"{path} has a recording already: delete it, or set replay to it"
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
            self._write(request, response, [response.content])
        return response

    async def _kept(
        self, request: RecordedRequest, response: Response, live: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        events: list[bytes] = []
        is_done = False
        async for sent in live:
            events.append(sent)
            if is_done := sent.removeprefix(b"data:").strip() == b"[DONE]":
                # Clients disconnect after it.
                self._write(request, response, events)
            yield sent
        if not is_done:
            self._write(request, response, events)

    def _write(
        self, request: RecordedRequest, response: Response, answer: list[bytes]
    ) -> None:
        if request.code == _BAD_GATEWAY:  # the upstream did not answer
            return
        exchange = {
            "request": request.body,
            "status": response.status,
            "code": request.code,
            "type": response.type,
            "answer": [part.decode("utf-8", "surrogateescape") for part in answer],
        }
        text = json.dumps(exchange, ensure_ascii=False) + "\n"
        private = functools.partial(os.open, mode=0o600)
        with open(self._path, "ab", opener=private) as file:
            # A byte that is not UTF-8 becomes an escape of JSON.
            file.write(text.encode(errors="backslashreplace"))


def _key(body: Json) -> Leaves:
    """Return the values of a request, with numbers in place of tool call ids."""
    numbers: defaultdict[str, str] = defaultdict(lambda: f"#{len(numbers) + 1}")
    messages = []
    for message in body["messages"]:
        copy = dict(message)
        if calls := message.get("toolCalls"):
            copy["toolCalls"] = [{**call, "id": numbers[call["id"]]} for call in calls]
        if call_id := message.get("toolCallId"):
            copy["toolCallId"] = numbers[call_id]
        messages.append(copy)
    return tuple(sorted(_leaves({**body, "messages": messages})))


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the values in a JSON document, as JSON, with their paths."""
    if value and isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, f"{path}.{name}".lstrip("."))
    elif value and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")
    else:
        yield path, json.dumps(value, ensure_ascii=False)
