"""Results in the form in which a checkpointer can save them."""

import datetime
from enum import Enum
from typing import Any

import numpy
import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from agent.conversation.savable import UnsavableError, savable


class Size(float):
    """Derived from a plain type, as NumPy's floats are."""


class Colour(Enum):
    RED = "red"


DAY = datetime.date(2026, 1, 2)
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
]


@pytest.mark.parametrize(("value", "saved"), WHAT_IS_SAVED)
def test_a_result_has_the_form_in_which_it_comes_back(value: Any, saved: Any) -> None:
    form = savable(value)
    assert form == saved
    assert type(form) is type(saved)
    serializer = JsonPlusSerializer(allowed_msgpack_modules=None)
    assert serializer.loads_typed(serializer.dumps_typed(form)) == saved


@pytest.mark.parametrize("value", [object(), [lambda: None], numpy.array(["a"], dtype=object), ValueError("x")])
def test_what_would_not_come_back_is_refused(value: Any) -> None:
    with pytest.raises(UnsavableError, match="can't be saved with the conversation"):
        savable(value)
