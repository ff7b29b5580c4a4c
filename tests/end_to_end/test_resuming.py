"""A run that stopped goes on where it was, when the graph is invoked again with None on the same thread."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from agent import create_llm_compiler, handover
from tests.support.model_server import Gate, HttpError, ModelServer, Reply

THREAD: Any = {"configurable": {"thread_id": "t"}}


class Tools:
    """Two tools that count their calls; `hold` waits until it is released."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.holding = asyncio.Event()
        self.released = asyncio.Event()

    def all(self) -> list[Any]:
        async def work(name: str) -> str:
            """Works."""
            self.ran.append(f"work {name}")
            return name.upper()

        async def hold(name: str) -> str:
            """Waits."""
            self.ran.append(f"hold {name}")
            self.holding.set()
            await self.released.wait()
            return name.upper()

        return [work, hold]


@pytest.fixture
def tools() -> Tools:
    return Tools()


async def stop(running: "asyncio.Future[Any]") -> None:
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_finished_calls_and_a_finished_plan_are_not_run_again(
    model_server: ModelServer, chat_model: ChatOpenAI, tools: Tools
) -> None:
    model_server.script(planner=['1. work("a")\n2. hold("b")\n3. work("$1 and $2")\n4. join()'], joiner=["A and B."])
    graph = create_llm_compiler(tools.all(), model=chat_model, checkpointer=InMemorySaver())
    async with aclosing(graph.astream({"messages": "Question?"}, THREAD, stream_mode="custom")) as events:
        async for event in events:
            if event["type"] == "plan_finished":
                break
    assert tools.holding.is_set()

    tools.released.set()
    output = await graph.ainvoke(None, THREAD)
    assert tools.ran == ["work a", "hold b", "hold b", "work A and B"]
    assert output["messages"][-1].text == "A and B."
    assert len([request for request in model_server.requests if request.is_planner]) == 1


async def test_a_result_is_never_given_to_another_call(
    model_server: ModelServer, chat_model: ChatOpenAI, tools: Tools
) -> None:
    model_server.script(
        planner=[
            Reply(['1. work("a")\n2. work("b")\n3. hold("c")\n', Gate(), "4. join()"]),
            '1. work("b")\n2. hold("c")\n3. work("a")\n4. join()',
        ],
        joiner=["Done."],
    )
    graph = create_llm_compiler(tools.all(), model=chat_model, checkpointer=InMemorySaver())
    running = asyncio.ensure_future(graph.ainvoke({"messages": "Question?"}, THREAD))
    await tools.holding.wait()
    await stop(running)

    tools.released.set()
    output = await graph.ainvoke(None, THREAD)
    assert [message.artifact for message in output["messages"][2:5]] == ["B", "C", "A"]


async def test_a_joiner_that_failed_is_asked_again_without_running_anything_else(
    model_server: ModelServer, chat_model: ChatOpenAI, tools: Tools
) -> None:
    model_server.script(planner=['1. work("a")\n2. join()'], joiner=[HttpError(503), "A."])
    graph = create_llm_compiler(tools.all(), model=chat_model, checkpointer=InMemorySaver())
    with pytest.raises(Exception, match="503"):
        await graph.ainvoke({"messages": "Question?"}, THREAD)
    output = await graph.ainvoke(None, THREAD)
    assert output["messages"][-1].text == "A."
    assert tools.ran == ["work a"]


async def test_a_new_question_after_a_failed_one_starts_afresh(
    model_server: ModelServer, chat_model: ChatOpenAI, tools: Tools
) -> None:
    model_server.script(planner=['1. work("a")\n2. join()', '2. work("b")\n3. join()'], joiner=[HttpError(503), "B."])
    graph = create_llm_compiler(tools.all(), model=chat_model, checkpointer=InMemorySaver())
    with pytest.raises(Exception, match="503"):
        await graph.ainvoke({"messages": "First?"}, THREAD)
    output = await graph.ainvoke({"messages": "Second?"}, THREAD)
    assert output["messages"][-1].text == "B."
    assert tools.ran == ["work a", "work b"]


async def test_planner_and_executor_that_never_meet_work_through_the_state(
    model_server: ModelServer, chat_model: ChatOpenAI, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in different processes: each node finds a stream of its own."""
    monkeypatch.setattr(handover, "ARRIVAL_TIMEOUT", 0.01)
    monkeypatch.setattr(handover.Handover, "of", lambda _: handover.Handover())
    model_server.script(planner=['1. work("a")\n2. work("$1")\n3. join()', "3. join()"], joiner=["A.", "Bye."])
    graph = create_llm_compiler(tools.all(), model=chat_model, checkpointer=InMemorySaver())
    output = await graph.ainvoke({"messages": "Question?"}, THREAD)
    assert [message.text for message in output["messages"]] == ["Question?", "", "A", "A", "A."]
    assert tools.ran == ["work a", "work A"]
    assert (await graph.ainvoke({"messages": "Thanks"}, THREAD))["messages"][-1].text == "Bye."


@pytest.mark.parametrize("lost", ["planner", "executor"])
async def test_a_crash_between_the_last_writes_of_the_two_nodes_is_survived(
    model_server: ModelServer, chat_model: ChatOpenAI, tools: Tools, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_server.script(planner=['1. work("a")\n2. work("b")\n3. join()'], joiner=["A and B."])
    saver = InMemorySaver()
    graph = create_llm_compiler(tools.all(), model=chat_model, checkpointer=saver)
    await graph.ainvoke({"messages": "Question?"}, THREAD, interrupt_before=["joiner"])
    history = [snapshot async for snapshot in graph.aget_state_history(THREAD)]
    superstep = next(snapshot for snapshot in history if set(snapshot.next) == {"planner", "executor"})
    forget(saver, superstep, lost)

    monkeypatch.setattr(handover, "ARRIVAL_TIMEOUT", 0.01)  # what is lost is waited for in vain
    output = await graph.ainvoke(None, THREAD)
    assert output["messages"][-1].text == "A and B."
    assert tools.ran == ["work a", "work b"]
    assert len([request for request in model_server.requests if request.is_planner]) == 1


def forget(saver: InMemorySaver, superstep: Any, node: str) -> None:
    """Leave the saver as if the process had died when only the other node's last write was saved."""
    task = next(task for task in superstep.tasks if task.name == node)
    checkpoint_id = superstep.config["configurable"]["checkpoint_id"]
    later = [key for key in saver.storage["t"][""] if key > checkpoint_id]
    for key in later:
        del saver.storage["t"][""][key]
    writes = saver.writes[("t", "", checkpoint_id)]
    for key in [key for key in writes if key[0] == task.id]:
        del writes[key]


@dataclass
class Place:
    name: str
    height: int


@pytest.mark.parametrize(
    ("result", "kept"),
    [
        (Place("K2", 8611), {"name": "K2", "height": 8611}),
        (2**100, "1267650600228229401496703205376"),
        ({"a": (1, 2)}, {"a": [1, 2]}),
        (date(2026, 1, 2), date(2026, 1, 2)),
        ([object()], None),
        (lambda: 1, None),
    ],
)
async def test_a_result_is_saved_or_fails_its_task(
    model_server: ModelServer, chat_model: ChatOpenAI, result: Any, kept: Any
) -> None:
    async def give() -> Any:
        """Gives."""
        return result

    model_server.script(planner=["1. give()\n2. give(99999999999999999999999)\n3. join()"], joiner=["Done."])
    graph = create_llm_compiler([give], model=chat_model, checkpointer=InMemorySaver())
    output = await graph.ainvoke({"messages": "Question?"}, THREAD)
    message = output["messages"][2]
    assert (message.artifact, message.status) == (kept, "success" if kept is not None else "error")
    if kept is None:
        assert "can't be saved with the conversation" in message.text
    assert output["messages"][-1].text == "Done."


async def test_a_tool_may_interrupt_the_run_and_nothing_else_is_run_again(
    model_server: ModelServer, chat_model: ChatOpenAI, tools: Tools
) -> None:
    async def ask(question: str) -> str:
        """Asks the user."""
        return str(interrupt({"question": question}))

    model_server.script(
        planner=['1. work("a")\n2. ask("$1?")\n3. work("$2")\n4. work("b")\n5. join()'], joiner=["Done."]
    )
    graph = create_llm_compiler([*tools.all(), ask], model=chat_model, checkpointer=InMemorySaver())
    stopped = await graph.ainvoke({"messages": "Question?"}, THREAD)
    assert [asked.value for asked in stopped["__interrupt__"]] == [{"question": "A?"}]
    assert tools.ran == ["work a", "work b"]

    output = await graph.ainvoke(Command(resume="yes"), THREAD)
    assert [message.text for message in output["messages"][2:]] == ["A", "yes", "YES", "B", "Done."]
    assert tools.ran == ["work a", "work b", "work yes"]
