"""Slow calls that are made a second time."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, tool
from langchain_openai import ChatOpenAI

from agent import create_llm_compiler
from tests.support import PATIENCE
from tests.support.model_server import ModelServer
from tools.hedged import hedged

AT_ONCE = 0.001


class Service:
    """A tool whose calls do, one after the other, what the test says."""

    def __init__(self, *answers: Callable[[], Awaitable[str]]) -> None:
        self.answers = list(answers)
        self.queries: list[str] = []
        self.called_twice = asyncio.Event()
        self.cancelled = asyncio.Event()

    @property
    def calls(self) -> int:
        return len(self.queries)

    async def search(self, query: str) -> str:
        """looks something up"""
        self.queries.append(query)
        if self.calls == 2:
            self.called_twice.set()
        try:
            return await self.answers[self.calls - 1]()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def never() -> str:
    await asyncio.Event().wait()
    raise AssertionError


async def found() -> str:
    return "found"


async def fails() -> str:
    raise ConnectionError("away")


async def test_a_slow_call_is_made_again_and_cancelled_when_the_second_one_is_done() -> None:
    service = Service(never, found)
    assert await hedged(service.search, after=AT_ONCE).ainvoke({"query": "K2"}) == "found"
    await asyncio.wait_for(service.cancelled.wait(), PATIENCE)
    assert service.calls == 2


async def test_the_first_call_counts_if_it_is_done_first() -> None:
    second_began = asyncio.Event()

    async def first() -> str:
        await second_began.wait()
        return "first"

    async def second() -> str:
        second_began.set()
        return await never()

    service = Service(first, second)
    assert await hedged(service.search, after=AT_ONCE).ainvoke({"query": "K2"}) == "first"
    await asyncio.wait_for(service.cancelled.wait(), PATIENCE)


async def test_a_call_that_is_quick_enough_is_made_once() -> None:
    service = Service(found)
    assert await hedged(service.search, after=PATIENCE).ainvoke({"query": "K2"}) == "found"
    assert service.calls == 1


async def test_a_failure_is_not_the_result_while_the_other_call_runs() -> None:
    second_failed = asyncio.Event()

    async def first() -> str:
        await second_failed.wait()
        return "found"

    async def second() -> str:
        second_failed.set()
        return await fails()

    assert await hedged(Service(first, second).search, after=AT_ONCE).ainvoke({"query": "K2"}) == "found"


async def test_a_failure_before_that_is_the_result() -> None:
    with pytest.raises(ConnectionError, match="away"):
        await hedged(Service(fails).search, after=PATIENCE).ainvoke({"query": "K2"})


async def test_it_fails_when_both_calls_have_failed() -> None:
    both = asyncio.Barrier(2)

    async def fail() -> str:
        await both.wait()
        return await fails()

    with pytest.raises(ConnectionError, match="away"):
        await hedged(Service(fail, fail).search, after=AT_ONCE).ainvoke({"query": "K2"})


async def test_what_is_slow_is_learned_from_the_calls_before() -> None:
    service = Service(*[found] * 10, never, found)
    search = hedged(service.search)
    for _ in range(10):
        await search.ainvoke({"query": "K2"})
    assert await search.ainvoke({"query": "K2"}) == "found"
    assert service.calls == 12


async def made_again(monkeypatch: pytest.MonkeyPatch, before: Sequence[float], seconds: float) -> bool:
    """Whether a call is made again that takes so many seconds, after calls of these."""
    now = 0.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)

    def taking(seconds: float) -> Callable[[], Awaitable[str]]:
        async def answer() -> str:
            nonlocal now
            now += seconds
            for _ in range(20):  # what is due by now happens first
                await asyncio.sleep(0)
            return "found"

        return answer

    service = Service(*map(taking, before), taking(seconds), found)
    search = hedged(service.search)
    for _ in range(len(before) + 1):
        await search.ainvoke({"query": "K2"})
    return service.calls == len(before) + 2


async def test_answers_that_are_slow_once_in_twenty_are_not_what_is_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await made_again(monkeypatch, [3.0] * 2 + [0.3] * 18, 1.0)


async def test_a_call_that_takes_little_longer_than_others_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not await made_again(monkeypatch, [0.3] * 20, 0.4)


async def test_cancelling_the_call_cancels_both() -> None:
    service = Service(never, never)
    call = asyncio.create_task(hedged(service.search, after=AT_ONCE).ainvoke({"query": "K2"}))
    await asyncio.wait_for(service.called_twice.wait(), PATIENCE)
    call.cancel()
    await asyncio.wait([call])
    await asyncio.wait_for(service.cancelled.wait(), PATIENCE)
    assert call.cancelled()


async def test_a_sync_tool_is_called_in_threads() -> None:
    calls, released = [], threading.Event()

    @tool
    def search(query: str) -> str:
        """looks something up"""
        calls.append(query)
        if len(calls) == 1:
            released.wait(PATIENCE)
        return f"call {len(calls)}"

    try:
        assert await hedged(search, after=AT_ONCE).ainvoke({"query": "K2"}) == "call 2"
    finally:
        released.set()


def test_a_tool_with_side_effects_is_refused() -> None:
    @tool
    def pay(to: str) -> str:
        """pays"""
        return ""

    pay.metadata = {"side_effects": True}
    with pytest.raises(ValueError, match="pay has side effects, and a second call would have them again"):
        hedged(pay)


def test_a_tool_that_is_no_function_is_refused() -> None:
    class Search(BaseTool):
        name: str = "search"
        description: str = "looks something up"

        def _run(self, query: str) -> str:
            return query

    with pytest.raises(TypeError, match="search is Search; it takes a function, or a tool made of one"):
        hedged(Search())


async def test_in_a_plan_it_is_the_same_tool(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    """To the planner, and for what it wants injected."""
    seen: list[Any] = []

    @tool
    async def search(query: str, config: RunnableConfig) -> str:
        """looks something up"""
        seen.append(config["configurable"]["model"])
        return f"entry of {query}"

    model_server.script(planner=['1. search("K2")\n2. join("$1")'])
    graph = create_llm_compiler([hedged(search, after=PATIENCE)], model=chat_model)
    assert (await graph.ainvoke({"messages": "K2?"}))["messages"][-1].text == "entry of K2"
    assert seen
    assert "search(query: str)" in model_server.requests[0].system
