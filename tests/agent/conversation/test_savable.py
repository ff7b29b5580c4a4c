"""Results in the form in which a checkpointer can save them."""

import datetime
from enum import Enum
from fractions import Fraction
from typing import Any

import numpy
import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from agent.conversation.savable import UnsavableError, savable


class Size(float):
    """Derived from a plain type, as NumPy's floats are."""


class Colour(Enum):
    RED = "red"


class Timestamp(datetime.datetime):
    """As pandas has it."""


class NoTime(datetime.datetime):
    """As pandas' NaT, which is no time."""

    def isoformat(self, sep: str = "T", timespec: str = "auto") -> str:  # noqa: ARG002
        return "NaT"

    def __str__(self) -> str:
        return "NaT"


class Day(datetime.date):
    """A day of another library."""


class Wordless:
    def __str__(self) -> str:
        raise RuntimeError


class Table:
    """As pandas has it: only its text can be saved."""

    def __str__(self) -> str:
        return "a  b\n1  \ud83d"


DAY = datetime.date(2026, 1, 2)
NOON = datetime.datetime(2026, 1, 2, 12, tzinfo=datetime.UTC)
SPAN = datetime.timedelta(days=-1, seconds=2, microseconds=3)
WHAT_IS_SAVED: list[tuple[Any, Any]] = [
    (numpy.float64(1.5), 1.5),
    ([Size(2.5)], [2.5]),
    (numpy.str_("text"), "text"),
    ({"b", "a", "c"}, ["a", "b", "c"]),
    (frozenset({10, 9}), [10, 9]),
    (2**64, str(2**64)),
    ({2**64: 1}, {str(2**64): 1}),
    ({(1, 2): 3}, {"[1, 2]": 3}),
    ({DAY: 1}, {"2026-01-02": 1}),
    ({Colour.RED: Colour.RED}, {"red": "red"}),
    ({None: 1, True: 2, 0.5: 3}, {None: 1, True: 2, 0.5: 3}),
    (DAY, DAY),
    (NOON, NOON),
    (SPAN, SPAN),
    (Timestamp(2026, 1, 2, 12, tzinfo=datetime.UTC), NOON),
    ([NoTime(2026, 1, 2)], ["NaT"]),
    (Day(2026, 1, 2), DAY),
    (numpy.timedelta64(3, "s").astype(object), datetime.timedelta(seconds=3)),
    (numpy.int64(3), 3),
    ({"n": numpy.uint8(3)}, {"n": 3}),
    (numpy.float32(0.5), 0.5),
    (numpy.longdouble(0.5), 0.5),
    (numpy.bool_(True), True),
    (numpy.datetime64("2026-01-02T03:04:05", "ns"), "2026-01-02T03:04:05.000000000"),
    (numpy.timedelta64(5, "s"), "5 seconds"),
    (numpy.array(["a", 1], dtype=object), ["a", 1]),
    (Fraction(1, 2), 0.5),
    (Table(), "a  b\n1  \ufffd"),
    ([Table()], ["a  b\n1  \ufffd"]),
    (ValueError("x"), "x"),
    (1j, "1j"),
]


@pytest.mark.parametrize(("value", "saved"), WHAT_IS_SAVED)
def test_a_result_has_the_form_in_which_it_comes_back(value: Any, saved: Any) -> None:
    form = savable(value)
    assert form == saved
    assert type(form) is type(saved)
    serializer = JsonPlusSerializer(allowed_msgpack_modules=None)
    assert serializer.loads_typed(serializer.dumps_typed(form)) == saved


@pytest.mark.parametrize("value", [object(), [lambda: None], numpy.array([object()]), iter([1]), Wordless()])
def test_what_would_not_come_back_is_refused(value: Any) -> None:
    with pytest.raises(UnsavableError, match="can't be saved with the conversation"):
        savable(value)
