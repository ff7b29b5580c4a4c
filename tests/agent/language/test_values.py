"""Values as text: results, calls, and long results cut around what was asked for."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from agent.language.excerpt import excerpt
from agent.language.tasks import Signature
from agent.language.values import as_container, for_people, is_longer, render_call, to_text

AS_THEY_ARE = [
    *("3.10.1", "192.168.100.200", "v3.141592653589793", "id_9910.880000000001", "978-0-306-40615-7", "+49 30 1234567"),
    *("90210", "50.123456789, -8.123456789", "12:30:15.123456789", "2026-11-29T12:30:15.123456Z", "1,234.880000000001"),
    *("https://x.org/9910.880000000001/y", "10.1038/s41586-020-2649-2", "1.2345678901234567e10", "229.95 %", "٣٫١٤"),
    *("1234567890.123456789012345678901234567890", "0." + "1" * 60),
]
"""Texts in which no digit is one too many."""

FILLER = "The weather was fair and nothing happened. " * 200


@given(st.text(), st.integers(0, 30))
def test_cutting_keeps_the_beginning(text: str, most: int) -> None:
    shown = excerpt(text, most)
    assert shown == text or (len(text) > most and text[:most].startswith(shown.rpartition("… [cut: ")[0]))


ELEMENTS = st.recursive(
    st.integers() | st.floats(allow_nan=False) | st.text('a.b ,"\\é'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("a. ,"), inner, max_size=4),
    max_leaves=6,
)


@example([0, 0, 0, 0, 0, ["bbb"]], "aa bbb")
@given(st.lists(ELEMENTS, min_size=5), st.sampled_from(["", "aa bbb"]))
def test_json_is_cut_behind_an_element(elements: list[object], about: str) -> None:
    written = [json.dumps(element) for element in elements]
    most = 2 * max(map(len, written)) + 8
    shown, note, _ = excerpt(json.dumps(elements), most, about).rpartition("… [cut: ")
    all_of_it = ", ".join(written)
    for part in shown.removeprefix("[").split("… ") if note else ():
        label = re.match(r"\[(\d+)\]: ", part)
        part = part[label.end() if label else 0 :].strip().rstrip(",")
        assert f"{part}, " in f"{all_of_it}, " or f"{all_of_it}]".endswith(part)
        assert not label or f"{', '.join(written[int(label[1]) :])}]".startswith(part)


ORDERS = [{"id": f"A-{n}", "total": 229.95 + n, "note": "one, two; {three} [4]. Five"} for n in range(40)]


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("Here are the orders:\n" + json.dumps(ORDERS) + "\nThat is all.", "}|orders:"),
        ("\n".join(map(json.dumps, ORDERS)), "}"),
        (str(ORDERS), "}"),
        (f"As of today [1], they are: {json.dumps(ORDERS, indent=1)}.", r"}|\[1\],|are:|today"),
        (";".join("229.95" for _ in ORDERS * 2), "[5];"),
        ("値段は229.95円です。" * 40, "。"),
    ],
)
def test_what_is_cut_ends_where_an_element_of_a_list_or_a_figure_does(text: str, end: str) -> None:
    for most in range(60, 400, 17):
        shown = excerpt(text, most).rpartition("… [cut: ")[0]
        assert re.search(rf"(?:{end})\Z", shown) or most < 120, f"{most}: {shown}"


def test_a_sentence_does_not_end_at_a_decimal_point() -> None:
    text = "It costs 229.95 euros. " * 20
    assert all(not excerpt(text, most).partition("…")[0].endswith("229.") for most in range(25, 100))


def test_a_value_is_longer_than_the_sum_of_its_texts_and_elements() -> None:
    assert not is_longer("x" * 100, 100)
    assert is_longer("x" * 101, 100)
    assert is_longer([["x" * 50]] * 2, 100)
    assert is_longer({"x" * 60: "y" * 60}, 100)
    assert not is_longer(Exception("x" * 1000), 100)
    circle: list[object] = []
    circle.append(circle)
    assert is_longer(circle, 10**6)


@pytest.mark.parametrize("text", ['"K2", "Fuji"', '"K2" "Fuji"', '"K2"', '"K2", he said'])
def test_words_in_quotes_are_no_list(text: str) -> None:
    assert as_container(text) is None


def test_a_short_text_is_whole() -> None:
    assert excerpt("K2 is 8,611 m high.", 100, about="K2") == "K2 is 8,611 m high."


def test_what_was_asked_for_is_kept_wherever_it_stands() -> None:
    text = f"{FILLER}The summit of Annapurna is 8,091 metres high. {FILLER}"
    shown = excerpt(text, 600, about='search("height of the Annapurna summit")')
    assert shown.startswith("The weather was fair")
    assert "The summit of Annapurna is 8,091 metres high." in shown
    assert shown.endswith(f"… [cut: 600 of {len(text):,} characters shown, picked by their words]")


@pytest.mark.parametrize("write", ["{question} {document}", "{document} {question}"])
def test_what_is_looked_for_is_read_at_both_ends(write: str) -> None:
    """It may be a question with a document, and is read for each result."""
    document = " ".join(f"word{number}" for number in range(20_000))
    about = write.format(question="How high is Annapurna?", document=document)
    text = f"{FILLER}word10000. {FILLER}Annapurna is 8,091 m high. {FILLER}"
    shown = excerpt(text, 400, about)
    assert "Annapurna is 8,091 m high." in shown
    assert "word10000" not in shown


def test_a_name_with_a_digit_in_it_is_a_word_to_look_for() -> None:
    text = f"{FILLER}E3: flame lost. {FILLER}"
    assert "E3: flame lost." in excerpt(text, 400, about="What is E3?")


@pytest.mark.parametrize("wanted", ["2026-02-17", "12:17", "A-217", "1.2.17"])
def test_a_date_a_time_and_a_number_are_looked_for_as_a_whole(wanted: str) -> None:
    rows = (
        f"2026-{n // 28 + 1:02}-{n % 28 + 1:02},{n % 24:02}:{n % 60:02},A-{n},{n % 7}.{n % 3}.{n},North"
        for n in range(330)
    )
    text = "\n".join([*rows, f"the row: {wanted}"])
    assert f"the row: {wanted}" in excerpt(
        text, 500, about=f"What of 2026-01-02, and of {wanted} and 12:02, A-2, 1.2.3?"
    )


@pytest.mark.parametrize("write", [json.dumps, str])
def test_behind_a_gap_in_a_list_its_next_element_says_which_it_is(write: Callable[[Any], str]) -> None:
    shown = excerpt(
        write([{"id": n, "name": f"Nr{n} of all of the customers there are"} for n in range(90)]), 500, "Nr70 Nr42"
    )
    for wanted in (42, 70):
        assert f"… [{wanted}]: {write({'id': wanted, 'name': f'Nr{wanted} of all'})[:-3]}" in shown
    assert "… [" not in excerpt(write({"all": [{"id": n} for n in range(90)]}), 300, "id 70").rpartition("… [cut")[0]


@pytest.mark.parametrize("text", [json.dumps(ORDERS), "\n".join(map(json.dumps, ORDERS)), FILLER.replace("a", "A-7 ")])
def test_an_excerpt_of_an_excerpt_tells_of_the_whole_text_and_counts_no_elements(text: str) -> None:
    once = excerpt(text, 900, about="A-7 A-19 A-31")
    twice = excerpt(once, 300, about="A-31")
    assert twice.endswith(f"… [cut: 300 of {len(text):,} characters shown" + once[once.rindex(" shown") + 6 :])
    assert twice.count("[cut: ") == 1
    assert "… …" not in twice
    assert set(re.findall(r"… \[\d+\]: ", twice)) <= set(re.findall(r"… \[\d+\]: ", once))


def test_rare_words_count_for_more_than_common_ones() -> None:
    text = FILLER + "The weather on Annapurna is bad. " + FILLER
    assert "Annapurna is bad" in excerpt(text, 400, about="weather nothing happened Annapurna")


def test_without_a_word_to_look_for_the_beginning_is_shown() -> None:
    assert excerpt("x" * 2000, 100) == "x" * 100 + "… [cut: 100 of 2,000 characters shown]"


def test_a_word_that_most_parts_have_is_none_to_look_for() -> None:
    text = "".join(
        f"{'The day' if n % 3 else 'It'} was so long that nobody knows any more when it began: {n}. "
        for n in range(200)
    )
    assert text.startswith(excerpt(text, 600, about="Summarise the day.").rpartition("… [cut: ")[0])


@given(st.text(alphabet="ab .\n?é", max_size=600), st.integers(10, 200), st.text(alphabet="ab é"))
def test_what_is_shown_is_in_the_text_and_no_longer_than_asked(text: str, most: int, about: str) -> None:
    shown = excerpt(text, most, about)
    if shown != text:
        pieces = shown.rpartition("… [cut: ")[0].split("… ")
        assert sum(map(len, pieces)) <= most
        assert all(piece in text for piece in pieces)


@dataclass
class Place:
    name: str
    heights: list[float]


class City(BaseModel):
    name: str
    people: int


class Point(NamedTuple):
    x: float
    y: float


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        (3, "3"),
        (2.5, "2.5"),
        (9910.880000000001, "9910.88"),
        (0.30000000000000004, "0.3"),
        (1 / 3, "0.3333333333333333"),
        (12345.678901234567, "12345.678901234567"),
        (1e22, "1e+22"),
        (float("nan"), "nan"),
        ([3.3000000000000003, {"total": 9910.880000000001}], '[3.3, {"total": 9910.88}]'),
        ({"id": "id_9910.880000000001"}, '{"id": "id_9910.880000000001"}'),
        (None, "None"),
        (Decimal("1.10"), "1.10"),
        ({"größe": 1}, '{"größe": 1}'),
        ({1: "a"}, '{"1": "a"}'),
        ((1, 2), "[1, 2]"),
        (
            [Place("K2", []), City(name="Rome", people=1)],
            '[{"name": "K2", "heights": []}, {"name": "Rome", "people": 1}]',
        ),
        ([{1}, Decimal(1)], '[[1], "1"]'),
        (Point(1, 2), '{"x": 1, "y": 2}'),
    ],
)
def test_a_result_as_text_is_itself_or_json(value: Any, text: str) -> None:
    assert to_text(value) == text


def test_a_dict_with_keys_that_json_has_not_is_text_too() -> None:
    assert to_text({("Rome", "Paris"): 1106}) == str({("Rome", "Paris"): 1106})


@pytest.mark.parametrize(
    ("given_arguments", "text"),
    [
        ({}, "search()"),
        ({"query": 'say "hi"'}, 'search("say \\"hi\\"")'),
        ({"query": "größte", "n": 3}, 'search("größte", n=3)'),
        ({"n": 3, "query": "x"}, 'search(n=3, query="x")'),
        ({"query": "$1", "context": ["$2", None]}, 'search("$1", context=["$2", null])'),
        ({"user-id": 42, "$top": 5}, 'search("user-id"=42, "$top"=5)'),
    ],
)
def test_a_call_is_rendered_in_the_plan_language(given_arguments: dict[str, Any], text: str) -> None:
    assert render_call("search", given_arguments) == text


def test_what_a_call_can_t_go_without_is_rendered_without_names() -> None:
    signature = Signature("exchange", ("base", "quote", "day", "rate"), frozenset({"base", "quote", "rate"}))
    given_arguments = {"base": "USD", "quote": "EUR", "rate": 2}
    positional = signature.positional(given_arguments)
    assert render_call("exchange", given_arguments, positional=positional) == 'exchange("USD", "EUR", rate=2)'
    assert render_call("exchange", {"base": ["a"]}, positional=1, mapped=True) == 'exchange.map(["a"])'
    assert (
        render_call("add", {"a": 9910.880000000001, "b": [0.30000000000000004]}, positional=1)
        == "add(9910.88, b=[0.3])"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (9910.880000000001, "9910.88"),
        (229.95, "229.95"),
        (8611.0, "8611"),
        (12345.678, "12,345.68"),
        (-0.123456, "-0.123"),
        (0.0000123456, "0.0000123"),
        (0.99999, "1"),
        (5_550_203, "5,550,203"),
        (2024, "2024"),
        (5.97e24, "5.97e+24"),
        (Decimal("0.10"), "0.1"),
        (["Ana", "Ben", "Cleo"], "Ana, Ben and Cleo"),
        ([1.005e-3, "b"], "0.00101 and b"),
        ("Total 9910.880000000001 km with 1.2345 of v1.2.3", "Total 9910.88 km with 1.2345 of v1.2.3"),
        (-0.0, "0"),
        (-1234567.891, "-1,234,567.89"),
        (-0.00012345, "-0.000123"),
        (Decimal("2.675"), "2.68"),
        (Decimal("9910.880000000001"), "9910.88"),
        (Decimal("0E-8"), "0"),
        ([1.0, 2.5, 10000], "1, 2.5 and 10,000"),
        ("€0.30000000000000004 (-9910.880000000001)", "€0.3 (-9910.88)"),
        *((text, text) for text in AS_THEY_ARE),
        ({"a": 0.30000000000000004}, '{"a": 0.3}'),
    ],
)
def test_numbers_are_written_for_people(value: object, text: str) -> None:
    assert for_people(value) == text


@pytest.mark.parametrize(
    "about",
    [
        *(
            "id",
            "order_id",
            "orderId",
            "year",
            '$1["order number"]',
            "$1[0].zip",
            "zipcode",
            "isbn",
            "invoice",
            "phone",
        ),
        *("timestamp", "Your order number is ", "Ticket no. ", "Order #", "Postcode: ", "The code is "),
        *("issue", "Issue ", "PR ", "Your booking is ", "Confirmation: ", "customer", "The postal code of Bern is "),
        *(
            "Номер заказа: ",
            "注文番号は",
            "tel",
            "fax: ",
            "Room ",
            "Flight ",
            "uuid",
            "created_at",
            "Ihre Bestellnummer ist ",
            "订单号是",
            "año ",
        ),
    ],
)
def test_an_integer_that_names_something_keeps_its_digits(about: str) -> None:
    assert for_people(4711999, about) == "4711999"
    assert for_people(4711999.0, about) == "4711999"


@pytest.mark.parametrize(
    "about", ["people", "price", "The order costs ", "There are ", "metres", "paid", "monkey", "issues"]
)
def test_any_other_is_a_figure(about: str) -> None:
    assert for_people(4711999, about) == "4,711,999"


@pytest.mark.parametrize("about", ["ids", "issues", "The orders are "])
def test_a_list_of_those_is_named_by_their_plural(about: str) -> None:
    assert for_people([12345, 23456], about) == "12345 and 23456"


@given(st.floats(-1e300, 1e300))
def test_a_number_for_people_is_the_number_but_for_its_last_digits(value: float) -> None:
    shown = float(for_people(value).replace(",", ""))
    assert abs(shown - value) <= max(0.005, abs(value) * 0.005) * 1.0001


@given(st.dictionaries(st.sampled_from(["query", "context", "n"]), st.text() | st.lists(st.text()) | st.integers()))
def test_a_rendered_call_is_one_line(given_arguments: dict[str, Any]) -> None:
    assert "\n" not in render_call("search", given_arguments)
