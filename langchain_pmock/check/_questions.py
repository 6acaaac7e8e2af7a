"""The questions: what each sends, and how its answers are judged."""

from __future__ import annotations

import asyncio
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_pmock._wire import Wire
from langchain_pmock.check._service import BUSY, TOO_MANY, camel_case, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from langchain_pmock.check._service import Answer, Json, Service

    Judged = Iterator[tuple[str, str | Wire]]
    """Verdicts, of which the worst one counts, with reasons or the `Wire` to use."""

# In order of severity. The package copes with what "differs", not with "differs!".
VERDICTS = ("as assumed", "unclear", "differs", "differs!", "failed!")
AS_ASSUMED, UNCLEAR, DIFFERS, BREAKS, FAILED = VERDICTS
QUESTION_SECONDS, RUN_SECONDS = 60.0, 600.0  # the limits of each question, and of all

_NUMBER = str(10_000 + secrets.randbelow(90_000))  # that the model cannot guess
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
    # What differs from the minimal request, or a function that makes it of the answers
    # before. Without requests, the question is about these answers.
    requests: Sequence[Json] | Callable[[list[Answer]], Sequence[Json]]
    judge: Callable[..., Judged] = lambda *_: iter(())
    needs: str = ""  # facts without which the package does not work, in any spelling
    wants: str = ""  # other facts that are assumed, if the judge has no objection
    refused: str = ""  # the verdict if a request is refused, unless that is judged
    is_signed: bool = True  # with the right key


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
    async with service.client:
        for question in QUESTIONS:
            service.about = question.about
            service.deadline = min(clock() + QUESTION_SECONDS, end)
            requests = question.requests
            requests = requests(answers) if callable(requests) else requests
            answers = [] if requests else answers
            for request in requests:
                answers.append(await service.ask(request, is_signed=question.is_signed))
                if answers[-1].problem or _sees_number(answers[-1]):
                    break
            verdict, reasons = _judge(question, answers)
            found = "; ".join(service.quote(r) for r in reasons if isinstance(r, str))
            wires = [reason for reason in reasons if isinstance(reason, Wire)]
            finding = Finding(question.about, question.expected, found, verdict, *wires)
            findings.append(finding)
            show(finding)
            if not service.is_accepted:
                break
    return findings


def _judge(question: Question, answers: list[Answer]) -> tuple[str, list[str | Wire]]:
    refusals = [answer for answer in answers if not answer.ok]
    # Where a refusal is judged, a server error may be one.
    void = BUSY if question.refused else (TOO_MANY,)
    is_void = any(answer.problem or answer.number in void for answer in refusals)
    verdict = FAILED if is_void else question.refused
    if refusals and verdict:
        return verdict, [answer.outcome for answer in refusals]
    judged = list(question.judge(*answers))
    if all(verdict == AS_ASSUMED for verdict, _ in judged):
        facts = answers[-1].facts
        either, needs = {*map(camel_case, facts)}, question.needs.split()
        judged += [(BREAKS, f"no {need}") for need in needs if need not in either]
        wants = question.wants.split()
        judged += [(DIFFERS, f"no {want}") for want in wants if want not in facts]
    reasons = [reason for _, reason in judged] or ["as expected"]
    verdict = max([AS_ASSUMED, *(v for v, _ in judged)], key=VERDICTS.index)
    is_cut = any(_STOPPED_EARLY.search(answer.finish_reason) for answer in answers)
    if verdict != AS_ASSUMED and is_cut:
        return UNCLEAR, ["the model was stopped early", *reasons]
    return verdict, reasons


def _say(text: str, *others: Json, **fields: Any) -> Json:
    return {"messages": [{"role": "user", "content": text}, *others], **fields}


def _schema(name: str) -> Json:
    rest = {"required": [name], "additionalProperties": False}
    return {"type": "object", "properties": {name: {"type": "string"}}, **rest}


_TOOL = {"name": "get_number", "parameters": _schema("name")}
_TOOLS: Json = {"tools": [{"type": "function", "function": _TOOL}]}
_TOOL_PROMPT = "What is the number of Anna? Ask get_number, then give it in digits."
_FORCED = {"type": "function", "function": {"name": "get_number"}}
_CALL, _PIECE = "choice.message.toolCalls[]", "choice.delta.toolCalls[]"
_CITY = {"name": "answer", "schema": _schema("city"), "strict": True}
# Values without an effect, because only the names and shapes are checked.
_SAMPLING = {"temperature": 1, "topP": 1, "frequencyPenalty": 0, "presencePenalty": 0}
_OTHERS = {"stop": ["###"], "seed": 1, "user": "check", "logitBias": {"0": 0}}


def _histories(answers: list[Answer]) -> list[Json]:
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


def _clock(answer: Answer) -> Judged:
    if (offset := answer.clock_offset) is None:
        yield DIFFERS, "no Date header"
    else:
        verdict = AS_ASSUMED if abs(offset) < _CLOCK_TOLERANCE else DIFFERS
        yield verdict, f"its clock is {offset:+.0f} s from this machine's"


def _refused(*numbers: int) -> Callable[..., Judged]:
    def judge(*answers: Answer) -> Judged:
        for answer in answers:
            is_right = answer.number in numbers or answer.status in numbers
            verdict = AS_ASSUMED if is_right else BREAKS
            yield (DIFFERS, "answered") if answer.ok else (verdict, answer.outcome)

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


def _tool_call(answer: Answer) -> Judged:
    names = answer.all(f"{_CALL}.function.name", f"{_PIECE}.function.name")
    if "get_number" in names:
        pieces = answer.all(*(f"{call}.function.arguments" for call in (_CALL, _PIECE)))
        text = "".join(piece for piece in pieces if isinstance(piece, str))
        if text and not isinstance(parse(text), dict):
            yield UNCLEAR, "the arguments are not the JSON of an object"
    elif not any(names) and ("tool" in answer.finish_reason or answer.all(_CALL)):
        yield BREAKS, f"a call in an unknown field of {sorted(answer.paths)}"
    else:
        yield UNCLEAR, f"the model did not call the tool ({answer.finish_reason})"


def _sees_number(answer: Answer) -> bool:
    return answer.ok and _NUMBER in re.sub(r"\D", "", answer.text)


def _tool_result(*answers: Answer) -> Judged:
    for wire, answer in dict(zip(_SPELLINGS, answers, strict=False)).items():
        seen = "seen" if _sees_number(answer) else "accepted, not seen"
        found = seen if answer.ok else answer.outcome
        yield AS_ASSUMED, f"{wire.tool_calls}, {wire.tool_call_id}: {found}"
    wire = _SPELLINGS[len(answers) - 1]
    if not _sees_number(answers[-1]):
        # The model may have ignored a result that it saw.
        yield UNCLEAR if answers[0].ok else BREAKS, "no answer repeats the result"
    elif wire != Wire():
        yield BREAKS, wire


def _city(answer: Answer) -> Judged:
    text = answer.text.strip()
    fenced = re.fullmatch(r"```(?:json)?\s*(.*?)\s*```", text, re.DOTALL)
    value = parse(fenced[1] if fenced else text)
    if not isinstance(value, dict):
        yield BREAKS if text else UNCLEAR, "accepted, but not a JSON object"
    elif "city" not in value:
        yield UNCLEAR, "JSON, without the key that was asked for"
    elif fenced:
        yield DIFFERS, "JSON in a Markdown fence"


def _reasoning(answer: Answer) -> Judged:
    if not any(re.search("choice.*(reason|think)", path) for path in answer.paths):
        yield UNCLEAR, "none"


# fmt: off
QUESTIONS = (
    Question("Reachability", "an answer; a clock within 5 s of ours",
             [{}], _clock, refused=FAILED),
    Question("Answer", "code 200, message, data, traceId; a text, finishReason, usage",
             [], needs="code=200 data choice.message.content:str",
             wants="code:int message traceId:str choice.finishReason camelCase "
             "data.usage.promptTokens data.usage.completionTokens"),
    Question("Wrong key", "refused with 401", [{}], _refused(401), is_signed=False),
    Question("Stream", "envelopes with a delta; then finishReason, usage, [DONE]",
             [_say("Count from 1 to 20, separated by commas.", stream=True)], _stream,
             needs="choice.delta only-JSON only-envelopes",
             wants="text/event-stream blank-lines choice.finishReason data.usage "
             "[DONE]", refused=BREAKS),
    Question("Parameters", "accepted", [{**_SAMPLING, **_OTHERS}], refused=DIFFERS),
    Question("No messages", "refused with 400 or 422; if streamed, perhaps in an event",
             [{"messages": []}, {"messages": [], "stream": True}], _refused(400, 422)),
    Question("Tool call", "toolCalls: id, function.name, arguments as text",
             [_say(_TOOL_PROMPT, **_TOOLS, toolChoice=_FORCED)], _tool_call,
             wants=f"{_CALL}.id:str {_CALL}.function.arguments:str", refused=BREAKS),
    Question("Tool result", "seen under toolCalls, toolCallId",
             _histories, _tool_result),
    Question("Streamed tool call", "the same in pieces, each with an index",
             [_say(_TOOL_PROMPT, **_TOOLS, toolChoice="required", stream=True)],
             _tool_call, wants=f"{_PIECE}.index:int {_PIECE}.id:str "
             f"{_PIECE}.function.arguments:str", refused=BREAKS),
    Question("json_schema", "an answer that fits the schema",
             [_say("What is the capital of France?",
                    responseFormat={"type": "json_schema", "json_schema": _CITY})],
             _city, refused=BREAKS),
    Question("Reasoning", "a thinking model's is in reasoningContent",
             [_say("How many days are 3 weeks?", model="gpt-5.1-thinking")],
             _reasoning, wants="choice.message.reasoningContent", refused=UNCLEAR),
)
# fmt: on
