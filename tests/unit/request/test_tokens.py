"""How many tokens a text takes, without a tokenizer."""
# ruff: noqa: RUF001 - the samples are in the scripts of their languages

import importlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_pmock._request.tokens import count_text_tokens

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
