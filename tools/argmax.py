"""`argmax` and `argmin`: the name of the largest or the smallest, for questions that ask which."""

import json
import math
import re
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from textwrap import shorten
from typing import Annotated, Any

from langchain_core.tools import ToolException, tool
from pydantic import BeforeValidator, WithJsonSchema

COUNTS_DIFFER = (
    "There are {labels} labels and {values} values; there must be one value for each label, in the same order."
)
NOTHING = "There are no labels and no values to choose from."
NO_NUMBER = "The value of {label}, {value}, is no number. Let math find the number first, and give its result."
SEVERAL_UNITS = "The values are in different units, {first} and {second}. Convert them with math, and give its results."


def _listed(given: Any) -> Any:
    """A list, also of a single item, and of JSON text."""
    if isinstance(given, str) and given.lstrip().startswith("["):
        with suppress(ValueError, RecursionError):
            given = json.loads(given)
    return list(given) if isinstance(given, list | tuple) else [given]


def _texts(given: Any) -> list[str]:
    return [
        item if isinstance(item, str) else json.dumps(item, ensure_ascii=False, default=str) for item in _listed(given)
    ]


Labels = Annotated[list[str], BeforeValidator(_texts)]
Values = Annotated[
    list[Any],
    BeforeValidator(_listed),
    WithJsonSchema({"type": "array", "items": {"type": "number"}}),  # what the planner is to give
]


@tool(description="the label of the largest value")
def argmax(labels: Labels, values: Values) -> str:
    """The label of the largest value; the first of several.

    Args:
        labels: Names.
        values: A number for each label, or a text that is a number with at most a unit, the same for all (`8,849 m`).

    Raises:
        ToolException: There are none, their counts differ, or a value is no such number; the message says which.
    """
    return _choose(max, labels, values)


@tool(description="the label of the smallest value")
def argmin(labels: Labels, values: Values) -> str:
    """The label of the smallest value; otherwise as `argmax`."""
    return _choose(min, labels, values)


def _choose(best: Callable[..., Any], labels: list[str], values: list[Any]) -> str:
    if len(labels) != len(values):
        raise ToolException(COUNTS_DIFFER.format(labels=len(labels), values=len(values)))
    if not labels:
        raise ToolException(NOTHING)
    numbers, units = zip(*map(_read, labels, values), strict=True)
    if len(several := list(dict.fromkeys(units))) > 1:
        first, second = (repr(unit) if unit else "none" for unit in several[:2])
        raise ToolException(SEVERAL_UNITS.format(first=first, second=second))
    return labels[numbers.index(best(numbers))]


_NUMBER = re.compile(
    r"([$€£]?)\s?([-+−]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,40})(?:\.[0-9]{1,40})?(?:[eE][-+]?[0-9]{1,3})?)"
    r"\s?([^\W\d_][^\d,;:]{0,29}|[%°€$£][CF]?|)"
)
"""A number and its unit. What stands after a unit could be anything, so a unit is at most a few words."""


def _read(label: str, value: Any) -> tuple[Decimal | int | float, str]:
    """The number and its unit."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and (isinstance(value, int) or math.isfinite(value)):
        return value, ""
    if isinstance(value, str) and (found := _NUMBER.fullmatch(value.strip().rstrip("."))):
        currency, number, unit = found.groups()
        return Decimal(number.replace(",", "").replace("−", "-")), (currency + unit).strip()
    raise ToolException(NO_NUMBER.format(label=_short(label), value=_short(repr(value))))


def _short(text: str, most: int = 80) -> str:
    return shorten(text[: 2 * most], most, placeholder="…")
