"""A search service that answers in 0.3 s, and once in twenty in 3 s.

Two hundred questions of eight searches each, ten at a time, for this agent, for the same with `hedged` searches, and
for `create_agent`, whose model calls all eight in one turn. Which calls are slow is drawn from the same seed for each.
The model is that of the race.
"""

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

from agent import create_llm_compiler
from tests.benchmarks.contestants.script import argmax
from tests.benchmarks.ideal import Speed
from tests.benchmarks.race import model_server
from tests.benchmarks.workloads import WORKLOADS
from tools.hedged import hedged

QUESTIONS = 200
AT_ONCE = 10
MOSTLY, SLOW, ONE_IN = 0.3, 3.0, 20
"""Seconds that a search takes, mostly and once in so many."""

AFTER = 0.6
"""Seconds after which a hedged search is made again."""

WORKLOAD = WORKLOADS["eight"]


def searches() -> Callable[[str], Awaitable[str]]:
    """A search that takes as long as the dice say, with the same dice for each agent."""
    dice = random.Random(QUESTIONS)

    async def search(query: str) -> str:
        """looks up a place and gives what is known of it"""
        await asyncio.sleep(MOSTLY if dice.randrange(ONE_IN) else SLOW)
        return WORKLOAD.result(query)

    return search


def agents(address: str) -> dict[str, Any]:
    """The agents by their names; this one with plans in the paper's syntax, and with maps and the answer's words."""

    def model(name: str) -> ChatOpenAI:
        return ChatOpenAI(model=name, base_url=address, api_key="none", max_retries=0, stream_usage=True)  # type: ignore[arg-type]

    made: dict[str, Any] = {}
    for name in ("llm-compiler", "llm-compiler-direct"):
        made[name] = create_llm_compiler([searches(), argmax], model=model(name))
        made[f"{name}, hedged"] = create_llm_compiler([hedged(searches(), after=AFTER), argmax], model=model(name))
    return made | {"react-parallel": create_agent(model("react-parallel"), [searches()])}


async def seconds(graph: Any) -> list[float]:
    """How long each question took.

    Raises:
        RuntimeError: One was not answered.
    """
    free = asyncio.Semaphore(AT_ONCE)

    async def ask() -> float:
        async with free:
            began = time.perf_counter()
            result = await graph.ainvoke({"messages": [("user", WORKLOAD.question)]})
            took = time.perf_counter() - began
        if WORKLOAD.answer not in (said := result["messages"][-1].text):
            raise RuntimeError(f"Another answer: {said}")
        return took

    return await asyncio.gather(*(ask() for _ in range(QUESTIONS)))


def tails(logs: Path) -> dict[str, dict[str, float]]:
    """Median and 95th percentile of the seconds that a question takes, of each agent."""
    with model_server(Speed(), logs / "server.log") as (_, address):
        return asyncio.run(_tails(address))


async def _tails(address: str) -> dict[str, dict[str, float]]:
    measured = {}
    for name, graph in agents(address).items():
        took = await seconds(graph)
        measured[name] = {"p50": statistics.median(took), "p95": statistics.quantiles(took, n=20)[-1]}
    return measured
