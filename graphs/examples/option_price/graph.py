"""The price of a European call option by simulation (Monte Carlo, in Black and Scholes's model), on a Ray cluster.

A plan maps eight parts of the simulation, each a Ray task on a core of its own, and makes one price of them. Tools like
these are what Ray is for: a Python thread can't compute beside another one, and cannot be stopped.
"""

import math
import random
from statistics import fmean, pvariance
from typing import Annotated

from langchain_core.tools import BaseTool, tool
from pydantic import Field
from typing_extensions import TypedDict

from agent import create_llm_compiler
from graphs.examples.option_price import offline  # noqa: F401 — rules for the demo model
from tools.ray import on_ray


class Part(TypedDict):
    """A part of a simulation."""

    paths: int
    mean: float
    """Of what the option pays at its end, discounted."""

    variance: float


class Price(TypedDict):
    """What the option is worth, and the standard error of that."""

    price: float
    error: float


@tool(description="a part of the simulation of a call option; parts with different seeds make a price")
def simulate(
    seed: int,
    spot: float,
    strike: float,
    years: float,
    rate: float,
    volatility: float,
    paths: Annotated[int, Field(gt=0, le=10_000_000)] = 200_000,
) -> Part:
    """Simulate what the option pays.

    Args:
        seed: Of the random numbers.
        spot: The share's price now.
        strike: The price for which the option buys the share.
        years: Until then.
        rate: Of interest, a year: 0.05 for 5%.
        volatility: Of the share, a year.
        paths: How often.
    """
    chance = random.Random(seed)
    drift, spread = (rate - volatility**2 / 2) * years, volatility * math.sqrt(years)
    discount = math.exp(-rate * years)
    pays = [discount * max(spot * math.exp(drift + spread * chance.gauss(0, 1)) - strike, 0.0) for _ in range(paths)]
    return Part(paths=paths, mean=fmean(pays), variance=pvariance(pays))


@tool(description="the price, from the parts of a simulation, and its standard error")
def combine(parts: list[Part]) -> Price:
    """The mean of all paths."""
    paths = sum(part["paths"] for part in parts)
    price = sum(part["mean"] * part["paths"] for part in parts) / paths
    variance = sum(part["variance"] * part["paths"] for part in parts) / paths
    return Price(price=round(price, 4), error=round(math.sqrt(variance / paths), 4))


TOOLS: list[BaseTool] = [on_ray(simulate), combine]

QUESTIONS = [
    "What is a call option on a share at 100 worth, with a strike of 105, 1 year, a rate of 5% and a volatility of 20%?"
]

EXAMPLES = """\
Question: What is a call on a share at 80 worth, with a strike of 90, half a year, a rate of 2% and a volatility of 30%?
1. simulate.map([1, 2, 3, 4, 5, 6, 7, 8], spot=80, strike=90, years=0.5, rate=0.02, volatility=0.3)
2. combine($1)
3. join("It is worth $2.price, with a standard error of $2.error.")
"""

graph = create_llm_compiler(TOOLS, examples=EXAMPLES, name="option_price")
