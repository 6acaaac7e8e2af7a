"""Requests to the service, and answers that can be read whatever they are."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timezone
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from langchain_pmock.auth import (
    ACCESS_KEY_HEADER,
    ACCESS_TOKEN_HEADER,
    PmockAuth,
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
_LONGEST_WAIT = 30.0  # seconds, when the service is busy
_LONGEST_QUOTE = 120  # characters
_DEEPEST = 10  # levels of JSON of which the names are recorded
_SHORTEST_SECRET = 4  # shorter ones would be found in any text


@dataclass
class Answer:
    """What came of one request. Reading it raises nothing: what is missing is empty.

    Attributes:
        quote: Makes what the service sent fit to be shown.
        sent_at: Unix time in seconds.
        received_at: Unix time in seconds at which the response's head had come.
        status: The HTTP status; 0 if there was no response.
        headers: The response's headers.
        protocol: The versions of HTTP and TLS.
        content: The body.
        reads: How many pieces the body came in.
        problem: What the transport raised, or why reading was given up.
    """

    quote: Callable[[object], str]
    sent_at: float
    received_at: float = 0.0
    status: int = 0
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    protocol: str = ""
    content: bytes = b""
    reads: int = 0
    problem: str = ""

    @cached_property
    def lines(self) -> tuple[list[bytes], Counter[str]]:
        """The data of each event; the number of other lines, by their field's name."""
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
        """The data of each event.

        The service's page shows events without blank lines between them. To the SSE
        standard these are the lines of one event.
        """
        split: list[bytes] = []
        for data in self.lines[0]:
            split += [data] if parse(data) is not None else data.split(b"\n")
        return [data.strip() for data in split if data.strip()]

    @cached_property
    def body(self) -> object:
        """The JSON of a whole answer; `None` if it is not JSON."""
        return parse(self.content)

    @cached_property
    def events(self) -> list[object]:
        """The JSON of each event but [DONE]; `None` for one that is not JSON."""
        return [parse(data) for data in self.payloads if data != b"[DONE]"]

    @cached_property
    def objects(self) -> list[Json]:
        """The JSON objects among these: envelopes, if all is as assumed."""
        return [e for e in (self.body, *self.events) if isinstance(e, dict)]

    @cached_property
    def errors(self) -> list[Json]:
        """The envelopes with a code that is not 200, and no answer in them."""
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
        """The `data` of each envelope; without envelopes, what stands there instead."""
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
        """Whether it is a model's answer, read to its end."""
        return self.number == OK and bool(self.choices) and not self.problem

    @property
    def is_busy(self) -> bool:
        """Whether the same request may get an answer soon."""
        return self.number in (TIMEOUT, TOO_MANY) or self.number in _SERVER_ERRORS

    @property
    def clock_offset(self) -> float | None:
        """Seconds from this machine's clock to the service's, by its `Date` header."""
        try:
            date = parsedate_to_datetime(self.headers.get("date", ""))
            seconds = date.replace(tzinfo=date.tzinfo or timezone.utc).timestamp()
        except (OverflowError, TypeError, ValueError):
            return None
        # It is in whole seconds, and was made between sending and receiving.
        least, most = seconds - self.received_at, seconds + 1 - self.sent_at
        return 0.0 if least <= 0 <= most else (least + most) / 2

    @property
    def said(self) -> str:
        """The status, the code, and what the service or the transport said."""
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
    """Sends requests, and knows what must not be shown.

    Attributes:
        model: The model that is asked.
        check: The name of the check that asks.
        tool_call: A whole tool call of the model's own, once one has come.
        exchanges: Names and numbers of each exchange, without texts.
        usage: The sums of the service's counts, by their names in the usage.
    """

    def __init__(self, url: str, access_key: str, secret_key: str, model: str) -> None:
        """Make a client for a base URL; nothing is sent yet."""
        self.model = model
        self.check = ""
        self.tool_call: Json = {}
        self.exchanges: list[Json] = []
        self.usage: Counter[str] = Counter()
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
        """Unix time in seconds, by the service's clock."""
        return time.time() + (self.first.clock_offset or 0.0)

    def ask(self, prompt: str | list[Json] = HELLO, **fields: Any) -> Answer:
        """Ask with a user's text or with messages, and with more fields."""
        messages = [user(prompt)] if isinstance(prompt, str) else prompt
        return self._send({"model": self.model, "messages": messages, **fields})

    def ask_signed(
        self, access_key: str = "", secret_key: str = "", *, at: float | None = None
    ) -> Answer:
        """Ask with other keys, or as of another time; `PmockAuth` would sign again."""
        access_key = access_key or self._access_key
        moment = self.now() if at is None else at
        token = sign(access_key, secret_key or self._secret_key, moment)
        headers = {
            ACCESS_KEY_HEADER: access_key.encode(),
            ACCESS_TOKEN_HEADER: token.encode(),
        }
        return self._send({"model": self.model, "messages": [user(HELLO)]}, headers)

    def hide(self, text: str) -> str:
        """Replace the keys and each token that was sent, as they are or escaped."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            if len(secret) >= _SHORTEST_SECRET:
                for form in (secret, json.dumps(secret)[1:-1], quote(secret, safe="")):
                    text = text.replace(form, "***")
        return text

    def quote(self, value: object) -> str:
        """Write what the service sent in one short line, without secrets."""
        text = self.hide(value if isinstance(value, str) else json.dumps(value))
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}..."

    @cached_property
    def first(self) -> Answer:
        """The answer to the plainest request; several checks look at it."""
        return self.ask()

    @cached_property
    def streamed(self) -> Answer:
        """A plain stream; several checks look at it."""
        return self.ask("Count from 1 to 20, separated by commas.", stream=True)

    def _note_token(self, request: httpx.Request) -> None:
        self._secrets.add(request.headers.get(ACCESS_TOKEN_HEADER, ""))

    def _send(self, body: Json, signed: Mapping[str, bytes] | None = None) -> Answer:
        """Send a request; once more if the service is busy."""
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
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
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
    """Make a user's message."""
    return {"role": "user", "content": content}


def parse(content: bytes | str) -> object:
    """Read JSON; `None` if it is not JSON."""
    try:
        value: object = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value


def number(value: Any) -> int | None:
    """Read a whole number, also one in a string; `None` if it is none."""
    try:
        return int(value)
    except (OverflowError, TypeError, ValueError):
        return None


def get(container: object, name: str) -> tuple[str, Any]:
    """Find a field by its camelCase or its snake_case name: that name, its value."""
    if isinstance(container, dict):
        for spelling in (name, snake_case(name)):
            if container.get(spelling) is not None:
                return spelling, container[spelling]
    return "", None


def snake_case(name: str) -> str:
    """Write a camelCase name in snake_case."""
    return re.sub("[A-Z]", lambda match: f"_{match[0].lower()}", name)


def paths(value: object, path: str = "") -> Iterator[str]:
    """Name all fields, such as `choices[].index`; what is no name may be a text."""
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
