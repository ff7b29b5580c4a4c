"""`tools.clock`: what time it is, and where it is none."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from langchain_core.tools import ToolException
from tools.clock import clock


def test_the_time_is_that_of_the_timezone() -> None:
    before = datetime.now(UTC).replace(second=0, microsecond=0)
    said = datetime.strptime(clock.invoke({"timezone": "Asia/Tokyo"}), "%A, %Y-%m-%d, %H:%M").replace(tzinfo=UTC)
    assert before <= said - timedelta(hours=9) <= datetime.now(UTC)


@pytest.mark.parametrize("name", ["Tokyo", "Asia", "../etc/passwd", ""])
def test_a_place_that_is_none_is_named(name: str) -> None:
    with pytest.raises(ToolException, match=re.escape(f"There is no timezone {name!r}; they have names such as")):
        clock.invoke({"timezone": name})
