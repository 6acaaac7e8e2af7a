"""The checks, one function for each assumption, in order."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_pmock._wire import Wire
from langchain_pmock.check._service import (
    OK,
    TOO_MANY,
    Answer,
    Json,
    Service,
    get,
    number,
    parse,
    paths,
    snake_case,
    user,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

AS_ASSUMED, UNCLEAR, DIFFERS, FAILED = "as assumed", "unclear", "differs", "failed"
VERDICTS = (AS_ASSUMED, UNCLEAR, DIFFERS, FAILED)  # in order of severity

_UNAUTHORIZED = 401
_INVALID = (400, 422)
_NO_SUCH_MODEL = (400, 403, 404, 422)
_LARGEST_OFFSET = 5.0  # seconds
_MINUTE, _LAST_SECONDS = 60, 5
_NO_KEY = _NO_MODEL = "langchain-pmock-check"
_NOT_SEEN = "accepted, not seen"
_LIMIT = 16  # tokens; some services refuse a smaller limit

_TOOL = {
    "type": "function",
    "function": {
        "name": "get_number",
        "description": "Get a person's number.",
        "parameters": {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
        },
    },
}
_TOOL_PROMPT = "What is the number of Anna? Ask get_number, then give it in digits."
_LONG_PROMPT = (
    "Count from 1 to 100 in English words, separated by commas, and do not write "
    "anything else before, between or after them."
)
# Values without an effect, because only the names are checked.
_PARAMETERS: Json = {
    "temperature": 1,
    "topP": 1,
    "maxTokens": 64,
    "frequencyPenalty": 0,
    "presencePenalty": 0,
    "stop": ["###"],
    "seed": 1,
    "user": "langchain-pmock-check",
    "logitBias": {"0": 0},
    "parallelToolCalls": True,
}
# 64 pixels square, all yellow.
_YELLOW_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC+aJAAAATElEQVR42u3PMQkAAAwDsPo3"
    "3UnoPQjEQNLmtQgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI"
    "CAgILAcyl+HSEp61MQAAAABJRU5ErkJggg=="
)
_DOCUMENTED_NAMES = frozenset(
    re.findall(
        r"\w+",
        "code message data traceId id model created object usage promptTokens "
        "completionTokens totalTokens promptTokensDetails textTokens choices index "
        "completionTokensDetails contentTokens role content finishReason",
    )
)


@dataclass(frozen=True)
class Finding:
    """The result of a check."""

    verdict: str  # one of VERDICTS
    found: str
    copes: bool = False  # whether the package works nevertheless
    wire: Wire | None = None  # the one to use, if the default does not work


@dataclass(frozen=True)
class Check:
    """An assumption and the function that checks it."""

    about: str
    expected: str
    relied: bool  # whether the package relies on it
    look: Callable[[Service], Finding]


CHECKS: list[Check] = []


def _check(
    about: str, expected: str, *, relied: bool = False
) -> Callable[[Callable[[Service], Finding]], None]:
    def add(look: Callable[[Service], Finding]) -> None:
        CHECKS.append(Check(about, expected, relied, look))

    return add


def run(service: Service) -> Iterator[tuple[Check, Finding]]:
    """Run the checks in order; only the first one if it fails."""
    for check in CHECKS:
        service.check = check.about
        try:
            finding = check.look(service)
        except Exception as error:  # noqa: BLE001 - an unexpected answer
            text = f"{type(error).__name__}: {service.quote(str(error))}"
            finding = Finding(FAILED, text)
        yield check, finding
        if check is CHECKS[0] and finding.verdict == FAILED:
            return


def _no_answer(answer: Answer) -> Finding:
    """Return the finding if there is no answer, but one was expected."""
    if answer.problem or answer.is_busy:
        return Finding(FAILED, answer.said)
    is_odd = answer.number == OK and answer.envelope
    return Finding(DIFFERS, answer.said + ("; no choices in it" if is_odd else ""))


def _refusal(answer: Answer, *numbers: int) -> Finding:
    """Return the finding if a refusal was expected."""
    if _is_void(answer):
        return Finding(FAILED, answer.said)
    if answer.ok:
        return Finding(DIFFERS, "accepted, and answered", copes=True)
    is_right = answer.number in numbers or answer.status in numbers
    return Finding(AS_ASSUMED if is_right else DIFFERS, answer.said)


def _is_void(answer: Answer) -> bool:
    """Whether it proves nothing; a server error may be a reaction to the request."""
    return bool(answer.problem) or answer.number == TOO_MANY


def _judged(is_right: object, found: str, *, copes: bool = False) -> Finding:
    return Finding(AS_ASSUMED if is_right else DIFFERS, found, copes)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


# --- The service, its signature, its envelope -----------------------------------------


@_check("Reachability", "an answer; over TLS if the URL is https", relied=True)
def _reachability(service: Service) -> Finding:
    answer = service.first
    if not answer.ok:
        return Finding(FAILED, _no_answer(answer).found)
    seconds = answer.received_at - answer.sent_at
    return Finding(AS_ASSUMED, f"{answer.protocol}; after {seconds:.1f} s")


@_check("Clock", "a Date header, within 5 s of this machine's clock")
def _clock(service: Service) -> Finding:
    offset = service.first.clock_offset
    if offset is None:
        return Finding(DIFFERS, "no Date header")
    found = f"the service's is {offset:+.0f} s from this machine's"
    return _judged(abs(offset) < _LARGEST_OFFSET, found)


@_check("Wrong secret key", "refused with 401", relied=True)
def _wrong_secret(service: Service) -> Finding:
    return _refusal(service.ask_signed(secret_key=_NO_KEY), _UNAUTHORIZED)


@_check("Unknown access key", "refused with 401", relied=True)
def _wrong_key(service: Service) -> Finding:
    return _refusal(service.ask_signed(_NO_KEY, _NO_KEY), _UNAUTHORIZED)


@_check("Tokens of other minutes", "refused")
def _minutes(service: Service) -> Finding:
    left = _MINUTE - service.now() % _MINUTE
    if left < _LAST_SECONDS:  # the request might arrive in the next minute
        time.sleep(left + 1)
    now = service.now()
    before = service.ask_signed(at=now - _MINUTE)
    after = service.ask_signed(at=now + _MINUTE)
    if _is_void(before) or _is_void(after):
        return Finding(FAILED, f"{before.said}; {after.said}")
    found = [
        f"the minute {name}: {'accepted' if answer.ok else answer.said}"
        for name, answer in (("before", before), ("after", after))
    ]
    at = f"asked {now % _MINUTE:.0f} s into a minute"
    return _judged(not (before.ok or after.ok), "; ".join([*found, at]))


@_check("Envelope", "code 200, message, data", relied=True)
def _envelope(service: Service) -> Finding:
    envelope = service.first.envelope
    code, names = envelope.get("code"), _listed(map(service.quote, envelope))
    copes = number(code) == OK and isinstance(envelope.get("data"), dict)
    if copes and type(code) is int and "message" in envelope:
        return Finding(AS_ASSUMED, names)
    return Finding(DIFFERS, f"{names}; code: {service.quote(code)}", copes)


@_check("Trace id", "traceId in the envelope")
def _trace_id(service: Service) -> Finding:
    name, value = get(service.first.envelope, "traceId")
    in_headers = [h for h in service.first.headers if re.search("trace|request-id", h)]
    found = f"{name or 'none'}; in headers: {service.quote(_listed(in_headers))}"
    return _judged(name == "traceId" and isinstance(value, str), found)


@_check("Answer", "choices with a message, finishReason, usage", relied=True)
def _answer(service: Service) -> Finding:
    answer = service.first
    if not isinstance(answer.message.get("content"), str):
        names = _listed(map(service.quote, answer.message))
        return Finding(DIFFERS, f"no text in content; the message has: {names}")
    counts = ("promptTokens", "completionTokens", "totalTokens")
    missing = [n for n in counts if number(get(answer.usage, n)[1]) is None]
    missing += [] if answer.finish_reason else ["finishReason"]
    return _judged(not missing, f"missing: {_listed(missing)}", copes=True)


@_check("Names in answers", "camelCase, as on the service's page")
def _names(service: Service) -> Finding:
    names = {path.rpartition(".")[2] for path in paths(service.first.envelope)}
    twins = {snake_case(name) for name in _DOCUMENTED_NAMES} - _DOCUMENTED_NAMES
    if names & twins:
        return Finding(DIFFERS, service.quote(_listed(sorted(names & twins))))
    others = service.quote(_listed(sorted(names - _DOCUMENTED_NAMES)))
    return Finding(AS_ASSUMED, f"names not on the page: {others}")


# --- Streams --------------------------------------------------------------------------


@_check("Events of a stream", "envelopes with code 200 and a delta", relied=True)
def _events(service: Service) -> Finding:
    answer = service.streamed
    if not answer.choices:
        return _no_answer(answer)
    kind = answer.headers.get("content-type", "").lower()
    label = f"labelled {service.quote(kind) or 'as nothing'}"
    if answer.body is not None:
        return Finding(DIFFERS, f"a whole answer, {label}", copes=True)
    bare = [event for event in answer.objects if "code" not in event]
    problems = {
        answer.said: answer.number != OK,
        label: "json" in kind or "html" in kind,
        "some are not JSON": None in answer.events,
        "some have no envelope": bare,
        "none has a delta": not any("delta" in choice for choice in answer.choices),
    }
    if any(problems.values()):
        noted = (problem for problem, is_there in problems.items() if is_there)
        return Finding(DIFFERS, _listed(noted))
    if len(answer.lines[0]) < len(answer.payloads):
        return Finding(DIFFERS, "no blank lines between them", copes=True)
    found = f"{len(answer.events)} events in {answer.reads} reads, {label}"
    return _judged("event-stream" in kind, found, copes=True)


@_check("End of a stream", "finishReason, usage, [DONE]", relied=True)
def _end(service: Service) -> Finding:
    answer = service.streamed
    if answer.problem or not answer.choices:
        return Finding(FAILED, answer.said)
    done = b"[DONE]" in answer.payloads
    there = {
        "finishReason": answer.finish_reason,
        "usage": answer.usage,
        "[DONE]": done,
    }
    missing = [name for name, value in there.items() if not value]
    is_marked = bool(answer.finish_reason) or done
    return _judged(not missing, f"missing: {_listed(missing)}", copes=is_marked)


@_check("Keep-alives, trace ids", "comments, or events without data; in any event")
def _keep_alives(service: Service) -> Finding:
    answer = service.streamed
    if not answer.choices:
        return Finding(FAILED, answer.said)
    others = answer.lines[1]
    empty = sum(not get(event, "data")[0] for event in answer.objects)
    traced = sum(bool(get(event, "traceId")[0]) for event in answer.objects)
    found = [f"{service.quote(name)}: {count}" for name, count in others.items()]
    found += [f"events without data: {empty}", f"with traceId: {traced}"]
    return _judged(others.keys() <= {"comment", "event", "id", "retry"}, _listed(found))


# --- Requests -------------------------------------------------------------------------


@_check("Documented parameters", "each is accepted")
def _parameters(service: Service) -> Finding:
    together = service.ask(**_PARAMETERS, tools=[_TOOL])
    if together.ok:
        return Finding(AS_ASSUMED, _listed(_PARAMETERS))
    if _is_void(together):
        return Finding(FAILED, together.said)
    refused = []
    for name, value in _PARAMETERS.items():
        tools = {"tools": [_TOOL]} if name == "parallelToolCalls" else {}
        answer = service.ask(**{name: value}, **tools)
        if not answer.ok:
            refused.append(f"{name}: {answer.said}")
    found = "; ".join(refused) or f"not all in one request: {together.said}"
    return _judged(not refused, found)


@_check("Limits", "maxTokens and maxCompletionTokens cut an answer")
def _limits(service: Service) -> Finding:
    findings = []
    for name in ("maxTokens", "maxCompletionTokens"):
        answer = service.ask(_LONG_PROMPT, **{name: _LIMIT})
        tokens = number(get(answer.usage, "completionTokens")[1]) or 0
        if not answer.ok:
            verdict, found = _no_answer(answer).verdict, answer.said
        else:
            found = f"{answer.finish_reason} after {tokens} tokens"
            verdict = DIFFERS if tokens > _LIMIT else UNCLEAR
            if answer.finish_reason in ("length", "max_tokens"):
                verdict = AS_ASSUMED
        findings.append((verdict, f"{name}={_LIMIT}: {found}"))
    worst = max((verdict for verdict, _ in findings), key=VERDICTS.index)
    return Finding(worst, "; ".join(found for _, found in findings))


@_check("Unknown field", "refused, or ignored")
def _unknown_field(service: Service) -> Finding:
    answer = service.ask(langchainPmockCheck=True)
    if _is_void(answer):
        return Finding(FAILED, answer.said)
    return Finding(AS_ASSUMED, "ignored" if answer.ok else answer.said)


@_check("No messages", "refused with 400 or 422", relied=True)
def _invalid(service: Service) -> Finding:
    return _refusal(service.ask([]), *_INVALID)


@_check("No messages, streamed", "the same, or in an event", relied=True)
def _invalid_stream(service: Service) -> Finding:
    answer = service.ask([], stream=True)
    finding = _refusal(answer, *_INVALID)
    where = "in an event; " if answer.events else ""
    return Finding(finding.verdict, where + finding.found, finding.copes)


@_check("Unknown model", "refused with 400, 403, 404 or 422")
def _unknown_model(service: Service) -> Finding:
    answer = service.ask(model=_NO_MODEL)
    if not answer.ok:
        return _refusal(answer, *_NO_SUCH_MODEL)
    names = {service.quote(data.get("model")) for data in answer.completions}
    return Finding(UNCLEAR, f"answered; model: {_listed(names)}")


# --- Tools ----------------------------------------------------------------------------


@_check("Tool call", "toolCalls: id, function.name, arguments as text", relied=True)
def _tool_call(service: Service) -> Finding:
    choice = {"type": "function", "function": {"name": "get_number"}}
    answer = service.ask(_TOOL_PROMPT, tools=[_TOOL], toolChoice=choice)
    return _judge_calls(service, answer)


@_check("Streamed tool call", "the same in pieces, each with an index", relied=True)
def _streamed_tool_call(service: Service) -> Finding:
    fields = {"tools": [_TOOL], "toolChoice": "required", "stream": True}
    return _judge_calls(service, service.ask(_TOOL_PROMPT, **fields))


def _judge_calls(service: Service, answer: Answer) -> Finding:
    if not answer.ok:
        return _no_answer(answer)
    found = [get(message, "toolCalls") for message in answer.messages]
    names = sorted({name for name, _ in found if name})
    lists = [calls for _, calls in found if isinstance(calls, list)]
    calls = [call for calls in lists for call in calls if isinstance(call, dict)]
    functions = [c["function"] for c in calls if isinstance(c.get("function"), dict)]
    fields = {service.quote(n) for m in (*answer.messages, *calls) for n in m}
    if "get_number" not in [function.get("name") for function in functions]:
        # With a finish reason for calls, the call is in an unknown field.
        is_elsewhere = calls or "tool" in answer.finish_reason
        text = f"no call ({answer.finish_reason}); fields: {_listed(sorted(fields))}"
        return Finding(DIFFERS if is_elsewhere else UNCLEAR, text)
    arguments = [function.get("arguments") for function in functions]
    text = "".join(piece for piece in arguments if isinstance(piece, str))
    problems = {
        "no id": not any(call.get("id") for call in calls),
        "no index": "delta" in answer.choices[0] and "index" not in fields,
        "arguments are not text": any(isinstance(a, dict) for a in arguments),
        "not toolCalls": names != ["toolCalls"],
    }
    if not any(problems.values()) and not isinstance(parse(text), dict):
        return Finding(UNCLEAR, "the arguments are not the JSON of an object")
    is_whole = "message" in answer.choices[0]
    if is_whole and calls[0].get("id") and isinstance(arguments[0], str):
        service.tool_call = calls[0]
    noted = [problem for problem, is_there in problems.items() if is_there]
    where = f"under {_listed(names)}" + ("" if is_whole else f" ({len(calls)} pieces)")
    return _judged(not noted, _listed([where, *noted]), copes=True)


@_check("Tool result", "seen under toolCalls, toolCallId", relied=True)
def _tool_result(service: Service) -> Finding:
    camel, snake = Wire(), Wire(tool_calls="tool_calls", tool_call_id="tool_call_id")
    mixed = [
        Wire(tool_calls=one.tool_calls, tool_call_id=other.tool_call_id)
        for one, other in ((camel, snake), (snake, camel))
    ]
    seen: list[Wire] = []
    said: dict[Wire, str] = {}
    for wire in (camel, snake, *mixed):
        if wire in mixed and seen:
            break
        # Only the tool's result contains the number.
        secret = str(10_000 + secrets.randbelow(90_000))
        answer = service.ask(_history(service, wire, secret), tools=[_TOOL])
        if _is_void(answer):
            return Finding(FAILED, answer.said)
        if answer.ok and secret in re.sub(r"\D", "", answer.text):
            seen.append(wire)
        said[wire] = _NOT_SEEN if answer.ok else answer.said
    found = "; ".join(
        f"{wire.tool_calls}, {wire.tool_call_id}: {'seen' if wire in seen else text}"
        for wire, text in said.items()
    )
    if camel in seen:
        return Finding(AS_ASSUMED, found)
    if seen:
        return Finding(DIFFERS, found, wire=seen[0])
    accepted = [wire for wire, text in said.items() if text == _NOT_SEEN]
    if camel in accepted:  # the model may have ignored the result
        return Finding(UNCLEAR, found)
    return Finding(DIFFERS if accepted else FAILED, found)


def _history(service: Service, wire: Wire, result: str) -> list[Json]:
    function = {"name": "get_number", "arguments": '{"name": "Anna"}'}
    made_up = {"id": "call_1", "type": "function", "function": function}
    # Gemini refuses a call without the signature that it added.
    call = service.tool_call or made_up
    return [
        user(_TOOL_PROMPT),
        {"role": "assistant", "content": "", wire.tool_calls: [call]},
        {"role": "tool", wire.tool_call_id: call["id"], "content": result},
    ]


@_check("Reasoning in messages", "accepted or refused; not sent by default")
def _reasoning_in_messages(service: Service) -> Finding:
    found = []
    for name in ("reasoningContent", "reasoning_content"):
        secret = str(10_000 + secrets.randbelow(90_000))
        thought = {"role": "assistant", "content": "Yes.", name: f"I chose {secret}."}
        question = user("Which one? Answer with the number alone.")
        answer = service.ask([user("Choose a number. Ready?"), thought, question])
        if _is_void(answer):
            return Finding(FAILED, answer.said)
        said = "seen" if secret in answer.text else _NOT_SEEN
        found.append(f"{name}: {said if answer.ok else answer.said}")
    return Finding(AS_ASSUMED, "; ".join(found))


# --- Formats and other features -------------------------------------------------------


@_check("json_schema", "an answer that fits the schema", relied=True)
def _json_schema(service: Service) -> Finding:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "country": {"type": "string"}},
        "required": ["city", "country"],
        "additionalProperties": False,
    }
    named = {"name": "answer", "schema": schema, "strict": True}
    answer = service.ask(
        "Which city is the capital of France?",
        responseFormat={"type": "json_schema", "json_schema": named},
    )
    return _judge_json(answer, {"city", "country"})


@_check("json_object", "an answer that is a JSON object", relied=True)
def _json_object(service: Service) -> Finding:
    answer = service.ask(
        "Answer as a JSON object with the key 'city': the capital of France?",
        responseFormat={"type": "json_object"},
    )
    return _judge_json(answer, {"city"})


def _judge_json(answer: Answer, keys: set[str]) -> Finding:
    if not answer.ok:
        return _no_answer(answer)
    text = answer.text.strip()
    fenced = re.fullmatch(r"```(?:json)?\s*(.*?)\s*```", text, re.DOTALL)
    value = parse(fenced[1] if fenced else text)
    if not isinstance(value, dict):
        return Finding(DIFFERS if text else UNCLEAR, "accepted, but not a JSON object")
    if not keys <= value.keys():
        return Finding(UNCLEAR, "JSON, without the keys that were asked for")
    found = "JSON in a Markdown fence" if fenced else "JSON, with the keys asked for"
    return _judged(not fenced, found, copes=True)


@_check("n = 2", "two choices")
def _two_choices(service: Service) -> Finding:
    answer = service.ask(n=2)
    if not answer.ok:
        return _no_answer(answer)
    return _judged(len(answer.choices) == 2, f"choices: {len(answer.choices)}")  # noqa: PLR2004 - as asked


@_check("logprobs", "content: token, logprob, topLogprobs")
def _logprobs(service: Service) -> Finding:
    answer = service.ask(logprobs=True, topLogprobs=2)
    if not answer.ok:
        return _no_answer(answer)
    logprobs = [get(choice, "logprobs")[1] for choice in answer.choices]
    names = {p.rpartition(".")[2] for each in logprobs for p in paths(each)}
    found = service.quote(_listed(sorted(names)))
    return _judged({"content", "token", "logprob", "topLogprobs"} <= names, found)


@_check("Image", "the model sees an image_url with a data: URL", relied=True)
def _image(service: Service) -> Finding:
    question = "Which colour is this image? Answer with one English word."
    image = {"url": f"data:image/png;base64,{_YELLOW_PNG}"}
    parts: list[Json] = [
        {"type": "text", "text": question},
        {"type": "image_url", "image_url": image},
    ]
    answer = service.ask([user(parts)])
    if not answer.ok:
        return _no_answer(answer)
    is_seen = "yellow" in answer.text.lower()
    found = "the colour is right" if is_seen else "accepted; the colour is not named"
    return Finding(AS_ASSUMED if is_seen else UNCLEAR, found)


@_check("Reasoning", "a thinking model's is in reasoningContent")
def _reasoning(service: Service) -> Finding:
    is_thinking = "thinking" in service.model
    model = service.model if is_thinking else "gpt-5.1-thinking"
    answer = service.ask("How many days are 3 weeks?", model=model)
    if not answer.ok:
        # The account may not have this model.
        verdict = FAILED if _is_void(answer) else UNCLEAR
        return Finding(verdict, f"{service.quote(model)}: {answer.said}")
    candidates = ("reasoningContent", "reasoning_content", "reasoning", "thinking")
    names = [name for name in candidates if answer.message.get(name)]
    details = get(answer.usage, "completionTokensDetails")[1]
    tokens = number(get(details, "reasoningTokens")[1]) or 0
    found = f"{service.quote(model)}: {_listed(names)}, {tokens} tokens"
    if not names:
        return Finding(UNCLEAR, found)
    return _judged("reasoningContent" in names, found)
