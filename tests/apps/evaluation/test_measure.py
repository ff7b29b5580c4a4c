"""What is noted of a run, from callbacks as LangChain makes them."""

import asyncio
from typing import Any

import pytest
from langchain_core.language_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import ToolException, tool

from agent.tooling.describe import signature_of
from apps.evaluation.measure import STOPPED, Recorder
from apps.evaluation.results import Tokens


def model_that_reports(**usage: Any) -> FakeMessagesListChatModel:
    return FakeMessagesListChatModel(responses=[AIMessage("4", usage_metadata={"total_tokens": 0, **usage})])  # type: ignore[typeddict-item]


async def test_cached_tokens_are_part_of_the_input() -> None:
    recorder = Recorder()
    model = model_that_reports(input_tokens=100, output_tokens=7, input_token_details={"cache_read": 60})
    await model.ainvoke("2 + 2", {"callbacks": [recorder]})
    assert [call.tokens for call in recorder.calls] == [Tokens(100, 60, 7)]


async def test_a_model_that_reports_nothing_has_no_tokens() -> None:
    recorder = Recorder()
    await FakeMessagesListChatModel(responses=[AIMessage("4")]).ainvoke("2 + 2", {"callbacks": [recorder]})
    assert [call.tokens for call in recorder.calls] == [None]


async def test_a_failed_model_call_is_noted_with_its_error() -> None:
    recorder = Recorder()
    with pytest.raises(IndexError):
        await FakeMessagesListChatModel(responses=[]).ainvoke("2 + 2", {"callbacks": [recorder]})
    assert "IndexError" in recorder.calls[0].error


async def test_a_tool_call_is_noted_as_plans_write_it() -> None:
    @tool
    async def exchange_rate(base: str, quote: str, day: str = "") -> float:
        """a price"""
        return 0.86

    recorder = Recorder({"exchange_rate": signature_of(exchange_rate)})
    await exchange_rate.ainvoke({"base": "USD", "quote": "EUR", "day": "today"}, {"callbacks": [recorder]})
    assert [call.arguments for call in recorder.tools] == ['"USD", "EUR", day="today"']


async def test_a_model_call_of_a_tool_is_for_the_tool_and_a_tool_call_of_a_tool_is_part_of_it() -> None:
    model = model_that_reports(input_tokens=5, output_tokens=1)

    @tool
    async def inner(problem: str) -> str:
        """solves a problem"""
        return str((await model.ainvoke(problem)).text)

    @tool
    async def outer(problem: str, *, config: RunnableConfig) -> str:
        """solves a problem, with the config that it was given"""
        assert await inner.ainvoke({"problem": problem}) == "4"
        return str((await model.ainvoke(problem, config)).text)

    recorder = Recorder()
    node = RunnableLambda(lambda problem: problem) | outer
    await node.ainvoke({"problem": "2 + 2"}, {"callbacks": [recorder]})
    assert [(call.tool, call.arguments) for call in recorder.tools] == [("outer", '"2 + 2"')]
    assert [call.purpose for call in recorder.calls] == ["outer", "outer"]


async def test_failures_of_tools_are_noted_with_their_error() -> None:
    @tool
    async def fails(query: str) -> str:
        """fails"""
        raise ToolException("no such thing")

    recorder = Recorder()
    with pytest.raises(ToolException):
        await fails.ainvoke({"query": "K2"}, {"callbacks": [recorder]})
    assert "no such thing" in recorder.tools[0].error
    assert 0 <= recorder.tools[0].started <= recorder.tools[0].finished <= round(recorder.now, 4)


async def test_what_has_not_ended_with_the_run_is_noted_as_stopped() -> None:
    begun = asyncio.Event()

    @tool
    async def hangs(query: str) -> str:
        """hangs"""
        begun.set()
        await asyncio.Event().wait()
        return query

    recorder = Recorder()
    calling = asyncio.create_task(hangs.ainvoke({"query": "K2"}, {"callbacks": [recorder]}))
    await begun.wait()
    recorder.close()
    assert [call.error for call in recorder.tools] == [STOPPED]
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    assert len(recorder.tools) == 1


async def test_runs_at_the_same_time_are_measured_apart() -> None:
    model = model_that_reports(input_tokens=5, output_tokens=1)
    recorders = [Recorder() for _ in range(20)]
    await asyncio.gather(*(model.ainvoke("2 + 2", {"callbacks": [recorder]}) for recorder in recorders))
    assert [len(recorder.calls) for recorder in recorders] == [1] * 20
