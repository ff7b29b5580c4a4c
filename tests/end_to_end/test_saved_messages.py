"""The conversation is saved as what each step adds to it, and read as a whole."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.types import Command

from agent import create_llm_compiler
from apps.runs.checkpoints import open_checkpointer
from tests.support.databases import stored_bytes, with_whole_lists
from tests.support.model_server import ChatRequest, ModelServer

THREAD: Any = {"configurable": {"thread_id": "1"}}
UNTIL_THE_WHOLE_IS_SAVED = 98
"""Additions to the conversation. A turn makes three: the question, the plan with its results, the answer."""

in_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""Where it is no matter which one reads what was added."""


@pytest.fixture
async def saver(database_url: str) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    async with open_checkpointer(database_url) as opened:
        yield opened


@tool
async def look(thing: str) -> str:
    """looks"""
    return f"{thing} is red"


@tool
async def pay(amount: int) -> str:
    """pays"""
    return f"paid {amount}"


pay.metadata = {"requires_approval": True}


def agent(model: ChatOpenAI, saver: Any) -> Any:
    return create_llm_compiler([look, pay], model=model, checkpointer=saver)


def echo(model_server: ModelServer) -> None:
    """The planner looks at what it is told to look at, and the answer says so."""

    def answer(request: ChatRequest) -> str:
        thing = re.findall(r"Look at (\w+)", str(request.messages))[-1]
        return f'look("{thing}")\njoin()' if request.is_planner else f"I looked at {thing}."

    model_server.handler = answer


async def messages_of(graph: Any, config: Any = THREAD) -> list[Any]:
    """Read from the database."""
    return list((await graph.aget_state(config)).values["messages"])


async def test_a_turn_saves_no_more_because_of_what_was_said_before(
    database_url: str, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    sizes = []

    @tool
    async def read(page: str) -> str:
        """reads"""
        return page * 2_000

    model_server.handler = lambda request: f'read("{request.user}")\njoin()' if request.is_planner else "Read."
    async with open_checkpointer(database_url) as saver:
        graph = create_llm_compiler([read], model=chat_model, checkpointer=saver)
        for turn in range(6):
            await graph.ainvoke({"messages": [HumanMessage(f"page {turn:04}")]}, THREAD)
            sizes.append(stored_bytes(database_url))
    second, last = sizes[1] - sizes[0], sizes[-1] - sizes[-2]
    assert last < 1.5 * second


async def test_a_long_thread_is_read_as_it_was_written(
    saver: Any, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    echo(model_server)
    graph = agent(chat_model, saver)
    notes = [f"Note {number}" for number in range(UNTIL_THE_WHOLE_IS_SAVED)]
    for note in notes:
        await graph.aupdate_state(THREAD, {"messages": [AIMessage(note)]})
    for thing in "ab":
        output = await graph.ainvoke({"messages": f"Look at {thing}"}, THREAD)
    found = await messages_of(graph)
    assert found == output["messages"]
    turns = [["Look at a", "a is red", "I looked at a."], ["Look at b", "b is red", "I looked at b."]]
    assert [message.text for message in found if message.text] == [*notes, *turns[0], *turns[1]]
    assert len({message.id for message in found}) == len(found)


@in_one_database
async def test_messages_without_an_id_have_the_same_one_at_each_reading(
    saver: Any, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    echo(model_server)
    graph = agent(chat_model, saver)
    for question in ("Look at a", ["Look at b"], [("user", "Look at c")], [{"role": "user", "content": "Look at d"}]):
        await graph.ainvoke({"messages": question}, THREAD)
    once, again = await messages_of(graph), await messages_of(graph)
    assert once == again
    assert all(message.id for message in once)
    assert [m.text for m in once if isinstance(m, HumanMessage)] == [f"Look at {thing}" for thing in "abcd"]


async def test_the_thread_goes_on_from_any_checkpoint(
    saver: Any, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    echo(model_server)
    graph = agent(chat_model, saver)
    for thing in "ab":
        await graph.ainvoke({"messages": f"Look at {thing}"}, THREAD)
    history = [snapshot async for snapshot in graph.aget_state_history(THREAD)]
    seen = {}
    for snapshot in history:
        if not snapshot.values.get("messages"):
            continue
        before = [message.text for message in snapshot.values["messages"]]
        if snapshot.next:
            forked = await graph.ainvoke(None, snapshot.config)
        else:
            forked = await graph.ainvoke({"messages": "Look at c"}, snapshot.config)
        assert await messages_of(graph) == forked["messages"]  # the branch is the newest now
        texts = [message.text for message in forked["messages"]]
        assert texts[: len(before)] == before
        said = [text for text in texts if text]  # plans have none
        assert len(said) == len(set(said))
        seen[snapshot.config["configurable"]["checkpoint_id"]] = snapshot.values["messages"]
    for checkpoint, messages in seen.items():  # what was there before has stayed as it was
        config = {"configurable": {**THREAD["configurable"], "checkpoint_id": checkpoint}}
        assert await messages_of(graph, config) == messages


@in_one_database
async def test_an_edited_question_is_answered_in_a_branch_of_its_own(
    saver: Any, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    echo(model_server)
    graph = agent(chat_model, saver)
    await graph.ainvoke({"messages": "Look at a"}, THREAD)
    await graph.ainvoke({"messages": "Look at b"}, THREAD)
    asked = await anext(s async for s in graph.aget_state_history(THREAD) if s.next == ("planner", "executor"))
    edited = asked.values["messages"][-1].model_copy(update={"content": "Look at c"})
    fork = await graph.aupdate_state(asked.config, {"messages": [edited]})
    output = await graph.ainvoke(None, fork)
    said = [message.text for message in output["messages"] if message.text]
    assert said == ["Look at a", "a is red", "I looked at a.", "Look at c", "c is red", "I looked at c."]
    assert await messages_of(graph) == output["messages"]


@in_one_database
async def test_messages_can_be_removed_and_written_over(
    saver: Any, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    echo(model_server)
    graph = agent(chat_model, saver)
    for thing in "ab":
        output = await graph.ainvoke({"messages": f"Look at {thing}"}, THREAD)
    first, *others = output["messages"]
    await graph.aupdate_state(
        THREAD, {"messages": [RemoveMessage(first.id), others[0].model_copy(update={"name": "x"})]}
    )
    assert [(m.id, m.name) for m in await messages_of(graph)][:1] == [(others[0].id, "x")]
    output = await graph.ainvoke({"messages": [RemoveMessage(others[0].id), HumanMessage("Look at c")]}, THREAD)
    assert {m.id for m in output["messages"]}.isdisjoint({first.id, others[0].id})
    assert await messages_of(graph) == output["messages"]
    await graph.aupdate_state(THREAD, {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), AIMessage("Anew.")]})
    assert [message.text for message in await messages_of(graph)] == ["Anew."]
    output = await graph.ainvoke({"messages": "Look at d"}, THREAD)
    assert [m.text for m in output["messages"]][0:2] == ["Anew.", "Look at d"]
    assert await messages_of(graph) == output["messages"]


@in_one_database
@pytest.mark.parametrize("lost", [0, 1, 2])
@pytest.mark.parametrize("goes_on", [True, False], ids=["resumed", "asked something else"])
async def test_a_run_that_broke_leaves_what_it_leaves_with_whole_lists(
    saver: Any,
    model_server: ModelServer,
    chat_model: ChatOpenAI,
    monkeypatch: pytest.MonkeyPatch,
    lost: int,
    goes_on: bool,
) -> None:
    """What its last superstep wrote is saved, and the checkpoint after it isn't."""
    echo(model_server)
    save = saver.aput

    async def fails(config: Any, checkpoint: Any, metadata: Any, versions: Any) -> Any:
        if metadata["step"] == 4 + lost:  # of the second turn
            raise ConnectionError("The database is gone.")
        return await save(config, checkpoint, metadata, versions)

    graph = agent(chat_model, saver)
    found = []
    for kind, thread in ((graph, "delta"), (with_whole_lists(graph), "whole")):
        config: Any = {"configurable": {"thread_id": thread}}
        await kind.ainvoke({"messages": "Look at a"}, config)
        with monkeypatch.context() as patch:
            patch.setattr(saver, "aput", fails)
            with pytest.raises(ConnectionError):
                await kind.ainvoke({"messages": "Look at b"}, config)
        output = await kind.ainvoke(None if goes_on else {"messages": "Look at c"}, config)
        assert await messages_of(kind, config) == output["messages"]
        found.append([(message.type, message.text) for message in output["messages"]])
    assert found[0] == found[1]


async def test_a_thread_saved_as_whole_lists_goes_on(
    saver: Any, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    echo(model_server)
    graph = agent(chat_model, saver)
    before = (await with_whole_lists(graph).ainvoke({"messages": "Look at a"}, THREAD))["messages"]
    assert await messages_of(graph) == before
    for thing in "bc":
        output = await graph.ainvoke({"messages": f"Look at {thing}"}, THREAD)
    assert output["messages"][: len(before)] == before
    assert await messages_of(graph) == output["messages"]


async def test_a_thread_that_waits_saved_as_whole_lists_goes_on(
    saver: Any, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=['1. look("a")\n2. pay(5)\n3. join()'], joiner=["Paid."])
    graph = agent(chat_model, saver)
    assert (await with_whole_lists(graph).ainvoke({"messages": "Pay."}, THREAD))["__interrupt__"]
    output = await graph.ainvoke(Command(resume={"decisions": [{"type": "approve"}]}), THREAD)
    assert [m.text for m in output["messages"] if m.text] == ["Pay.", "a is red", "paid 5", "Paid."]
    assert await messages_of(graph) == output["messages"]


@in_one_database
async def test_an_agent_in_a_graph_of_plain_messages_keeps_its_thread(
    saver: Any, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    echo(model_server)
    parent = StateGraph(MessagesState)
    parent.add_node("agent", create_llm_compiler([look], model=chat_model))
    parent.add_edge(START, "agent")
    graph = parent.compile(checkpointer=saver)
    for thing in "ab":
        output = await graph.ainvoke({"messages": [HumanMessage(f"Look at {thing}")]}, THREAD)
    texts = [message.text for message in output["messages"] if message.text]
    assert [text for text in texts if text.endswith("red")] == ["a is red", "b is red"]
    assert len(output["messages"]) == 8
    assert await messages_of(graph) == output["messages"]
