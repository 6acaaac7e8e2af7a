"""Recording of an upstream's answers to a file, and replay.

A tape is a JSON Lines file with one exchange per line: the request's body, and the
status, code, content type and bytes of the answer (for a stream, those of each event).
Bytes that are not UTF-8 are preserved. It has no headers, and therefore no keys.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_pmock.testing._wire import Response

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator

    from langchain_pmock.testing._script import RecordedRequest

Json = dict[str, Any]

_LONGEST_VALUE = 60


class Recorder:
    """Writes a tape. It replaces the file unless the same file is replayed."""

    def __init__(
        self, path: str | os.PathLike[str], replayed: str | os.PathLike[str] | None
    ) -> None:
        self._path = Path(path)
        is_replayed = replayed is not None and Path(replayed) == self._path
        self._mode = "ab" if is_replayed else "wb"

    def keep(self, request: RecordedRequest, response: Response) -> Response:
        """Record an answer; a stream is recorded once it is complete."""
        exchange = {
            "request": request.body,
            "status": response.status,
            "code": response.code,
            "type": response.headers["Content-Type"],
        }
        if response.live is not None:
            response.live = self._listen(request, exchange, response.live)
        else:
            self._write({**exchange, "body": _text(response.content)})
        return response

    async def _listen(
        self,
        request: RecordedRequest,
        exchange: Json,
        live: AsyncGenerator[bytes, None],
    ) -> AsyncGenerator[bytes, None]:
        events: list[str] = []
        async with contextlib.aclosing(live):
            async for sent in live:
                events.append(_text(sent))
                # Clients disconnect after it.
                is_done = sent.removeprefix(b"data:").strip() == b"[DONE]"
                if is_done:
                    self._write({**exchange, "code": request.code, "events": events})
                yield sent
                if is_done:
                    return
        self._write({**exchange, "code": request.code, "events": events})

    def _write(self, exchange: Json) -> None:
        text = json.dumps(exchange, ensure_ascii=False)
        try:
            line = text.encode()
        except UnicodeEncodeError:  # bytes that are not UTF-8
            line = json.dumps(exchange).encode()
        with self._path.open(self._mode) as file:
            file.write(line + b"\n")
        self._mode = "ab"


class Tape:
    """Replays a tape."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._exchanges: dict[str, list[Json]] = {}
        self._played: Counter[str] = Counter()
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    exchange = {**json.loads(line), "line": number}
                    key = _key(exchange["request"])
                    _answer(exchange)
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    message = f"{path}, line {number}: this is not a tape"
                    raise ValueError(message) from error
                self._exchanges.setdefault(key, []).append(exchange)

    def rewind(self) -> None:
        """Start again from the beginning."""
        self._played.clear()

    def take(self, body: Json) -> Response | None:
        """Return the next answer to a request; None if there is none left."""
        key = _key(body)
        number = self._played[key]
        exchanges = self._exchanges.get(key, [])
        if number == len(exchanges):
            return None
        self._played[key] += 1
        return _answer(exchanges[number])

    def explain(self, body: Json) -> str:
        """Explain a missing request, with the most similar one on the tape."""
        if found := self._exchanges.get(_key(body)):
            times = f"{len(found)} time{'s' if len(found) > 1 else ''}"
            return f"the tape {self._path} has this request {times}, and all are played"
        mine = _leaves(json.loads(_key(body)))
        near: list[tuple[int, int, list[str]]] = []
        for (exchange, *_), key in zip(
            self._exchanges.values(), self._exchanges, strict=True
        ):
            its = _leaves(json.loads(key))
            paths = [p for p in {**its, **mine} if its.get(p) != mine.get(p)]
            changes = [f"{p} is {_show(mine, p)}, not {_show(its, p)}" for p in paths]
            near.append((len(changes), exchange["line"], changes))
        if not near:
            return f"the tape {self._path} is empty"
        _, line, changes = min(near)
        return (
            f"the tape {self._path} does not have this request; "
            f"nearest is line {line}: {'; '.join(changes[:3])}"
        )


def _answer(exchange: Json) -> Response:
    texts = exchange["events"] if "events" in exchange else [exchange["body"]]
    return Response(
        [text.encode("utf-8", "surrogateescape") for text in texts],
        status=int(exchange["status"]),
        code=exchange["code"],
        headers={"Content-Type": str(exchange["type"])},
    )


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _key(body: Json) -> str:
    """Return a request's body as text, with numbers in place of tool call ids."""
    numbers: dict[str, str] = {}
    messages = []
    for message in body["messages"]:
        copy = dict(message)
        if "toolCalls" in copy:
            calls = [dict(call) for call in copy["toolCalls"]]
            for call in calls:
                call["id"] = numbers.setdefault(call["id"], f"#{len(numbers) + 1}")
            copy["toolCalls"] = calls
        if "toolCallId" in copy:
            copy["toolCallId"] = numbers.get(copy["toolCallId"], copy["toolCallId"])
        messages.append(copy)
    return json.dumps({**body, "messages": messages}, sort_keys=True)


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Return the values of a JSON document that are no containers, by their paths."""
    if isinstance(value, dict):
        items = [(f"{path}.{k}" if path else k, v) for k, v in value.items()]
    elif isinstance(value, list):
        items = [(f"{path}[{i}]", v) for i, v in enumerate(value)]
    else:
        return {path: value}
    return {p: leaf for at, item in items for p, leaf in _leaves(item, at).items()}


def _show(leaves: dict[str, Any], path: str) -> str:
    if path not in leaves:
        return "left out"
    text = json.dumps(leaves[path], ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"
