"""Values as text: results, calls, and long results cut around what was asked for."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from agent.language.values import cut, excerpt, render_call, to_text

FILLER = "The weather was fair and nothing happened. " * 200


@given(st.text(), st.integers(0, 30))
def test_cutting_keeps_the_beginning(text: str, most: int) -> None:
    assert cut(text, most)[:most] == text[:most]
    assert len(text) > most or cut(text, most) == text


def test_a_short_text_is_whole() -> None:
    assert excerpt("K2 is 8,611 m high.", 100, about="K2") == "K2 is 8,611 m high."


def test_what_was_asked_for_is_kept_wherever_it_stands() -> None:
    text = f"{FILLER}The summit of Annapurna is 8,091 metres high. {FILLER}"
    shown = excerpt(text, 600, about='search("height of the Annapurna summit")')
    assert shown.startswith("The weather was fair")
    assert "The summit of Annapurna is 8,091 metres high." in shown
    assert shown.endswith(f"… [cut: 600 of {len(text):,} characters shown]")


def test_rare_words_count_for_more_than_common_ones() -> None:
    text = FILLER + "The weather on Annapurna is bad. " + FILLER
    assert "Annapurna is bad" in excerpt(text, 400, about="weather nothing happened Annapurna")


def test_without_a_word_to_look_for_the_beginning_is_shown() -> None:
    assert excerpt("x" * 2000, 100) == "x" * 100 + "… [cut: 100 of 2,000 characters shown]"


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
    ],
)
def test_a_call_is_rendered_in_the_plan_language(given_arguments: dict[str, Any], text: str) -> None:
    assert render_call("search", given_arguments) == text


@given(st.dictionaries(st.sampled_from(["query", "context", "n"]), st.text() | st.lists(st.text()) | st.integers()))
def test_a_rendered_call_is_one_line(given_arguments: dict[str, Any]) -> None:
    assert "\n" not in render_call("search", given_arguments)
