"""A function of the user's around each tool call, in the form of LangChain's middleware."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents.middleware import ToolRetryMiddleware
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.prebuilt import ToolRuntime
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import Command

from agent import create_llm_compiler
from tests.support.model_server import ModelServer
from tests.support.waiting import let_pass

CONFIG: Any = {"configurable": {"thread_id": "1"}}
Run = Callable[..., Any]


@pytest.fixture
def run(model_server: ModelServer, chat_model: ChatOpenAI) -> Run:
    """Runs a plan with a wrapper, and gives its observations."""

    async def run(wrap: Any, *lines: str, **context: Any) -> list[ToolMessage]:
        plan = "\n".join(f"{number}. {line}" for number, line in enumerate([*lines, "join()"], start=1))
        model_server.script(planner=[plan], joiner=["Done."])
        graph = create_llm_compiler([people, take, look, fail], model=chat_model, wrap_tool_call=wrap)
        output = await graph.ainvoke({"messages": "Question?"}, context={"tool_retries": 0, **context})
        return [message for message in output["messages"] if isinstance(message, ToolMessage)]

    return run


@tool
def people() -> list[dict[str, str]]:
    """lists"""
    return [{"name": "Ann", "phone": "555-1234"}]


@tool
async def take(value: Any) -> Any:
    """takes a value and gives it back"""
    return value


@tool
async def look(runtime: ToolRuntime) -> str:
    """looks"""
    return f"{runtime.tool_call_id} of {len(runtime.state['messages'])}"


@tool
async def fail() -> str:
    """fails"""
    raise ConnectionError("no net")


@pytest.mark.parametrize("in_thread", [False, True])
async def test_it_sees_each_call_and_results_keep_their_types(in_thread: bool, run: Run) -> None:
    seen: list[Any] = []

    async def wrap(request: ToolCallRequest, handler: Any) -> Any:
        seen.append((request.tool_call["name"], request.tool_call["args"], request.state["messages"][0].text))
        assert request.runtime.tool_call_id == request.tool_call["id"]
        return await handler(request)

    def wrap_sync(request: ToolCallRequest, handler: Any) -> Any:
        seen.append((request.tool_call["name"], request.tool_call["args"], request.state["messages"][0].text))
        return handler(request)

    lines = "people()", "take($1[0])", "take(5)", "look()"
    results = await run(wrap_sync if in_thread else wrap, *lines, max_concurrency=2)
    ann = {"name": "Ann", "phone": "555-1234"}
    assert [result.artifact for result in results] == [[ann], ann, 5, "task_4 of 1"]
    assert sorted(seen, key=str) == [
        ("look", {}, "Question?"),
        ("people", {}, "Question?"),
        ("take", {"value": 5}, "Question?"),
        ("take", {"value": ann}, "Question?"),
    ]


@pytest.mark.parametrize("in_place", [False, True])
async def test_what_it_takes_out_of_a_result_is_nowhere(in_place: bool, run: Run) -> None:
    async def redact(request: ToolCallRequest, handler: Any) -> Any:
        message = await handler(request)
        said = message.text.replace("555-1234", "***")
        if not in_place:
            return message.model_copy(update={"content": said})
        message.content = said
        return message

    results = await run(redact, "people()", "take($1[0].phone)", 'take("$1")')
    assert [result.artifact for result in results[1:]] == ["***", '[{"name": "Ann", "phone": "***"}]']
    assert "555" not in str(results)


async def test_it_may_answer_itself_from_what_it_kept(run: Run) -> None:
    kept: dict[str, ToolMessage] = {}

    async def cache(request: ToolCallRequest, handler: Any) -> Any:
        name = request.tool_call["name"]
        if name not in kept:
            kept[name] = await handler(request)
        return ToolMessage(**{**kept[name].model_dump(), "tool_call_id": request.tool_call["id"]})

    results = await run(cache, "people()", "take($1[0].name)", "take($2)")
    assert [result.artifact for result in results[1:]] == ["Ann", "Ann"]
    results = await run(cache, "people()", 'take("not Ann")')
    assert results[0].artifact == [{"name": "Ann", "phone": "555-1234"}]
    assert results[1].artifact == "Ann"


async def test_it_may_have_another_call_made(run: Run) -> None:
    async def double(request: ToolCallRequest, handler: Any) -> Any:
        call = request.tool_call
        return await handler(request.override(tool_call={**call, "args": {"value": call["args"]["value"] * 2}}))

    assert [result.artifact for result in await run(double, "take(4)")] == [8]


async def test_it_stands_within_retries_and_time(run: Run) -> None:
    tries: list[str] = []

    async def wrap(request: ToolCallRequest, handler: Any) -> Any:
        tries.append(request.tool_call["name"])
        if request.tool_call["name"] == "take":
            let_pass(30)
            await asyncio.Event().wait()
        return await handler(request)

    [failed] = await run(wrap, "fail()", tool_retries=1)
    [late] = await run(wrap, "take(1)", tool_retries=1, tool_timeout=30)
    assert tries == ["fail", "fail", "take"]
    assert failed.text == "ConnectionError: no net"
    assert late.text == "take took longer than 30 s and was stopped."


async def test_what_it_raises_or_forgets_to_return_fails_that_call(run: Run) -> None:
    async def wrap(request: ToolCallRequest, handler: Any) -> Any:
        if request.tool_call["name"] == "people":
            raise PermissionError("the budget is spent")
        await handler(request)

    refused, forgotten = await run(wrap, "people()", "take(1)")
    assert refused.text == "PermissionError: the budget is spent"
    assert forgotten.text.startswith("wrap_tool_call gave None for take. It has to return")
    assert (refused.status, forgotten.status) == ("error", "error")


async def test_it_is_called_after_a_person_has_approved(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    seen: list[Any] = []

    async def wrap(request: ToolCallRequest, handler: Any) -> Any:
        seen.append(request.tool_call["args"])
        return await handler(request)

    model_server.script(planner=["1. take(1)\n2. join()"], joiner=["Done."])
    graph = create_llm_compiler([take], model=chat_model, wrap_tool_call=wrap, checkpointer=InMemorySaver())
    context: Any = {"requires_approval": ["take"]}
    await graph.ainvoke({"messages": "Question?"}, CONFIG, context=context)
    assert seen == []
    edit = {"type": "edit", "edited_action": {"name": "take", "args": {"value": 2}}}
    await graph.ainvoke(Command(resume={"decisions": [edit]}), CONFIG, context=context)
    assert seen == [{"value": 2}]


async def test_langchains_own_middleware_fits(run: Run) -> None:
    middleware = ToolRetryMiddleware(max_retries=1, initial_delay=0.01, on_failure="continue")
    failed, taken = await run(middleware.awrap_tool_call, "fail()", "take(1)")
    assert "failed after 2 attempts" in failed.text
    assert (failed.status, taken.artifact) == ("error", 1)
    with pytest.raises(TypeError, match="give its awrap_tool_call"):
        create_llm_compiler([take], wrap_tool_call=middleware)  # type: ignore[arg-type]
