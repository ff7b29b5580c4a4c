"""Tools on a real Ray cluster: two nodes of two cores each, on this machine."""

import asyncio
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import ray
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, InjectedToolCallId, ToolException, tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.prebuilt import InjectedState
from langgraph.types import Command
from ray.cluster_utils import Cluster

from agent import create_llm_compiler
from tests.cluster import patient_ray
from tests.support import free_port
from tests.support.model_server import ModelServer
from tools.ray import on_ray

pytestmark = pytest.mark.timeout(600)  # the first one starts the nodes

THREAD: Any = {"configurable": {"thread_id": "t"}}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """The nodes, and this process as their driver."""
    with patient_ray():
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        try:
            nodes.add_node(num_cpus=2)
            ray.init(address=nodes.address, log_to_driver=False, logging_level=logging.ERROR)
            yield nodes
        finally:
            ray.shutdown()
            nodes.shutdown()


@ray.remote(num_cpus=0, resources={"node:__internal_head__": 0.001})
class Meeting:
    """Where calls on the cluster and the test meet.

    It is on the first node: of one that has just died Ray learns seconds later, and what it places there until then
    never starts.
    """

    def __init__(self) -> None:
        self.arrived: list[str] = []
        self._all: dict[int, asyncio.Event] = {}

    async def arrive(self, who: str) -> None:
        self.arrived.append(who)
        if event := self._all.get(len(self.arrived)):
            event.set()

    async def wait_for(self, number: int) -> list[str]:
        if len(self.arrived) < number:
            await self._all.setdefault(number, asyncio.Event()).wait()
        return self.arrived


@pytest.fixture
def meeting(cluster: Cluster) -> Any:
    return Meeting.remote()


def tool_that_meets(meeting: Any, number: int, **options: Any) -> BaseTool:
    """A tool that tells its node when so many calls are there; for more than ever come, it never ends."""

    def meet(name: str) -> str:
        """meets the others"""
        ray.get(meeting.arrive.remote(name))
        ray.get(meeting.wait_for.remote(number))
        return str(ray.get_runtime_context().get_node_id())

    return on_ray(meet, **options)


def results(output: dict[str, Any]) -> list[tuple[str, str]]:
    return [(message.status, message.text) for message in output["messages"] if isinstance(message, ToolMessage)]


# --- the tool


class Double(BaseTool):
    """A tool that is a class."""

    name: str = "double"
    description: str = "twice it"

    def _run(self, number: int) -> int:
        return 2 * number


def test_it_is_the_same_tool_to_whoever_looks() -> None:
    @tool(description="the area of a circle", response_format="content_and_artifact", return_direct=True)
    def area(radius: float, digits: int = 2) -> tuple[str, float]:
        return "", 0.0

    area.metadata = {"side_effects": "disk", "timeout": 3}
    remote = on_ray(area)
    for field in ("name", "description", "args", "metadata", "response_format", "return_direct"):
        assert getattr(remote, field) == getattr(area, field)


def test_a_function_that_is_no_tool_yet_becomes_one() -> None:
    def double(number: int) -> int:
        """twice the number"""
        return 2 * number

    assert (on_ray(double).name, on_ray(double).description) == ("double", "twice the number")


@pytest.mark.parametrize("mark", [InjectedState, InjectedToolCallId])
def test_what_stays_in_this_process_is_refused_at_once(mark: Any) -> None:
    def look(query: str, state: Annotated[Any, mark]) -> str:
        """looks"""
        return ""

    with pytest.raises(TypeError, match="look wants state injected, which stays in this process"):
        on_ray(look)


async def test_without_ray_a_call_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def double(number: int) -> int:
        """twice the number"""
        return 2 * number

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ToolException, match="double needs Ray, which is not installed: run `pip install ray`"):
        await on_ray(double).ainvoke({"number": 1})


async def test_an_address_at_which_nobody_listens_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def double(number: int) -> int:
        """twice the number"""
        return 2 * number

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    with pytest.raises(ConnectionError, match=r"Ray can't be reached at 127.0.0.1:\d+ \(RAY_ADDRESS\): .*refused"):
        await on_ray(double).ainvoke({"number": 1})


async def test_a_call_that_no_node_can_run_is_told_in_the_log(
    model_server: ModelServer, chat_model: ChatOpenAI, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    def render(scene: str) -> str:
        """a picture"""
        return scene

    model_server.script(planner=['1. render("sea")\n2. join()'], joiner=["Done."])
    graph = create_llm_compiler([on_ray(render, num_gpus=1)], model=chat_model)
    output = await graph.ainvoke({"messages": "Go."}, context={"tool_timeout": 0.1})
    assert results(output) == [("error", "render took longer than 0.1 s and was stopped.")]
    assert "render has waited for {'CPU': 1, 'GPU': 1}, which no node of the Ray cluster has." in caplog.messages


async def test_sync_async_and_other_tools_give_what_they_give_here(cluster: Cluster) -> None:
    async def halve(number: int) -> float:
        """half of it"""
        return number / 2

    @tool(response_format="content_and_artifact")
    def describe(number: int) -> tuple[str, dict[str, int]]:
        """describes it"""
        return f"the number {number}", {"number": number}

    call = {"type": "tool_call", "id": "1", "args": {"number": 3}}
    assert await on_ray(halve).ainvoke({"number": 3}) == 1.5
    assert await on_ray(Double()).ainvoke({"number": 3}) == 6
    described = await on_ray(describe).ainvoke({**call, "name": "describe"})
    assert (described.content, described.artifact) == ("the number 3", {"number": 3})


# --- in a plan


async def test_calls_of_a_plan_run_on_all_nodes_at_once(
    model_server: ModelServer, chat_model: ChatOpenAI, meeting: Any
) -> None:
    model_server.script(planner=['1. meet.map(["a", "b", "c", "d"])\n2. join()'], joiner=["Done."])
    graph = create_llm_compiler([tool_that_meets(meeting, 4)], model=chat_model)
    nodes = {text for _, text in results(await graph.ainvoke({"messages": "Go."}))}
    assert nodes == {node["NodeID"] for node in ray.nodes()}


async def test_two_hundred_calls(model_server: ModelServer, chat_model: ChatOpenAI, cluster: Cluster) -> None:
    def square(number: int) -> int:
        """the square"""
        return number**2

    numbers = list(range(200))
    model_server.script(planner=[f"1. square.map({numbers})\n2. join()"], joiner=["Done."])
    graph = create_llm_compiler([on_ray(square, num_cpus=0.1)], model=chat_model)
    output = await graph.ainvoke({"messages": "Go."}, context={"max_concurrency": 200, "max_tasks": 300})
    assert results(output) == [("success", str(number**2)) for number in numbers]


async def test_what_the_tool_raises_is_the_observation(
    model_server: ModelServer, chat_model: ChatOpenAI, cluster: Cluster
) -> None:
    def price(of: str) -> int:
        """a price"""
        raise ToolException(f"{of} isn't for sale.")

    model_server.script(planner=['1. price("the sea")\n2. join()'], joiner=["Done."])
    graph = create_llm_compiler([on_ray(price)], model=chat_model)
    assert results(await graph.ainvoke({"messages": "Go."})) == [("error", "the sea isn't for sale.")]


async def test_an_exception_that_cannot_be_sent_is_told_in_its_words(
    model_server: ModelServer, chat_model: ChatOpenAI, cluster: Cluster
) -> None:
    class NotForSaleError(Exception):
        def __init__(self, *, thing: str) -> None:
            super().__init__(thing)

    def price(of: str) -> int:
        """a price"""
        raise NotForSaleError(thing=of)

    model_server.script(planner=['1. price("the sea")\n2. join()'], joiner=["Done."])
    graph = create_llm_compiler([on_ray(price)], model=chat_model)
    output = await graph.ainvoke({"messages": "Go."})
    assert results(output) == [("error", "RuntimeError: NotForSaleError: the sea")]


async def test_a_call_that_takes_too_long_is_ended_and_its_cores_are_free(
    model_server: ModelServer, chat_model: ChatOpenAI, meeting: Any
) -> None:
    graph = create_llm_compiler([tool_that_meets(meeting, 99, num_cpus=2)], model=chat_model)
    model_server.script(planner=['1. meet.map(["a", "b"])\n2. join()'], joiner=["Done."])
    output = await graph.ainvoke({"messages": "Go."}, context={"tool_timeout": 0.5})
    assert results(output) == [("error", "meet took longer than 0.5 s and was stopped.")] * 2
    all_cores = tool_that_meets(Meeting.remote(), 2, num_cpus=2, max_retries=3)  # one may get a worker that is ending
    await asyncio.gather(all_cores.ainvoke({"name": "c"}), all_cores.ainvoke({"name": "d"}))


async def test_a_run_that_is_cancelled_ends_its_calls(
    model_server: ModelServer, chat_model: ChatOpenAI, meeting: Any
) -> None:
    graph = create_llm_compiler([tool_that_meets(meeting, 99, num_cpus=2)], model=chat_model)
    model_server.script(planner=['1. meet.map(["a", "b"])\n2. join()'])
    run = asyncio.create_task(graph.ainvoke({"messages": "Go."}))
    await meeting.wait_for.remote(2)
    run.cancel()
    await asyncio.wait([run])
    all_cores = tool_that_meets(Meeting.remote(), 2, num_cpus=2, max_retries=3)  # one may get a worker that is ending
    await asyncio.gather(all_cores.ainvoke({"name": "c"}), all_cores.ainvoke({"name": "d"}))


@pytest.mark.parametrize(
    ("metadata", "outcome"),
    [
        ({}, ("success", "2")),
        ({"side_effects": True}, ("error", "ConnectionError: The Ray worker or node that ran count died")),
    ],
    ids=["a tool that only reads", "a tool that changes something"],
)
async def test_a_call_whose_worker_dies_is_made_again_if_it_changes_nothing(
    model_server: ModelServer,
    chat_model: ChatOpenAI,
    cluster: Cluster,
    tmp_path: Path,
    metadata: dict[str, Any],
    outcome: tuple[str, str],
) -> None:
    marks = tmp_path / "marks"

    @tool
    def count() -> int:
        """counts its calls"""
        with marks.open("a") as file:
            file.write("x")
        if len(marks.read_text()) == 1:
            os._exit(1)
        return len(marks.read_text())

    count.metadata = metadata
    model_server.script(planner=["1. count()\n2. join()"], joiner=["Done."])
    graph = create_llm_compiler([on_ray(count)], model=chat_model)
    ((status, text),) = results(await graph.ainvoke({"messages": "Go."}, context={"tool_retries": 1}))
    assert (status, text[: len(outcome[1])]) == outcome


async def test_a_node_that_is_killed_in_the_middle_of_a_call_is_a_failure(
    model_server: ModelServer, chat_model: ChatOpenAI, cluster: Cluster, meeting: Any
) -> None:
    doomed = cluster.add_node(num_cpus=1, resources={"doomed": 1})
    meet = tool_that_meets(meeting, 99, resources={"doomed": 1})
    model_server.script(planner=['1. meet("a")\n2. join()'], joiner=["Done."])
    graph = create_llm_compiler([meet], model=chat_model)
    run = asyncio.create_task(graph.ainvoke({"messages": "Go."}, context={"tool_retries": 0}))
    await meeting.wait_for.remote(1)
    await asyncio.to_thread(cluster.remove_node, doomed, allow_graceful=False)
    ((status, text),) = results(await run)
    assert status == "error"
    assert text.startswith("ConnectionError: The Ray worker or node that ran meet died:")


async def test_approvals_are_as_with_any_tool(
    model_server: ModelServer, chat_model: ChatOpenAI, cluster: Cluster
) -> None:
    @tool
    def pay(to: str) -> str:
        """pays"""
        return f"paid to {to}"

    pay.metadata = {"requires_approval": True, "side_effects": True}
    model_server.script(planner=['1. pay("ann")\n2. join()'], joiner=["Done."])
    graph = create_llm_compiler([on_ray(pay)], model=chat_model, checkpointer=InMemorySaver())
    assert "__interrupt__" in await graph.ainvoke({"messages": "Go."}, THREAD)
    output = await graph.ainvoke(Command(resume={"decisions": [{"type": "approve"}]}), THREAD)
    assert results(output) == [("success", "paid to ann")]


async def test_a_finished_call_is_not_made_again_when_the_run_is_resumed(
    model_server: ModelServer, chat_model: ChatOpenAI, meeting: Any
) -> None:
    saved = asyncio.Event()

    def meet(name: str) -> str:
        """meets"""
        ray.get(meeting.arrive.remote(name))
        return f"met {name}"

    async def wait(result: str) -> str:
        """waits, the first time"""
        if not saved.is_set():
            saved.set()
            await asyncio.Event().wait()
        return result

    graph = create_llm_compiler([on_ray(meet), wait], model=chat_model, checkpointer=InMemorySaver())
    model_server.script(planner=['1. meet("a")\n2. wait($1)\n3. join()'], joiner=["Done."])
    run = asyncio.create_task(graph.ainvoke({"messages": "Go."}, THREAD))
    await saved.wait()
    run.cancel()
    await asyncio.wait([run])
    assert results(await graph.ainvoke(None, THREAD)) == [("success", "met a")] * 2
    assert await meeting.wait_for.remote(1) == ["a"]
