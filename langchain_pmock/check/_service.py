"""Requests to the service, and tolerant access to the answers."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from langchain_pmock.auth import (
    ACCESS_KEY_HEADER,
    ACCESS_TOKEN_HEADER,
    PmockAuth,
    read_date,
    sign,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Json = dict[str, Any]

OK, TIMEOUT, TOO_MANY = 200, 408, 429
HELLO = "Reply with the word OK."

_SERVER_ERRORS = range(500, 600)
_REDIRECTS = range(300, 400)
_BOM = b"\xef\xbb\xbf"
_LONGEST_ANSWER = 120.0  # seconds
_LARGEST_ANSWER = 2_000_000  # bytes
_LONGEST_WAIT = 30.0  # seconds, if the service is busy
_LONGEST_QUOTE = 120  # characters
_DEEPEST = 10  # levels of JSON whose names are recorded
_SHORTEST_SECRET = 4  # characters; shorter ones would match in any text


@dataclass
class Answer:
    """The answer to one request. Missing parts are empty; nothing raises."""

    quote: Callable[[object], str]  # formats received values
    sent_at: float  # Unix time in seconds
    received_at: float = 0.0  # the same, of the response's head
    status: int = 0  # 0 without a response
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    protocol: str = ""  # the versions of HTTP and TLS
    content: bytes = b""
    reads: int = 0  # the number of pieces of the body
    problem: str = ""  # the transport's error, or the limit that was exceeded

    @cached_property
    def lines(self) -> tuple[list[bytes], Counter[str]]:
        """The data of each event, and the number of other lines by field."""
        data: list[bytes] = []
        events: list[bytes] = []
        others: Counter[str] = Counter()
        content = self.content.removeprefix(_BOM)
        for line in [*re.split(rb"\r\n|\r|\n", content), b""]:
            name, _, value = line.partition(b":")
            if name == b"data":
                data.append(value.removeprefix(b" "))
            elif line:
                others[name.decode(errors="replace") or "comment"] += 1
            elif data:
                events.append(b"\n".join(data))
                data = []
        return events, others

    @cached_property
    def payloads(self) -> list[bytes]:
        """The data of each event, also without blank lines between the events.

        The service's documentation shows them like this; the standard reads one event.
        """
        split: list[bytes] = []
        for data in self.lines[0]:
            split += [data] if parse(data) is not None else data.split(b"\n")
        return [data.strip() for data in split if data.strip()]

    @cached_property
    def body(self) -> object:
        return parse(self.content)

    @cached_property
    def events(self) -> list[object]:
        """The JSON of each event except [DONE]; `None` for invalid JSON."""
        return [parse(data) for data in self.payloads if data != b"[DONE]"]

    @cached_property
    def objects(self) -> list[Json]:
        """The JSON objects among these, usually envelopes."""
        return [e for e in (self.body, *self.events) if isinstance(e, dict)]

    @cached_property
    def errors(self) -> list[Json]:
        """The envelopes with a code other than 200 and without an answer."""
        bad = [e for e in self.objects if number(e.get("code")) not in (None, OK)]
        return [e for e in bad if not _completion(e)]

    @property
    def envelope(self) -> Json:
        """The first envelope with an error, or else the first one."""
        return next(iter(self.errors or self.objects), {})

    @property
    def number(self) -> int:
        """The code of an error's envelope, else the HTTP status."""
        code = number(self.envelope["code"]) if self.errors else None
        return self.status if code is None else code

    @cached_property
    def completions(self) -> list[Json]:
        """The `data` of each envelope, or the object itself without an envelope."""
        return [data for e in self.objects if (data := _completion(e))]

    @cached_property
    def choices(self) -> list[Json]:
        found = [choice for data in self.completions for choice in data["choices"]]
        return [choice for choice in found if isinstance(choice, dict)]

    @cached_property
    def messages(self) -> list[Json]:
        """The message of each choice, or its delta."""
        found = [c.get("message") or c.get("delta") for c in self.choices]
        return [message for message in found if isinstance(message, dict)]

    @property
    def message(self) -> Json:
        return next(iter(self.messages), {})

    @property
    def text(self) -> str:
        texts = (message.get("content") for message in self.messages)
        return "".join(text for text in texts if isinstance(text, str))

    @property
    def finish_reason(self) -> str:
        found = (get(choice, "finishReason")[1] for choice in self.choices)
        return next((self.quote(reason) for reason in found if reason), "")

    @property
    def usage(self) -> Json:
        found = (data.get("usage") for data in reversed(self.completions))
        return next((usage for usage in found if isinstance(usage, dict)), {})

    @property
    def ok(self) -> bool:
        """Whether it is a complete answer of a model."""
        return self.number == OK and bool(self.choices) and not self.problem

    @property
    def is_busy(self) -> bool:
        """Whether the same request may soon succeed."""
        return self.number in (TIMEOUT, TOO_MANY) or self.number in _SERVER_ERRORS

    @property
    def clock_offset(self) -> float | None:
        """Seconds to add to this machine's clock, by the `Date` header."""
        seconds = read_date(self.headers.get("date", ""))
        if seconds is None:
            return None
        # In whole seconds, written between sending and receiving.
        least, most = seconds - self.received_at, seconds + 1 - self.sent_at
        return 0.0 if least <= 0 <= most else (least + most) / 2

    @property
    def said(self) -> str:
        """The status, the code and the message of the service or the transport."""
        if self.problem:
            return self.problem
        line = f"HTTP {self.status}"
        if self.status in _REDIRECTS:
            line += f" to {self.quote(self.headers.get('location', ''))}"
        if "code" in self.envelope:
            line += f", code {self.quote(self.envelope['code'])}"
        elif not self.envelope:
            line += f", not JSON but {self.quote(self.headers.get('content-type', ''))}"
        message = self.envelope.get("message") or self.envelope.get("error")
        if isinstance(message, dict):
            message = message.get("message")
        return f"{line}: {self.quote(message)}" if message else line


class Service:
    """Sends requests, records the exchanges, and redacts secrets."""

    def __init__(self, url: str, access_key: str, secret_key: str, model: str) -> None:
        """Create a client for a base URL."""
        self.model = model
        self.check = ""  # the name of the running check
        self.tool_call: Json = {}  # a complete tool call of the model, if there was one
        self.exchanges: list[Json] = []  # without texts
        self.usage: Counter[str] = Counter()  # the sums of the service's counts
        self._auth = PmockAuth(access_key, secret_key)
        self._access_key, self._secret_key = access_key, secret_key
        self._secrets = {access_key, secret_key}
        self._endpoint = f"{url}/ai/chat/completions"
        self._client = httpx.Client(
            timeout=httpx.Timeout(_LONGEST_ANSWER, connect=30),
            event_hooks={"request": [self._note_token]},
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def now(self) -> float:
        """Return the Unix time in seconds by the service's clock."""
        return time.time() + (self.first.clock_offset or 0.0)

    def ask(self, prompt: str | list[Json] = HELLO, **fields: Any) -> Answer:
        """Send a user's text or messages, and other fields."""
        messages = [user(prompt)] if isinstance(prompt, str) else prompt
        return self._send({"model": self.model, "messages": messages, **fields})

    def ask_signed(
        self, access_key: str = "", secret_key: str = "", *, at: float | None = None
    ) -> Answer:
        """Send with other keys or another time, without signing again on 401."""
        access_key = access_key or self._access_key
        moment = self.now() if at is None else at
        token = sign(access_key, secret_key or self._secret_key, moment)
        headers = {
            ACCESS_KEY_HEADER: access_key.encode(),
            ACCESS_TOKEN_HEADER: token.encode(),
        }
        return self._send({"model": self.model, "messages": [user(HELLO)]}, headers)

    def hide(self, text: str) -> str:
        """Redact the keys and all sent tokens, also in escaped form."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            if len(secret) >= _SHORTEST_SECRET:
                for form in (secret, json.dumps(secret)[1:-1], quote(secret, safe="")):
                    text = text.replace(form, "***")
        return text

    def quote(self, value: object) -> str:
        """Format a received value as one short line, without secrets."""
        text = self.hide(value if isinstance(value, str) else json.dumps(value))
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}..."

    @cached_property
    def first(self) -> Answer:
        """The answer to a minimal request, used by several checks."""
        return self.ask()

    @cached_property
    def streamed(self) -> Answer:
        """A minimal stream, used by several checks."""
        return self.ask("Count from 1 to 20, separated by commas.", stream=True)

    def _note_token(self, request: httpx.Request) -> None:
        self._secrets.add(request.headers.get(ACCESS_TOKEN_HEADER, ""))

    def _send(self, body: Json, signed: Mapping[str, bytes] | None = None) -> Answer:
        """Send a request, and retry it once if the service is busy."""
        answer = self._exchange(body, signed)
        if answer.is_busy and not answer.problem:
            asked = answer.headers.get("retry-after", "")
            seconds = float(asked) if re.fullmatch(r"\d{1,6}(\.\d+)?", asked) else 2.0
            time.sleep(min(seconds, _LONGEST_WAIT))
            answer = self._exchange(body, signed)
        return answer

    def _exchange(self, body: Json, signed: Mapping[str, bytes] | None) -> Answer:
        headers: dict[Any, Any] = {**(signed or {})}
        if body.get("stream"):
            headers["Accept"] = "text/event-stream"
        answer = Answer(self.quote, sent_at=time.time())
        auth = None if signed else self._auth
        try:
            with self._client.stream(
                "POST", self._endpoint, json=body, headers=headers, auth=auth
            ) as response:
                _read(response, answer)
        except Exception as error:  # noqa: BLE001 - becomes a finding
            answer.problem = f"{type(error).__name__}: {self.quote(str(error))}"
        self._record(answer)
        return answer

    def _record(self, answer: Answer) -> None:
        for name in ("promptTokens", "completionTokens"):
            self.usage[name] += number(get(answer.usage, name)[1]) or 0
        self.exchanges.append(
            {
                "check": self.check,
                "status": answer.status,
                "code": number(answer.envelope.get("code")),
                "seconds": round(time.time() - answer.sent_at, 3),
                "headers": sorted(set(answer.headers)),
                "fields": sorted({path for e in answer.objects for path in paths(e)}),
            }
        )


def _completion(envelope: Json) -> Json:
    data = envelope.get("data")
    inner = data if isinstance(data, dict) else envelope
    return inner if isinstance(inner.get("choices"), list) else {}


def _read(response: httpx.Response, answer: Answer) -> None:
    answer.received_at = time.time()
    answer.status, answer.headers = response.status_code, response.headers
    network = response.extensions.get("network_stream")
    tls = network.get_extra_info("ssl_object") if network else None
    answer.protocol = f"{response.http_version}, {tls.version() if tls else 'no TLS'}"
    pieces, size = [], 0
    try:
        for piece in response.iter_bytes():
            pieces.append(piece)
            size += len(piece)
            seconds = time.time() - answer.sent_at
            if seconds > _LONGEST_ANSWER or size > _LARGEST_ANSWER:
                answer.problem = f"no end after {seconds:.0f} s and {size:,} bytes"
                return
    finally:
        answer.content, answer.reads = b"".join(pieces), len(pieces)


def user(content: str | list[Json]) -> Json:
    """Return a user's message."""
    return {"role": "user", "content": content}


def parse(content: bytes | str) -> object:
    """Parse JSON; `None` if it is not JSON."""
    try:
        value: object = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value


def number(value: Any) -> int | None:
    """Convert a number or a string to an `int`; `None` if that is not possible."""
    try:
        return int(value)
    except (OverflowError, TypeError, ValueError):
        return None


def get(container: object, name: str) -> tuple[str, Any]:
    """Find a field by its camelCase or snake_case name; return name and value."""
    if isinstance(container, dict):
        for spelling in (name, snake_case(name)):
            if container.get(spelling) is not None:
                return spelling, container[spelling]
    return "", None


def snake_case(name: str) -> str:
    """Convert a camelCase name to snake_case."""
    return re.sub("[A-Z]", lambda match: f"_{match[0].lower()}", name)


def paths(value: object, path: str = "") -> Iterator[str]:
    """Yield the paths of all fields, such as `choices[].index`, except odd names."""
    if path.count(".") + path.count("[") > _DEEPEST:
        return
    if isinstance(value, list):
        for item in value:
            yield from paths(item, f"{path}[]")
    elif isinstance(value, dict):
        for name, item in value.items():
            if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,39}", name):
                inner = f"{path}.{name}" if path else name
                yield inner
                yield from paths(item, inner)
