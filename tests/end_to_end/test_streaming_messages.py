"""In LangGraph's `messages` stream, which chat UIs read, each call appears when it has been read, and each result when
it is there, with the ids and the content that the state gets in the end."""

import asyncio
from contextlib import aclosing
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langchain_openai import ChatOpenAI

from agent import create_llm_compiler
from tests.support.model_server import Gate, ModelServer, Reply

QUESTION: Any = {"messages": "Question?"}


async def test_calls_and_results_appear_while_the_plan_is_still_written_and_other_calls_run(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    gate, released = Gate(), asyncio.Event()

    async def quick(name: str) -> str:
        """Is quick."""
        return name.upper()

    async def slow(name: str) -> str:
        """Waits."""
        await released.wait()
        return name.upper()

    writing = Reply(['1. quick("a")\n2. slow("b")\n', gate, "3. quick($2)\njoin()"])
    model_server.script(planner=[writing], joiner=["Done."])
    graph = create_llm_compiler([quick, slow], model=chat_model)
    plan, results, state = AIMessageChunk(""), {}, []
    stream = graph.astream(QUESTION, stream_mode=["messages", "values"])
    async with aclosing(stream) as chunks:  # type: ignore[type-var]
        async for mode, chunk in chunks:
            if mode == "values":
                state = chunk["messages"]
                continue
            message = chunk[0]
            if isinstance(message, AIMessageChunk) and message.tool_call_chunks:
                plan = plan + message
            elif isinstance(message, ToolMessage):
                assert message.id not in results, "it is shown once"
                results[message.id] = message
                if len(results) == 1:  # while its plan is still written, and another call runs
                    shown_first = [call["id"] for call in plan.tool_calls]
                    gate.open()
                    released.set()
    assert shown_first in (["task_1"], ["task_1", "task_2"])
    _, written, *observed, answer = state
    assert [call["args"] for call in plan.tool_calls] == [{"name": "a"}, {"name": "b"}, {"name": "$2"}]
    assert plan.id == written.id
    assert [call["args"] for call in written.tool_calls] == [{"name": "a"}, {"name": "b"}, {"name": "B"}]
    assert results == {one.id: one for one in observed}
    assert answer.text == "Done."
    assert len({one.id for one in state}) == len(state)


async def test_a_plan_that_was_made_as_written_is_not_shown_again(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    async def quick(name: str) -> str:
        """Is quick."""
        return name.upper()

    model_server.script(planner=['1. quick("a")\njoin()'], joiner=["Done."])
    graph = create_llm_compiler([quick], model=chat_model)
    shown = [message async for message, _ in graph.astream(QUESTION, stream_mode="messages")]
    plans = [message for message in shown if isinstance(message, AIMessage) and message.tool_calls]
    assert [type(plan) for plan in plans] == [AIMessageChunk]
