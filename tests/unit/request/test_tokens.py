"""Estimates of the number of tokens, compared to those of a tokenizer."""
# ruff: noqa: RUF001 - the samples are in the scripts of their languages

import base64
import importlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_pmock import Wire
from langchain_pmock._json import encode
from langchain_pmock._request.tokens import count_message_tokens, count_text_tokens
from langchain_pmock._request.tools import tools_to_wire

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
    "Arabic": (
        "لم يتحدث حارس المنارة إلى أحد منذ أحد عشر يوما حين وصل القارب أخيرا. كان "
        "يراقبه من الشرفة، ظلا رماديا صغيرا يختفي خلف الأمواج، وتساءل من يكون أحمق "
        "بما يكفي ليعبر البحر في مثل هذا الطقس."
    ),
}
# The number of tokens of o200k_base, and the error of the estimate in percent, which
# the docstring of the module has.
EXACT = {
    "English": (92, 23),
    "Chinese": (108, -14),
    "Japanese": (108, -9),
    "Korean": (84, 13),
    "Python": (147, 3),
    "JSON": (153, -35),
    "numbers": (84, -58),
    "emoji": (56, -36),
    "Arabic": (64, -27),
}


@pytest.mark.filterwarnings("ignore:open_binary is deprecated")
@pytest.mark.parametrize("name", SAMPLES)
def test_error_of_the_estimate(name: str) -> None:
    bpe_openai = importlib.import_module("bpe_openai")  # it has no types
    exact, error = EXACT[name]
    assert len(bpe_openai.get_encoding("o200k_base").encode(SAMPLES[name])) == exact
    estimate = count_text_tokens(SAMPLES[name])
    assert 100 * (estimate / exact - 1) == pytest.approx(error, abs=1)


@given(st.text())
def test_any_text_counts_and_another_line_counts_more(text: str) -> None:
    assert 0 <= count_text_tokens(text) < count_text_tokens(f"{text}\nand so on")


PIXELS = base64.b64encode(bytes(300_000)).decode()
PICTURE = {"type": "image", "mime_type": "image/png", "base64": PIXELS}
ANTHROPIC = {"type": "base64", "media_type": "image/png", "data": PIXELS}
CALL = {"name": "note", "args": {"text": "x" * 400}, "id": "1", "type": "tool_call"}
DEEP: dict[str, Any] = {}
DEEP["deeper"] = DEEP


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        (HumanMessage(""), 4),
        (HumanMessage("Hello, world"), 4 + 3),
        (SystemMessage([{"type": "text", "text": "Hello, world"}]), 4 + 3),
        (HumanMessage("", name="ada"), 4 + 1),
        # With the id, the name and the braces.
        (AIMessage("", tool_calls=[CALL]), 4 + 122),
        (AIMessage([{**CALL}], tool_calls=[CALL]), 4 + 122),
        (ToolMessage("Hello, world", tool_call_id="1", artifact=PIXELS), 4 + 3 + 1),
        # An image counts as a constant, audio and files by their size.
        (HumanMessage([PICTURE]), 4 + 765),
        (HumanMessage([{"type": "image", "source": ANTHROPIC}]), 4 + 765),
        (HumanMessage([{**PICTURE, "extras": {"detail": "low"}}]), 4 + 85),
        (HumanMessage([{**PICTURE, "type": "audio", "mime_type": "audio/wav"}]), 604),
        (HumanMessage([{**PICTURE, "type": "file"}]), 4 + 9091),
        (HumanMessage([{"type": "file", "file_id": "file-1"}]), 4 + 1500),
        (HumanMessage([{"type": "video_url", "video_url": {"url": "x"}}]), 4 + 1500),
        (HumanMessage([{"type": "video", "video": {"data": "x" * 440}}]), 4 + 10),
        (HumanMessage([{"type": "file", "file": {"file_data": 5}}]), 4 + 1500),
        # As they are sent: not at all.
        (AIMessage([{"type": "thinking", "thinking": "x", "signature": PIXELS}]), 4),
        # What cannot be sent: its text.
        (HumanMessage([{"type": "video", "base64": PIXELS}, "Hello, world"]), 4 + 3),
        (RemoveMessage(id="1"), 4),
        (AIMessage("Hello, world", tool_calls=[{**CALL, "args": DEEP}]), 4 + 3),
    ],
)
def test_tokens_of_a_message(message: BaseMessage, tokens: int) -> None:
    count = count_message_tokens([message])
    assert count == pytest.approx(tokens, rel=0.05)
    assert count_message_tokens([message, message]) == 2 * count


def test_reasoning_counts_if_it_is_sent() -> None:
    answer = AIMessage("Yes.", additional_kwargs={"reasoning_content": "x" * 4000})
    assert count_message_tokens([answer]) == 5
    assert count_message_tokens([answer], wire=Wire(reasoning_content="r")) == 1005


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"Sunny in {city}"


@pytest.mark.parametrize("a_tool", [get_weather, {"type": "search", "days": "1" * 200}])
def test_tools_count_as_they_are_sent(a_tool: Any) -> None:
    sent = encode(tools_to_wire([a_tool])).decode()
    assert count_message_tokens([], [a_tool]) == count_text_tokens(sent) > 40
