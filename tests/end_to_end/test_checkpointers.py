"""Checkpointers of every make: what they can hold, and from where they can be used."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.shallow import AsyncShallowPostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command

from agent import create_llm_compiler
from tests.support.model_server import ModelServer

CONFIG: Any = {"configurable": {"thread_id": "1"}}


@pytest.fixture
def sync_saver(database_url: str) -> Iterator[BaseCheckpointSaver[Any]]:
    if database_url.startswith("sqlite"):
        with SqliteSaver.from_conn_string(database_url.removeprefix("sqlite:///")) as sqlite:
            yield sqlite
    else:
        with PostgresSaver.from_conn_string(database_url) as postgres:
            postgres.setup()
            yield postgres


@tool
async def take(value: Any) -> Any:
    """takes a value and gives it back"""
    return value


@tool
async def pay(amount: Any) -> str:
    """pays"""
    return f"paid {amount}"


pay.metadata = {"requires_approval": True}


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


# --- from sync code


def test_a_sync_saver_keeps_the_thread_of_a_graph_in_sync_code(
    sync_saver: Any, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(
        planner=['1. take("a")\n2. pay(5)\n3. join()', '4. take("$1")\n5. join()'], joiner=["One.", "Two."]
    )
    graph = create_llm_compiler([take, pay], model=chat_model, checkpointer=sync_saver)
    assert graph.invoke({"messages": "One?"}, CONFIG)["__interrupt__"]
    output = graph.invoke(Command(resume={"decisions": [{"type": "approve"}]}), CONFIG)
    assert [message.text for message in output["messages"][2:]] == ["a", "paid 5", "One."]
    output = graph.invoke({"messages": "Two?"}, CONFIG)
    assert output["messages"][-2].artifact == "a"
    assert graph.get_state(CONFIG).values["messages"] == output["messages"]


def test_a_sync_saver_keeps_the_thread_of_a_sync_parent(
    sync_saver: Any, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=["1. pay(5)\n2. join()"], joiner=["Done."])
    parent = StateGraph(MessagesState)
    parent.add_node("agent", create_llm_compiler([pay], model=chat_model))
    parent.add_edge(START, "agent")
    graph = parent.compile(checkpointer=sync_saver)
    assert graph.invoke({"messages": "Question?"}, CONFIG)["__interrupt__"]  # type: ignore[arg-type]
    output = graph.invoke(Command(resume={"decisions": [{"type": "approve"}]}), CONFIG)
    assert output["messages"][-1].text == "Done."


async def test_a_sync_saver_can_be_used_from_async_code(
    sync_saver: Any, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=['1. take("a")\n2. join()'], joiner=["Done."])
    graph = create_llm_compiler([take], model=chat_model, checkpointer=sync_saver)
    await graph.ainvoke({"messages": "Question?"}, CONFIG)
    assert (await graph.aget_state(CONFIG)).values["messages"][-1].text == "Done."
    await graph.aupdate_state(CONFIG, {"messages": [AIMessage("Changed.")]})
    said = [state.values["messages"][-1].text async for state in graph.aget_state_history(CONFIG, limit=2)]
    assert said == ["Changed.", "Done."]
    assert graph.get_state(CONFIG) == await graph.aget_state(CONFIG)


async def test_an_async_saver_on_another_loop_is_told_how(tmp_path: Path, chat_model: ChatOpenAI) -> None:
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "threads.db")) as saver:
        graph = create_llm_compiler([take], model=chat_model, checkpointer=saver)
        with pytest.raises(RuntimeError, match=r"AsyncSqliteSaver belongs to the event loop .* `await graph.ainvoke"):
            await asyncio.to_thread(graph.invoke, {"messages": "Question?"}, CONFIG)  # type: ignore[arg-type]


@pytest.mark.parametrize("then", [{"messages": "Two?"}, Command(resume={"decisions": [{"type": "approve"}]})], ids=str)
@pytest.mark.filterwarnings("ignore:AsyncShallowPostgresSaver is deprecated:DeprecationWarning")
async def test_a_saver_of_the_last_step_alone_is_refused_once_the_conversation_is_lost(
    then: Any, postgres_url: str, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=["1. pay(5)\n2. join()"])
    async with AsyncShallowPostgresSaver.from_conn_string(postgres_url) as saver:
        await saver.setup()
        graph = create_llm_compiler([pay], model=chat_model, checkpointer=saver)
        await graph.ainvoke({"messages": "One?"}, CONFIG)
        with pytest.raises(RuntimeError, match="AsyncShallowPostgresSaver keeps only the last step of a thread"):
            await graph.ainvoke(then, CONFIG)


# --- what can be saved


@pytest.mark.parametrize("levels", [240, 245, 250, 253, 254, 260, 500, 1000])
async def test_a_result_of_any_depth_fails_its_own_task_at_most(
    levels: int, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    async def dig() -> Any:
        """digs"""
        return nested(levels)

    model_server.script(planner=['1. dig()\n2. pay($1)\n3. take("a")\n4. join()'], joiner=["Done."])
    graph = create_llm_compiler([dig, pay, take], model=chat_model, checkpointer=InMemorySaver())
    output = await graph.ainvoke({"messages": "Question?"}, CONFIG)
    if "__interrupt__" in output:
        output = await graph.ainvoke(Command(resume={"decisions": [{"type": "approve"}]}), CONFIG)
    dug, _, took = [message for message in output["messages"] if isinstance(message, ToolMessage)]
    assert dug.status == ("success" if levels <= 240 else "error")
    if dug.status == "error":
        assert dug.text == "The result is nested too deep to be saved with the conversation. Return something flatter."
    assert took.text == "a"
    assert output["messages"][-1].text == "Done."


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (2**70, f"paid {2**70}"),
        (-(2**64), f"paid {-(2**64)}"),
        *((nested(levels), "nested too deep") for levels in (245, 254, 600)),
    ],
    ids=str,
)
async def test_an_edited_argument_of_any_kind_fails_its_own_task_at_most(
    amount: Any, said: str, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=["1. pay(1)\n2. pay(2)\n3. join()"], joiner=["Done."])
    graph = create_llm_compiler([pay], model=chat_model, checkpointer=InMemorySaver())
    await graph.ainvoke({"messages": "Question?"}, CONFIG)
    edit = {"type": "edit", "edited_action": {"name": "pay", "args": {"amount": amount}}}
    output = await graph.ainvoke(Command(resume={"decisions": [edit, {"type": "approve"}]}), CONFIG)
    edited, approved = [message for message in output["messages"] if isinstance(message, ToolMessage)]
    assert said in edited.text
    assert approved.text == "paid 2"
    assert output["messages"][-1].text == "Done."
