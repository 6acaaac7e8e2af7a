"""Requests to the service, each within limits, and tolerant access to the answers."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import chain, islice, pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx2

from langchain_pmock._signature import read_date, sign

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

OK, UNAUTHORIZED, TOO_MANY = 200, 401, 429
INVALID = (400, 422)
BUSY = (408, TOO_MANY, *range(500, 600))  # the same request may soon succeed

_HELLO = {"role": "user", "content": "Reply with the word OK."}
_TOKENS = 500  # the limit of each answer
_WRONG_KEY = "langchain-pmock-check"
_DAY = 86_400
_LARGEST_ANSWER = 1_000_000  # bytes
_LONGEST_QUOTE = 200  # characters
_MOST_NAMES = 200  # of headers and fields, in the record of an exchange
_DEEPEST, _MOST_FIELDS = 10, 20_000  # levels and fields that are looked at


@dataclass
class Answer:
    """The answer to one request. Missing parts are empty; nothing raises."""

    sent_at: float = field(default_factory=time.time)  # Unix time in seconds
    status: int = 0  # 0 without a response
    headers: httpx2.Headers = field(default_factory=httpx2.Headers)
    content: bytearray = field(default_factory=bytearray)
    reads: int = 0  # the number of pieces of the content
    problem: str = ""  # the transport's error, or the limit that was exceeded

    def parse(self) -> None:
        """Collect the facts: each field as `path` and `path:type`, and some others."""
        content = bytes(self.content).removeprefix(b"\xef\xbb\xbf")
        lines = re.split(rb"\r\n|\r|\n", content)
        # Each line is an event, with blank lines or, as on the service's page, without.
        data = [line[5:].strip() for line in lines if line.startswith(b"data:")]
        parsed = [parse(each) for each in data if each not in (b"", b"[DONE]")]
        self.events = len(parsed)
        parsed = parsed if data else [parse(content)]
        envelopes = [value for value in parsed if isinstance(value, dict)]
        walks = chain.from_iterable(map(_walk, envelopes))
        fields = list(islice(walks, _MOST_FIELDS))
        self.paths = {path for path, _ in fields}
        self._values: defaultdict[str, list[Any]] = defaultdict(list)
        for path, value in fields:
            self._values[camel_case(path)].append(value)
        errors = [e for e in envelopes if "code" in e and number(e["code"]) != OK]
        errors = [e for e in errors if "choice" not in dict(_walk(e))]
        self.envelope: Json = next(iter(errors or envelopes), {})
        # The code of an error's envelope, else the HTTP status.
        self.number = number(self.envelope["code"]) if errors else self.status
        self.ok = self.number == OK and bool(self.all("choice")) and not self.problem
        texts = self.all("choice.message.content", "choice.delta.content")
        self.text = "".join(text for text in texts if isinstance(text, str))
        self.finish_reason = str(*self.all("choice.finishReason")[:1])
        is_true = {
            "[DONE]": b"[DONE]" in data,
            "only-JSON": None not in parsed,
            "only-envelopes": all("code" in envelope for envelope in envelopes),
            "blank-lines": not any(line and after for line, after in pairwise(lines)),
            "camelCase": not any("_" in path for path in self.paths),
            "code=200": number(self.envelope.get("code")) == OK,
            self.headers.get("content-type", "").partition(";")[0].lower(): True,
        }
        self.facts = {fact for fact, value in is_true.items() if value} | self.paths
        self.facts |= {f"{path}:{type(value).__name__}" for path, value in fields}

    def all(self, *paths: str) -> list[Any]:
        """Return the values of fields, in either spelling."""
        return [value for path in paths for value in self._values[path]]

    @property
    def clock_offset(self) -> float | None:
        """Seconds to add to this machine's clock, by the `Date` header."""
        if (seconds := read_date(self.headers.get("date", ""))) is None:
            return None
        # In whole seconds, written between sending and now.
        return min(max(0.0, seconds - time.time()), seconds + 1 - self.sent_at)

    @property
    def outcome(self) -> str:
        """What the service or the transport answered, in words."""
        values = map(self.headers.get, ("content-type", "location"))
        message = self.envelope.get("message") or self.envelope.get("error")
        message = message or ", ".join(filter(None, values))
        code = self.envelope.get("code")
        return self.problem or f"HTTP {self.status}, code {code}: {message}"


class Service:
    """Sends requests, records the exchanges, and redacts secrets."""

    def __init__(self, url: str, access_key: str, secret_key: str, model: str) -> None:
        self.model = model
        self.about = ""  # the question that the next requests belong to
        self.deadline = 0.0  # when their time is over, by the event loop's clock
        self.is_accepted = False  # whether a request was answered
        self.exchanges: list[Json] = []  # without texts
        self.client = httpx2.AsyncClient(timeout=httpx2.Timeout(None, connect=30))
        self.url = url
        self._access_key, self._secret_key = access_key, secret_key
        self._secrets = {access_key, secret_key}
        self._clock_offset = 0.0
        self._limits = ["maxTokens", "maxCompletionTokens"]  # the first one is sent

    async def ask(self, fields: Json, *, is_signed: bool) -> Answer:
        """Send a request with a limit of tokens, once more where that may help."""
        body = {"model": self.model, "messages": [_HELLO], **fields}
        secret_key = self._secret_key if is_signed else _WRONG_KEY
        is_signed_again, is_late = not is_signed, False
        while True:
            answer = await self._exchange(
                {**body, self._limits[0]: _TOKENS}, secret_key
            )
            self.is_accepted |= answer.ok
            if answer.number == UNAUTHORIZED and not is_signed_again:
                is_signed_again = True
                # No endpoint may obtain tokens for other days.
                offset = answer.clock_offset or 0.0
                self._clock_offset = offset if abs(offset) <= _DAY else 0.0
            elif answer.number in BUSY and not (answer.problem or is_late):
                is_late = True
                wait = number(answer.headers.get("retry-after", 2))
                left = self.deadline - asyncio.get_running_loop().time()
                await asyncio.sleep(min(wait, left))
            elif answer.number in INVALID and not self.is_accepted and self._limits[1:]:
                del self._limits[0]  # the model may refuse its name
            else:
                return answer

    def redact(self, text: str) -> str:
        """Redact the keys and all sent tokens, also in escaped form."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            for form in (secret, json.dumps(secret)[1:-1], quote(secret, safe="")):
                text = text.replace(form, "***")
        return text

    def quote(self, text: str) -> str:
        """Format what was found as one short line, without secrets."""
        text = "".join(c if c.isprintable() else " " for c in self.redact(text))
        text = " ".join(text.split())
        return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}..."

    async def _exchange(self, body: Json, secret_key: str) -> Answer:
        token = sign(self._access_key, secret_key, time.time() + self._clock_offset)
        self._secrets.add(token)
        headers = {
            b"Accept": b"text/event-stream" if body.get("stream") else b"*/*",
            b"wuinai-access-key": self._access_key.encode(),
            b"wuinai-access-token": token.encode(),
        }
        url, answer = f"{self.url}/ai/chat/completions", Answer()
        try:
            async with (
                asyncio.timeout_at(self.deadline),
                self.client.stream("POST", url, json=body, headers=headers) as response,
            ):
                answer.status, answer.headers = response.status_code, response.headers
                async for piece in response.aiter_bytes():
                    answer.content += piece
                    answer.reads += 1
                    if (length := len(answer.content)) > _LARGEST_ANSWER:
                        answer.problem = f"no end after {length:,} bytes"
                        break
        except TimeoutError:
            answer.problem = f"no end after {time.time() - answer.sent_at:.0f} s"
        except (httpx2.HTTPError, OSError, ValueError) as error:
            answer.problem = f"{type(error).__name__}: {error}"
        answer.parse()
        self.exchanges.append(
            {
                "check": self.about,
                "status": answer.status,
                "code": number(answer.envelope.get("code")),
                "seconds": round(time.time() - answer.sent_at, 3),
                "headers": sorted(set(answer.headers))[:_MOST_NAMES],
                "fields": sorted(answer.paths)[:_MOST_NAMES],
            }
        )
        return answer


def _walk(value: object, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield each field that is not null, with a path such as `choice.delta.content`."""
    path = "choice" if path in ("choices[]", "data.choices[]") else path
    if path and value is not None:
        yield path, value
    items: list[tuple[str, object]] = []
    if isinstance(value, list):
        items = [(f"{path}[]", item) for item in value]
    elif isinstance(value, dict):
        names = [n for n in value if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,39}", n)]
        items = [(f"{path}.{name}".lstrip("."), value[name]) for name in names]
    for inner, item in items if depth < _DEEPEST else ():
        yield from _walk(item, inner, depth + 1)


def camel_case(text: str) -> str:
    return re.sub("_([a-z])", lambda match: match[1].upper(), text)


def parse(content: bytes | str) -> object:
    """Parse JSON; `None` if it is not JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def number(value: Any) -> int:
    """Convert a number or a string to an `int`; 0 if that is not possible."""
    try:
        return int(value)
    except (OverflowError, TypeError, ValueError):
        return 0
