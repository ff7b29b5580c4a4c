"""`tools.argmax`: names from numbers, and nothing from what are no numbers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.tools import BaseTool, ToolException

from agent.tooling.describe import describe
from tools import TOOLS
from tools.argmax import argmax, argmin


def choose(labels: Any, values: Any) -> tuple[str, str]:
    """The label of the largest value, and that of the smallest."""
    arguments = {"labels": labels, "values": values}
    return argmax.invoke(arguments), argmin.invoke(arguments)


def test_the_default_tools_have_both_described_in_few_words() -> None:
    tools: dict[str, BaseTool] = {tool.name: tool for tool in TOOLS}
    assert describe(tools["argmax"]) == (
        "argmax(labels: list[str], values: list[float]) -> str: the label of the largest value"
    )
    assert describe(tools["argmin"]).endswith(": the label of the smallest value")


@pytest.mark.parametrize(
    ("values", "largest", "smallest"),
    [
        ([1, 3, 2], "b", "a"),
        ([1.5, -3, 2], "c", "b"),
        (["8,849 m", "8,611 m", "−12 m"], "a", "c"),
        (["8849 metres.", " 8611 metres", "8586 metres"], "a", "c"),
        (["$5", "$1,000.50", "$6"], "b", "a"),
        (["5%", "12 %", "3%"], "b", "c"),
        (["20 °C", "5 °C", "-1 °C"], "a", "c"),
        (["5 km²", "6 km²", "7 km²"], "c", "a"),
        (["1.2 million people", "3 million people", "2 million people"], "b", "a"),
        (["1e3", 2000, 999.5], "b", "c"),
        ([10**400, 1.5, "2"], "a", "b"),
        (["1e999", "-1e999", 0], "a", "b"),
        ([10**20, 10**20 + 1, 10**20 - 1], "b", "c"),
        ((1, 2, 3), "c", "a"),
        ("[1, 2, 3]", "c", "a"),
        ("[1, 2, 3", None, None),
    ],
)
def test_values_are_numbers_or_texts_that_are_numbers_in_one_unit(values: Any, largest: Any, smallest: Any) -> None:
    if largest is None:
        with pytest.raises(ToolException, match="3 labels and 1 values"):
            choose(["a", "b", "c"], values)
    else:
        assert choose(["a", "b", "c"], values) == (largest, smallest)


@pytest.mark.parametrize("values", [[2, 1, 1, 2], ["2 m", "1.0 m", "1 m", "2.00 m"]])
def test_of_equal_values_the_first_is_taken(values: list[Any]) -> None:
    assert choose(["a", "b", "c", "d"], values) == ("a", "b")


@pytest.mark.parametrize(
    ("labels", "values", "expected"),
    [
        ("Nile", 6650, ("Nile", "Nile")),
        ('["Nile", "Amazon"]', [6650, 6400], ("Nile", "Amazon")),
        ([1953, 1954], [2, 1], ("1953", "1954")),
        ([{"name": "K2"}, None], [2, 1], ('{"name": "K2"}', "null")),
    ],
)
def test_labels_become_texts_and_one_is_a_list(labels: Any, values: Any, expected: tuple[str, str]) -> None:
    assert choose(labels, values) == expected


@pytest.mark.parametrize(
    "value",
    [
        "Mount Everest is 8,849 m high.",
        "about 5",
        "8,84",
        "5 km, more or less",
        "5 or 6",
        "5-6",
        "1/2",
        "12 km 300 m",
        "",
        " ",
        "km",
        "$",
        "٣",
        "nan",
        "inf",
        "1e9999999999",
        "9" * 1_000,
        "Not run: it needs task 1, which failed: no net",
        "5" + " " * 100_000 + "m",
        None,
        True,
        float("nan"),
        float("inf"),
        [5],
        {"value": 5},
        b"5",
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_number_is_named_and_never_compared(value: Any) -> None:
    with pytest.raises(ToolException) as caught:
        choose(["a", "K2"], [1, value])
    assert str(caught.value).startswith("The value of K2, ")
    assert str(caught.value).endswith(", is no number. Let math find the number first, and give its result.")
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("labels", "values", "reason"),
    [
        (["a", "b"], [1], "There are 2 labels and 1 values; there must be one value for each label"),
        (["a"], [1, 2], "There are 1 labels and 2 values"),
        ([], [], "There are no labels and no values"),
        (["a", "b"], ["8,849 m", "8.6 km"], "The values are in different units, 'm' and 'km'. Convert them with math"),
        (["a", "b"], ["8,849 m", 8611], "different units, 'm' and none"),
        (["a", "b"], ["$5", "5 €"], "different units, '$' and '€'"),
        (["a", "b"], ["900,000 people", "1.2 million people"], "different units"),
    ],
)
def test_lists_that_do_not_fit_are_refused(labels: list[str], values: list[Any], reason: str) -> None:
    with pytest.raises(ToolException) as caught:
        choose(labels, values)
    assert reason in str(caught.value)


@given(st.lists(st.integers() | st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_the_choice_is_pythons(values: list[float]) -> None:
    labels = [str(index) for index in range(len(values))]
    assert choose(labels, values) == (str(values.index(max(values))), str(values.index(min(values))))


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1))
def test_written_as_text_the_choice_is_the_same(values: list[int]) -> None:
    labels = [str(index) for index in range(len(values))]
    assert choose(labels, [f"{value:,} km" for value in values]) == choose(labels, values)
