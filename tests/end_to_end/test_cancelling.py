"""However a run is stopped, the model's stream and the tools stop with it, nothing is left behind, and the thread goes
on later."""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphDrained
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import RunControl

from agent import create_llm_compiler
from apps.runs.checkpoints import open_checkpointer
from tests.support.model_server import Gate, ModelServer, Reply
from tests.support.prepared_python import prepared
from tests.support.terminal import scripted
from tests.support.waiting import until, until_said

THREAD: Any = {"configurable": {"thread_id": "t"}}
QUESTION = {"messages": "Question?"}
FIRST = '1. work("a")\n2. hang("b")\n'
PLAN = f"{FIRST}3. join()"
Graph = CompiledStateGraph[Any, Any, Any, Any]


class Tools:
    """`work` counts its calls; `hang` waits until it is stopped or released."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.hanging = threading.Event()
        self.stopped = threading.Event()
        self.released = asyncio.Event()

    def all(self) -> list[Any]:
        async def work(name: str) -> str:
            """Works."""
            self.ran.append(name)
            return name.upper()

        async def hang(name: str) -> str:
            """Hangs."""
            self.hanging.set()
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                self.stopped.set()
                raise
            self.ran.append(name)
            return name.upper()

        return [work, hang]


@pytest.fixture
def tools() -> Tools:
    return Tools()


Until = Callable[[], Awaitable[None]]


async def close_the_stream(graph: Graph, until: Until) -> None:
    async with aclosing(graph.astream(QUESTION, THREAD, stream_mode="custom")) as events:  # type: ignore[type-var]
        async for event in events:
            if event["type"] == "task_started" and event["tool"] == "hang":
                break
        await until()


async def cancel_the_task(graph: Graph, until: Until) -> None:
    running = asyncio.ensure_future(graph.ainvoke(QUESTION, THREAD))
    await until()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def run_out_of_time(graph: Graph, until: Until) -> None:
    async def run() -> None:
        async with asyncio.timeout(None) as timeout:
            running = asyncio.ensure_future(graph.ainvoke(QUESTION, THREAD))
            await until()
            timeout.reschedule(0)
            await running

    with pytest.raises(TimeoutError):
        await run()


async def drop_the_sync_stream(graph: Graph, until: Until) -> None:
    loop = asyncio.get_running_loop()

    def read_a_little() -> None:
        for event in graph.stream(QUESTION, THREAD, stream_mode="custom"):
            if event["type"] == "task_started" and event["tool"] == "hang":
                asyncio.run_coroutine_threadsafe(_as_coroutine(until()), loop).result()
                return

    await asyncio.to_thread(read_a_little)


async def _as_coroutine(waiting: Awaitable[None]) -> None:
    await waiting


@pytest.mark.parametrize("stop", [close_the_stream, cancel_the_task, run_out_of_time, drop_the_sync_stream])
@pytest.mark.parametrize("plan_is_done", [True, False])
async def test_stopping_a_run_stops_all_of_it_and_it_goes_on_later(
    model_server: ModelServer,
    chat_model: ChatOpenAI,
    tools: Tools,
    stop: Callable[[Graph, Until], Awaitable[None]],
    plan_is_done: bool,
) -> None:
    first = PLAN if plan_is_done else Reply([FIRST, Gate(), "3. join()"])
    model_server.script(planner=[first] if plan_is_done else [first, PLAN], joiner=["A and B."])
    saver = InMemorySaver()
    graph = create_llm_compiler(tools.all(), model=chat_model, checkpointer=saver)

    async def until_all_is_saved() -> None:
        await asyncio.to_thread(tools.hanging.wait)
        results = 3 if plan_is_done else 1  # of `work`, and the plan at both its ends
        await until(lambda: str(saver.get_tuple(THREAD)).count("'__return__'") >= results)

    before = asyncio.all_tasks()
    await stop(graph, until_all_is_saved)
    await asyncio.to_thread(tools.stopped.wait)
    exchange = await model_server.exchange(0, "planner")
    await (exchange.until_finished() if plan_is_done else exchange.until_disconnected())
    assert asyncio.all_tasks() == before

    tools.released.set()
    output = await graph.ainvoke(None, THREAD)
    assert [message.text for message in output["messages"][2:]] == ["A", "B", "A and B."]
    assert tools.ran == ["a", "b"]


async def test_a_run_that_is_stopped_while_it_answers_is_asked_for_the_answer_only(
    model_server: ModelServer, chat_model: ChatOpenAI, tools: Tools
) -> None:
    tools.released.set()
    gate = Gate()
    model_server.script(planner=[PLAN], joiner=[Reply(["A and", gate, " B."]), "A and B."])
    graph = create_llm_compiler(tools.all(), model=chat_model, checkpointer=InMemorySaver())
    before = asyncio.all_tasks()
    async with aclosing(graph.astream(QUESTION, THREAD, stream_mode="messages")) as chunks:  # type: ignore[type-var]
        async for message, about in chunks:
            if about["langgraph_node"] == "joiner" and message.text:
                break
    await (await model_server.exchange(0, "joiner")).until_disconnected()
    assert asyncio.all_tasks() == before
    assert (await graph.ainvoke(None, THREAD))["messages"][-1].text == "A and B."
    assert tools.ran == ["a", "b"]


async def test_a_run_that_is_drained_finishes_its_tools_and_goes_on_later(
    model_server: ModelServer, chat_model: ChatOpenAI, tools: Tools, database_url: str
) -> None:
    model_server.script(planner=[PLAN], joiner=["A and B."])

    def graph(saver: BaseCheckpointSaver[Any]) -> Graph:
        return create_llm_compiler(tools.all(), model=chat_model, checkpointer=saver)

    async with open_checkpointer(database_url) as saver:
        control = RunControl()
        running = asyncio.ensure_future(graph(saver).ainvoke(QUESTION, THREAD, control=control))
        await asyncio.to_thread(tools.hanging.wait)
        control.request_drain("deploy")
        tools.released.set()
        with pytest.raises(GraphDrained, match="deploy"):
            await running
        assert not tools.stopped.is_set()
    async with open_checkpointer(database_url) as saver:
        output = await graph(saver).ainvoke(None, THREAD)
    assert [message.text for message in output["messages"][2:]] == ["A", "B", "A and B."]
    assert tools.ran == ["a", "b"]


HANGING_TOOL = """
import asyncio, sys, types
from pathlib import Path
from agent import create_llm_compiler

async def work(name: str) -> str:
    "Works."
    return name.upper()

async def hang(name: str) -> str:
    "Hangs, if there is no file of that name."
    if not Path(name).exists():
        await asyncio.Event().wait()
    return name.upper()

graphs = types.ModuleType("graphs.llm_compiler")
graphs.graph = create_llm_compiler([work, hang])
sys.modules["graphs.llm_compiler"] = graphs

from apps.cli.main import main
main()
"""


async def test_ctrl_c_leaves_a_thread_that_goes_on(
    model_server: ModelServer, tmp_path: Path, state_folder: Any
) -> None:
    model_server.script(planner=[Reply([FIRST, Gate(), "3. join()"]), PLAN], joiner=["A and B."])

    async def start(*arguments: str) -> asyncio.subprocess.Process:
        command = prepared("-c", HANGING_TOOL, "--thread", "t", *arguments)
        pipes: Any = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
        return await asyncio.create_subprocess_exec(*command, cwd=tmp_path, env=scripted(model_server), **pipes)

    process = await start("Question?")
    await until_said(process, "started   2.\n")
    process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (130, b"")
    await (await model_server.exchange(0, "planner")).until_disconnected()

    (tmp_path / "b").touch()
    again = await start("--quiet")
    output, errors = await again.communicate()
    assert (again.returncode, output, errors) == (0, b"A and B.\n", b"Goes on with: Question?\n")
