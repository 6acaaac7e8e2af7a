"""How many tokens a prompt takes, without a tokenizer."""
# ruff: noqa: RUF001 - the samples are in the scripts of their languages

import base64
import importlib
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    trim_messages,
)
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from langchain_pmock._tokens import count_message_tokens, count_text_tokens

SAMPLES = {
    "English": (
        "The lighthouse keeper had not spoken to anyone for eleven days when the "
        "boat finally came. He watched it from the gallery, a small grey shape "
        "that kept disappearing behind the swell, and he wondered who would have "
        "been foolish enough to cross in such weather. By noon it had reached the "
        "landing. Two men climbed out, soaked and laughing, and began to unload "
        "crates of flour, candles, newspapers and, he noticed with relief, at "
        "least one sack of coffee."
    ),
    "Chinese": (
        "守塔人已经十一天没有和任何人说过话了，船终于来了。"
        "他站在高处望着那个小小的灰色影子，它不时消失在浪涛后面。他想，"
        "谁会傻到在这样的天气里渡海呢?到了中午，船靠了岸，"
        "两个人浑身湿透地笑着爬上来，开始卸下面粉、蜡烛和报纸，"
        "还有一袋他盼望已久的咖啡。"
    ),
    "Japanese": (
        "灯台守は十一日間、誰とも口をきいていなかった。ようやく船がやって来たとき、"
        "彼は高いところから波の間に見え隠れする小さな灰色の影を眺めていた。"
        "こんな天気に海を渡るとは、いったい誰だろう。昼ごろ船は岸に着き、"
        "二人の男が笑いながら荷物をおろし始めた。"
    ),
    "Korean": (
        "등대지기는 열하루 동안 아무와도 말을 하지 않았다. 마침내 배가 왔을 때 "
        "그는 높은 곳에서 파도 사이로 사라졌다 나타나는 작은 회색 그림자를 "
        "바라보았다. 이런 날씨에 바다를 건너는 사람이 누구일까? 정오 무렵 배가 "
        "닿았고 두 사람이 웃으며 짐을 내리기 시작했다."
    ),
    "Python": '''\
def retry_delays(first: float, limit: float, attempts: int) -> Iterator[float]:
    """Yield the seconds to wait before each further attempt."""
    delay = first
    for attempt in range(1, attempts):
        jitter = random.uniform(0, delay / 4)
        if attempt > MAX_ATTEMPTS or self._closed:
            raise RetryError(f"gave up after {attempt} attempts")
        yield min(delay + jitter, limit)
        delay *= 2


class HttpClientPool(dict[str, httpx.Client]):
    def getOrCreate(self, baseUrl: str) -> httpx.Client:
        return self.setdefault(baseUrl, httpx.Client(base_url=baseUrl))
''',
    "JSON": (
        '{"orderId": 48213, "customer": {"name": "Ada Byron", "email": '
        '"ada@example.com", "vip": true}, "items": [{"sku": "LMP-0042", '
        '"quantity": 2, "unit_price": 19.95}, {"sku": "CBL-1107", "quantity": 1, '
        '"unit_price": 4.5}], "shipped_at": "2025-11-03T14:27:09Z", "notes": null, '
        '"tags": ["gift", "express"], "address": {"street": "12 Harbour Road", '
        '"city": "Bristol", "postcode": "BS1 4QA", "country": "GB"}}'
    ),
    "numbers": (
        "2024-01-31,1048576,3.14159265,0.0025\n2024-02-29,99,271828.18,-17\n"
        "2024-03-31,8675309,42.0,100000\n+49 30 1234567, 10.0.0.255, 4111 1111 1111\n"
    ),
    "emoji": (
        "Release day 🚀🚀 everything is green ✅ and the tests passed 🎉🎉🎉 "
        "thanks all 🙏 ❤️ see you at the party 🍕🍻🥳 (bring 🌧️ gear, it might "
        "rain ☔) 👍🏽👍 😂😂😭"
    ),
    "German": (
        "Der Leuchtturmwärter hatte seit elf Tagen mit niemandem gesprochen, als "
        "das Boot endlich kam. Er beobachtete es von der Galerie aus, eine kleine "
        "graue Gestalt, die immer wieder hinter den Wellen verschwand, und fragte "
        "sich, wer wohl so töricht sei, bei diesem Wetter überzusetzen."
    ),
    "Russian": (
        "Смотритель маяка уже одиннадцать дней ни с кем не разговаривал, когда "
        "наконец пришла лодка. Он следил за ней с галереи: маленькая серая тень то "
        "и дело исчезала за волнами, и он думал, кому хватило глупости плыть в "
        "такую погоду."
    ),
    "Arabic": (
        "لم يتحدث حارس المنارة إلى أحد منذ أحد عشر يوما حين وصل القارب أخيرا. كان "
        "يراقبه من الشرفة، ظلا رماديا صغيرا يختفي خلف الأمواج، وتساءل من يكون أحمق "
        "بما يكفي ليعبر البحر في مثل هذا الطقس."
    ),
    "Hindi": (
        "प्रकाशस्तंभ के रखवाले ने ग्यारह दिनों से किसी से बात नहीं की थी जब आखिरकार "
        "नाव आई। वह उसे ऊपर से देखता रहा और सोचता रहा कि ऐसे मौसम में समुद्र पार "
        "करने की मूर्खता कौन करेगा।"
    ),
}
# The tokens that o200k_base makes of each.
EXACT = {
    "English": 92,
    "Chinese": 108,
    "Japanese": 108,
    "Korean": 84,
    "Python": 147,
    "JSON": 153,
    "numbers": 84,
    "emoji": 56,
    "German": 67,
    "Russian": 70,
    "Arabic": 64,
    "Hindi": 52,
}


def error(count: float, exact: int) -> float:
    """By how much a count is off, as a share of the exact one."""
    return abs(count - exact) / exact


@pytest.mark.filterwarnings("ignore:open_binary is deprecated")
@pytest.mark.parametrize("name", SAMPLES)
def test_recorded_counts_are_those_of_the_tokenizer(name: str) -> None:
    bpe_openai = importlib.import_module("bpe_openai")  # it has no types
    tokens = bpe_openai.get_encoding("o200k_base").encode(SAMPLES[name])
    assert len(tokens) == EXACT[name]


@pytest.mark.parametrize("name", SAMPLES)
def test_an_estimate_is_within_12_percent(name: str) -> None:
    assert error(count_text_tokens(SAMPLES[name]), EXACT[name]) <= 0.12


def test_a_quarter_of_the_characters_is_much_further_off() -> None:
    usual = {name: len(SAMPLES[name]) / 4 / EXACT[name] - 1 for name in SAMPLES}
    # The figures in the docstring of the module.
    assert round(max(usual.values()), 2) == round(usual["English"], 2) == 0.23
    assert round(min(usual.values()), 2) == round(usual["Chinese"], 2) == -0.72


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), (" ", 0), ("a", 1), ("Hello, world!", 4), ("\n", 1), ("🚀", 2)],
)
def test_short_texts(text: str, tokens: int) -> None:
    assert count_text_tokens(text) == tokens


@given(st.text())
def test_any_text_counts_and_another_line_counts_more(text: str) -> None:
    assert 0 <= count_text_tokens(text) < count_text_tokens(f"{text}\nand so on")


@pytest.mark.parametrize("unit", [" ", "a", "A", "aé", "\t", "\n ", "1", "-", "中"])
def test_time_grows_with_the_length_alone(unit: str) -> None:
    start = time.perf_counter()
    count_text_tokens(unit * 200_000 + "é")
    assert time.perf_counter() - start < 2


def test_a_message_is_its_text_and_a_frame() -> None:
    assert count_message_tokens([]) == 0
    assert count_message_tokens([HumanMessage("")]) == 4
    assert count_message_tokens([HumanMessage("Hello, world!")]) == 8
    assert count_message_tokens([SystemMessage([{"type": "text", "text": "Hi"}])]) == 5


def test_counts_of_messages_add_up() -> None:
    messages: list[BaseMessage] = [SystemMessage("Be brief."), HumanMessage("Why?")]
    one_by_one = [count_message_tokens([message]) for message in messages]
    assert count_message_tokens(messages) == sum(one_by_one)


def test_a_name_counts() -> None:
    plain, named = HumanMessage("Hi"), HumanMessage("Hi", name="ada")
    assert count_message_tokens([named]) - count_message_tokens([plain]) == 2


def ai(args: dict[str, Any], content: str | list[str | dict[str, Any]] = "") -> int:
    """Count an answer that calls a tool."""
    call = {"name": "get_weather", "args": args, "id": "call_1", "type": "tool_call"}
    return count_message_tokens([AIMessage(content, tool_calls=[call])])


def test_a_tool_call_counts_its_name_and_its_arguments() -> None:
    assert ai({}) > count_message_tokens([AIMessage("")]) + 8
    assert ai({"city": "Paris", "days": 3}) > ai({"city": "Paris"}) > ai({})


def test_arguments_count_as_text_not_as_escapes() -> None:
    # Escaped, each character would be six.
    assert ai({"city": "北京市海淀区"}) - ai({"city": ""}) <= 6


def test_a_tool_call_that_is_also_a_block_counts_once() -> None:
    block = {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {}}
    assert ai({"city": "Paris"}, [block]) == ai({"city": "Paris"})


def test_a_broken_tool_call_counts_as_it_came() -> None:
    def broken(args: str | None) -> int:
        call = {"name": None, "args": args, "id": None, "error": None}
        return count_message_tokens(
            [AIMessage("", invalid_tool_calls=[{**call, "type": "invalid_tool_call"}])]
        )

    assert broken('{"city": "Par') > broken(None) > 4


def test_the_result_of_a_tool_counts() -> None:
    message = ToolMessage("Hello, world!", tool_call_id="call_1", artifact="x" * 9999)
    assert count_message_tokens([message]) == 8


PIXELS = base64.b64encode(bytes(300_000)).decode()


@pytest.mark.parametrize(
    ("block", "tokens"),
    [
        ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, 765),
        ({"type": "image_url", "image_url": "https://example.com/a.png"}, 765),
        ({"type": "image_url", "image_url": {"url": "x", "detail": "auto"}}, 765),
        ({"type": "image_url", "image_url": {"url": "x", "detail": "low"}}, 85),
        ({"type": "image", "base64": PIXELS, "mime_type": "image/png"}, 765),
        ({"type": "image", "url": "x", "extras": {"detail": "low"}}, 85),
        ({"type": "image", "source_type": "base64", "data": PIXELS}, 765),
    ],
)
def test_an_image_costs_the_same_whatever_its_size(
    block: dict[str, Any], tokens: int
) -> None:
    assert count_message_tokens([HumanMessage([block])]) == 4 + tokens


@pytest.mark.parametrize(
    ("block", "tokens"),
    [
        ({"type": "audio", "base64": PIXELS, "mime_type": "audio/mpeg"}, 600),
        ({"type": "input_audio", "input_audio": {"data": PIXELS}}, 600),
        ({"type": "file", "base64": PIXELS, "mime_type": "application/pdf"}, 9091),
        ({"type": "file", "file": {"file_data": PIXELS, "filename": "a.pdf"}}, 9091),
        ({"type": "document", "source": {"type": "base64", "data": PIXELS}}, 9091),
        ({"type": "media", "data": bytes(300_000)}, 9091),
        ({"type": "file", "file_id": "file-1"}, 1500),
        ({"type": "audio", "url": "https://example.com/a.mp3"}, 1500),
    ],
)
def test_sound_and_files_go_by_their_size(block: dict[str, Any], tokens: int) -> None:
    assert count_message_tokens([HumanMessage([block])]) == 4 + tokens


def test_a_file_is_not_taken_for_text() -> None:
    """What langchain-core makes of the same message, hence a counter of our own."""
    pdf = HumanMessage([{"type": "file", "base64": PIXELS}])
    assert count_tokens_approximately([pdf]) > 10 * count_message_tokens([pdf])


def get_weather(city: str) -> str:
    """Tell the weather in a city.

    Args:
        city: The name of the city.
    """
    return f"Sunny in {city}"


class Weather(BaseModel):
    """Tell the weather in a city."""

    city: str = Field(description="The name of the city.")


@pytest.mark.parametrize(
    "a_tool",
    [
        get_weather,
        tool(get_weather),
        Weather,
        Weather.model_json_schema(),
        {"type": "function", "function": {"name": "f", "description": "Tell it all."}},
        {"type": "some_search", "max_results": 3, "region": "eu"},
    ],
    ids=["function", "tool", "class", "schema", "openai", "unknown"],
)
def test_every_form_of_a_tool_counts(a_tool: object) -> None:
    message = HumanMessage("Hi")
    tokens = count_message_tokens([message], [a_tool]) - count_message_tokens([message])
    assert 20 < tokens < 80
    assert count_message_tokens([], [a_tool, a_tool]) == 2 * tokens


KINDS = ["text", "image_url", "image", "audio", "input_audio", "file", "tool_call"]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
keys = st.sampled_from(["text", "image_url", "data", "base64", "source", "extras"])
blocks = st.text() | st.builds(
    lambda kind, rest: {"type": kind, **rest},
    st.sampled_from(KINDS) | values,
    st.dictionaries(keys | st.text(), values),
)


@given(st.lists(blocks))
def test_blocks_of_any_type_count(content: list[str | dict[str, Any]]) -> None:
    assert count_message_tokens([AIMessage(content)]) >= 4


def test_a_block_that_is_no_block_counts() -> None:
    # Nothing in langchain-core makes such a message, but one can be built.
    message = HumanMessage.model_construct(content=[42])  # type: ignore[list-item]
    assert count_message_tokens([message]) > 4


def test_trim_messages_keeps_what_fits() -> None:
    messages: list[BaseMessage] = [HumanMessage(f"问题{i}。" * 20) for i in range(10)]
    limit = count_message_tokens(messages[-3:])
    kept = trim_messages(
        messages, max_tokens=limit, token_counter=count_message_tokens, strategy="last"
    )
    assert kept == messages[-3:]
