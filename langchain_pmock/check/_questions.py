"""The questions: what each asks, its limit of tokens, and how its answer is judged."""

from __future__ import annotations

import asyncio
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_pmock._wire import Wire
from langchain_pmock.check import _service
from langchain_pmock.check._service import INVALID, LIMITS, Request, number, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from langchain_pmock.check._service import Answer, Json, Service

    Judged = Iterator[tuple[str, str | Wire]]
    """Verdicts, of which the worst one counts, with reasons or the `Wire` to use."""

# In order of severity. The package copes with what "differs", not with "differs!".
VERDICTS = ("as assumed", "unclear", "differs", "differs!", "failed!")
AS_ASSUMED, UNCLEAR, DIFFERS, BREAKS, FAILED = VERDICTS
QUESTION_SECONDS, RUN_SECONDS = 60.0, 600.0  # the limits of each question, and of all

_MADE_UP = "langchain-pmock-check"  # neither a key nor a model
_NUMBER = str(10_000 + secrets.randbelow(90_000))  # that the model cannot guess
_SMALL = 16  # tokens; some services refuse a smaller limit
_CLOCK_TOLERANCE = 5  # seconds
_STOPPED_EARLY = re.compile("length|max_?tokens|filter|safety", re.IGNORECASE)
_SPELLINGS = (
    Wire(),
    Wire(),  # once more, because the model may ignore a result that it sees
    Wire(tool_calls="tool_calls", tool_call_id="tool_call_id"),
    Wire(tool_calls="tool_calls"),
    Wire(tool_call_id="tool_call_id"),
)


@dataclass(frozen=True)
class Question:
    """An assumption, the requests that test it, and how their answers are judged."""

    about: str
    expected: str
    # What to send, or a function that makes it of the answers before. Questions with
    # the same list are about the same answers.
    requests: Sequence[Request] | Callable[[list[Answer]], Sequence[Request]]
    judge: Callable[..., Judged] = lambda *_: iter(())
    needs: str = ""  # facts without which the package does not work, in any spelling
    wants: str = ""  # other facts that are assumed, if the judge has no objection
    refused: str = ""  # the verdict if a request is refused, unless that is judged
    tokens: int = 500  # the limit of each answer
    needs_end: bool = True  # whether an answer that was stopped early proves nothing
    is_enough: Callable[[list[Answer]], bool] = lambda _: False  # to send no more


@dataclass(frozen=True)
class Finding:
    """The result of a question."""

    about: str
    expected: str
    found: str
    verdict: str
    wire: Wire | None = None  # the one to use, if the default does not work


async def run(service: Service, show: Callable[[Finding], None]) -> list[Finding]:
    """Ask the questions in order; only the first one if it gets no answer."""
    clock = asyncio.get_running_loop().time
    end = clock() + RUN_SECONDS
    findings: list[Finding] = []
    answers: list[Answer] = []
    sent = None
    async with service.client:
        for question in QUESTIONS:
            service.about = question.about
            service.deadline = min(clock() + QUESTION_SECONDS, end)
            if question.requests is not sent:
                sent = question.requests
                requests, answers = sent(answers) if callable(sent) else sent, []
                for request in requests:
                    answers.append(await service.ask(request, question.tokens))
                    if answers[-1].problem or question.is_enough(answers):
                        break
            verdict, reasons = _judge(question, answers)
            found = "; ".join(service.quote(r) for r in reasons if isinstance(r, str))
            wires = [reason for reason in reasons if isinstance(reason, Wire)]
            verdict = verdict if service.is_accepted else FAILED
            about, expected = question.about, question.expected
            findings.append(Finding(about, expected, found, verdict, *wires))
            show(findings[-1])
            if not service.is_accepted:
                break
    return findings


def _judge(question: Question, answers: list[Answer]) -> tuple[str, list[str | Wire]]:
    # Where a refusal is judged, a server error may be one.
    void = _service.BUSY if question.refused else (_service.TOO_MANY,)
    refusals = [answer for answer in answers if not answer.ok]
    if any(answer.problem or answer.number in void for answer in refusals):
        return FAILED, [answer.outcome for answer in refusals]
    if question.refused and refusals:
        return question.refused, [answer.outcome for answer in refusals]
    judged = list(question.judge(*answers))
    if all(verdict == AS_ASSUMED for verdict, _ in judged):
        facts = answers[-1].facts
        either = {_service.camel_case(fact) for fact in facts}
        missing = [
            (BREAKS, need) for need in question.needs.split() if need not in either
        ]
        missing += [
            (DIFFERS, want) for want in question.wants.split() if want not in facts
        ]
        judged += [(verdict, f"no {fact}") for verdict, fact in missing]
        judged += [(AS_ASSUMED, ", ".join(sorted(answers[-1].paths)))] * bool(missing)
    verdict = max(
        (verdict for verdict, _ in judged), key=VERDICTS.index, default=AS_ASSUMED
    )
    reasons = [reason for _, reason in judged] or ["as expected"]
    if verdict != AS_ASSUMED and question.needs_end and any(map(_is_cut, answers)):
        return UNCLEAR, ["the model was stopped early", *reasons]
    return verdict, reasons


def _is_cut(answer: Answer) -> bool:
    return bool(_STOPPED_EARLY.search(answer.finish_reason))


# --- Requests -------------------------------------------------------------------------


def _say(*messages: object, **fields: Any) -> Request:
    """Make a request; a message that is no dict is the content of a user's."""
    made = [
        message if isinstance(message, dict) else {"role": "user", "content": message}
        for message in messages
    ]
    return Request({"messages": made, **fields})


def _schema(*names: str) -> Json:
    properties = {name: {"type": "string"} for name in names}
    rest = {"required": [*names], "additionalProperties": False}
    return {"type": "object", "properties": properties, **rest}


_TOOL_PROMPT = "What is the number of Anna? Ask get_number, then give it in digits."
_TOOL = {"name": "get_number", "parameters": _schema("name")}
_TOOLS: Json = {"tools": [{"type": "function", "function": _TOOL}]}
_FORCED = {"type": "function", "function": {"name": "get_number"}}
_CALL, _PIECE = "choice.message.toolCalls[]", "choice.delta.toolCalls[]"
_CITY = {"name": "answer", "schema": _schema("city", "country"), "strict": True}
_CITY_FORMAT = {"type": "json_schema", "json_schema": _CITY}
_YELLOW_PNG = (  # 64 pixels square
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC+aJAAAATElEQVR42u3PMQkAAAwDsPo3"
    "3UnoPQjEQNLmtQgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI"
    "CAgILAcyl+HSEp61MQAAAABJRU5ErkJggg=="
)
_IMAGE = [
    {"type": "text", "text": "Which colour is this? Answer with one English word."},
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_YELLOW_PNG}"}},
]
# Values without an effect, because only the names are checked.
_PARAMETERS: Json = {
    "temperature": 1,
    "topP": 1,
    "frequencyPenalty": 0,
    "presencePenalty": 0,
    "maxTokens": 64,
    "stop": ["###"],
    "seed": 1,
    "user": _MADE_UP,
    "logitBias": {"0": 0},
    "parallelToolCalls": True,
}


def _histories(answers: list[Answer]) -> list[Request]:
    """Make a tool call with its result, in each spelling; only this has the number."""
    function = {"name": "get_number", "arguments": '{"name": "Anna"}'}
    made_up = {"id": "call_1", "type": "function", "function": function}
    # Gemini refuses a call without the signature that it added.
    calls = [call for answer in answers for call in answer.all(_CALL)]
    call = next((c for c in calls if isinstance(c, dict) and c.get("id")), made_up)
    return [
        _say(
            _TOOL_PROMPT,
            {"role": "assistant", "content": "", wire.tool_calls: [call]},
            {"role": "tool", wire.tool_call_id: call["id"], "content": _NUMBER},
            **_TOOLS,
        )
        for wire in _SPELLINGS
    ]


def _thought(name: str) -> Request:
    thought = {"role": "assistant", "content": "Yes.", name: f"I chose {_NUMBER}."}
    question = "Which one? Answer with the number alone."
    return _say("Choose a number. Ready?", thought, question)


# --- Judges ---------------------------------------------------------------------------


def _reachability(answer: Answer) -> Judged:
    seconds = answer.received_at - answer.sent_at
    yield AS_ASSUMED, f"{answer.protocol}, after {seconds:.1f} s"
    if (offset := answer.clock_offset) is None:
        yield DIFFERS, "no Date header"
    else:
        verdict = AS_ASSUMED if abs(offset) < _CLOCK_TOLERANCE else DIFFERS
        yield verdict, f"its clock is {offset:+.0f} s from this machine's"


def _refused(
    *numbers: int, other: str = BREAKS, accepted: str = DIFFERS
) -> Callable[..., Judged]:
    def judge(*answers: Answer) -> Judged:
        for answer in answers:
            where = "in an event: " if answer.events else ""
            if answer.ok:
                yield accepted, f"answered; model: {answer.all('data.model')}"
            elif answer.number in numbers or answer.status in numbers:
                yield AS_ASSUMED, where + answer.outcome
            else:
                yield other, where + answer.outcome

    return judge


def _stream(answer: Answer) -> Judged:
    label = f"labelled {answer.headers.get('content-type')}"
    yield AS_ASSUMED, f"{answer.events} events in {answer.reads} reads, {label}"
    if not answer.events:
        yield DIFFERS, "a whole answer"
    elif re.search("json|html", label):
        yield BREAKS, "not labelled as a stream"
    elif not (answer.finish_reason or "[DONE]" in answer.facts):
        yield BREAKS, "neither finishReason nor [DONE]"


def _parameters(together: Answer, *each: Answer) -> Judged:
    for name, answer in zip(_PARAMETERS, each, strict=False):
        if not answer.ok:
            yield DIFFERS, f"{name}: {answer.outcome}"
    yield AS_ASSUMED, f"together: {'accepted' if together.ok else together.outcome}"


def _limits(*answers: Answer) -> Judged:
    for name, answer in zip(LIMITS, answers, strict=True):
        tokens = max(map(number, answer.all("data.usage.completionTokens")), default=0)
        found = f"{answer.finish_reason} after {tokens} tokens"
        verdict = UNCLEAR if answer.ok and tokens <= _SMALL else DIFFERS
        verdict = AS_ASSUMED if _is_cut(answer) else verdict
        yield verdict, f"{name}={_SMALL}: {found if answer.ok else answer.outcome}"


def _tool_call(answer: Answer) -> Judged:
    calls = [call for call in answer.all(_CALL, _PIECE) if isinstance(call, dict)]
    functions: list[Any] = [call.get("function") for call in calls]
    functions = [function for function in functions if isinstance(function, dict)]
    names = [name for function in functions if (name := function.get("name"))]
    if "get_number" in names:
        pieces = [function.get("arguments") for function in functions]
        text = "".join(piece for piece in pieces if isinstance(piece, str))
        if text and not isinstance(parse(text), dict):
            yield UNCLEAR, "the arguments are not the JSON of an object"
    elif not names and (calls or "tool" in answer.finish_reason):
        yield BREAKS, f"a call in an unknown field of {sorted(answer.paths)}"
    else:
        yield UNCLEAR, f"the model did not call the tool ({answer.finish_reason})"


def _sees_number(answer: Answer) -> bool:
    return answer.ok and _NUMBER in re.sub(r"\D", "", answer.text)


def _outcome(answer: Answer) -> str:
    accepted = "seen" if _sees_number(answer) else "accepted, not seen"
    return accepted if answer.ok else answer.outcome


def _tool_result(*answers: Answer) -> Judged:
    for wire, answer in dict(zip(_SPELLINGS, answers, strict=False)).items():
        found = f"{wire.tool_calls}, {wire.tool_call_id}: {_outcome(answer)}"
        yield AS_ASSUMED, found
    wire = _SPELLINGS[len(answers) - 1]
    if not _sees_number(answers[-1]):
        # The model may have ignored a result that it saw.
        yield UNCLEAR if answers[0].ok else BREAKS, "no answer repeats the result"
    elif wire != Wire():
        yield BREAKS, wire


def _reasoning_in_messages(*answers: Answer) -> Judged:
    yield AS_ASSUMED, "; ".join(map(_outcome, answers))


def _json(*keys: str) -> Callable[[Answer], Judged]:
    def judge(answer: Answer) -> Judged:
        text = answer.text.strip()
        fenced = re.fullmatch(r"```(?:json)?\s*(.*?)\s*```", text, re.DOTALL)
        value = parse(fenced[1] if fenced else text)
        if not isinstance(value, dict):
            yield BREAKS if text else UNCLEAR, "accepted, but not a JSON object"
        elif not value.keys() >= {*keys}:
            yield UNCLEAR, "JSON, without the keys that were asked for"
        elif fenced:
            yield DIFFERS, "JSON in a Markdown fence"

    return judge


def _image(answer: Answer) -> Judged:
    if "yellow" not in answer.text.lower():
        yield UNCLEAR, "accepted; the colour is not named"


def _reasoning(answer: Answer) -> Judged:
    if not any(re.search("choice.*(reason|think)", path) for path in answer.paths):
        yield UNCLEAR, "none"


# --- The table ------------------------------------------------------------------------

_HELLO = [Request()]
_TOGETHER = Request({**_PARAMETERS, **_TOOLS})
_EACH = [
    Request({name: value, **(_TOOLS if name == "parallelToolCalls" else {})})
    for name, value in _PARAMETERS.items()
]
_JSON_PROMPT = "Answer as a JSON object with the key 'city': the capital of France?"
_LOGPROBS = "choice.logprobs.content[]"
_COUNT = "Count from 1 to 100 in English words, separated by commas, and write no more."

# fmt: off
QUESTIONS = (
    Question("Reachability", "an answer, over TLS if https; a clock within 5 s of ours",
             _HELLO, _reachability, refused=BREAKS),
    Question("Answer", "code 200, message, data, traceId; a text, finishReason, usage",
             _HELLO, needs="code=200 data choice.message.content:str",
             wants="code:int message traceId:str choice.finishReason camelCase "
             "data.usage.promptTokens data.usage.completionTokens"),
    Question("Wrong keys", "refused with 401: a secret key; both keys",
             [Request({}, "", _MADE_UP), Request({}, _MADE_UP, _MADE_UP)],
             _refused(401)),
    Question("Stream", "envelopes with a delta; then finishReason, usage, [DONE]",
             [_say("Count from 1 to 20, separated by commas.", stream=True)], _stream,
             needs="choice.delta only-JSON only-envelopes",
             wants="text/event-stream blank-lines choice.finishReason data.usage "
             "[DONE]", refused=BREAKS, needs_end=False),
    Question("Documented parameters", "each is accepted", [_TOGETHER, *_EACH],
             _parameters, is_enough=lambda answers: answers[0].ok),
    Question("Limits", "maxTokens and maxCompletionTokens cut an answer",
             [_say(_COUNT, **{name: _SMALL}) for name in LIMITS], _limits,
             tokens=_SMALL, needs_end=False),
    Question("No messages", "refused with 400 or 422; if streamed, perhaps in an event",
             [_say(), _say(stream=True)], _refused(*INVALID)),
    Question("Unknown model", "refused with 400, 403, 404 or 422",
             [Request({"model": _MADE_UP})],
             _refused(403, 404, *INVALID, other=DIFFERS, accepted=UNCLEAR)),
    Question("Tool call", "toolCalls: id, function.name, arguments as text",
             [_say(_TOOL_PROMPT, **_TOOLS, toolChoice=_FORCED)], _tool_call,
             wants=f"{_CALL}.id:str {_CALL}.function.arguments:str", refused=BREAKS),
    Question("Tool result", "seen under toolCalls, toolCallId",
             _histories, _tool_result,
             is_enough=lambda answers: _sees_number(answers[-1])),
    Question("Streamed tool call", "the same in pieces, each with an index",
             [_say(_TOOL_PROMPT, **_TOOLS, toolChoice="required", stream=True)],
             _tool_call, wants=f"{_PIECE}.index:int {_PIECE}.id:str "
             f"{_PIECE}.function.arguments:str", refused=BREAKS),
    Question("Reasoning in messages", "accepted or refused; not sent by default",
             [_thought("reasoningContent"), _thought("reasoning_content")],
             _reasoning_in_messages),
    Question("json_schema", "an answer that fits the schema",
             [_say("What is the capital of France?", responseFormat=_CITY_FORMAT)],
             _json("city", "country"), refused=BREAKS),
    Question("json_object", "an answer that is a JSON object",
             [_say(_JSON_PROMPT, responseFormat={"type": "json_object"})],
             _json("city"), refused=BREAKS),
    Question("n = 2", "two choices", [Request({"n": 2})],
             wants="choices=2", refused=DIFFERS),
    Question("logprobs", "content: token, logprob, topLogprobs",
             [Request({"logprobs": True, "topLogprobs": 2})], refused=DIFFERS,
             wants=f"{_LOGPROBS}.token {_LOGPROBS}.logprob {_LOGPROBS}.topLogprobs"),
    Question("Image", "the model sees an image_url with a data: URL",
             [_say(_IMAGE)], _image, refused=BREAKS),
    Question("Reasoning", "a thinking model's is in reasoningContent",
             [_say("How many days are 3 weeks?", model="gpt-5.1-thinking")], _reasoning,
             wants="choice.message.reasoningContent", refused=UNCLEAR),
)
# fmt: on
