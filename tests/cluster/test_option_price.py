"""The example graph whose tool runs on Ray."""

import math
import re
from collections.abc import Iterator
from statistics import NormalDist

import pytest
import ray

from graphs.examples.option_price.graph import QUESTIONS, graph
from tests.cluster import patient_ray

pytestmark = pytest.mark.timeout(600)  # it starts Ray


@pytest.fixture
def may_start_ray() -> Iterator[None]:
    with patient_ray():
        yield
        ray.shutdown()


async def test_the_price_is_that_of_the_formula(may_start_ray: None) -> None:
    """Black and Scholes's, within four standard errors. Ray starts by itself."""
    output = await graph.ainvoke({"messages": QUESTIONS[0]}, context={"tool_timeout": 600})  # Ray starts in it
    figures = re.findall(r"\d+\.\d+", output["messages"][-1].text)
    price, error = map(float, figures)
    first = (math.log(100 / 105) + 0.05 + 0.02) / 0.2
    distributed = NormalDist().cdf
    exact = 100 * distributed(first) - 105 * math.exp(-0.05) * distributed(first - 0.2)
    assert abs(price - exact) < 4 * error < 0.2
