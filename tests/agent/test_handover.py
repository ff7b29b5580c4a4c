"""How planner and executor meet, and what each does without the other."""

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from agent import Context, State, create_llm_compiler
from agent.conversation.messages import plan_message
from agent.executor.node import make_executor
from agent.handover import Handover
from agent.language.plan import Plan
from agent.language.tasks import Call, Join, Signature, Task
from agent.models import Models
from agent.planner.node import make_planner
from agent.tooling.describe import as_tools

SIGNATURES = {"search": Signature("search", ("query",))}


@pytest.fixture
def nobody_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node gives up on the other one at once."""
    monkeypatch.setattr("agent.handover.ARRIVAL_TIMEOUT", 0.01)


def plan_of(*queries: str) -> tuple[list[Task], AIMessage]:
    """The tasks of a plan, and its message."""
    plan = Plan(SIGNATURES)
    for query in queries:
        plan.add(Call(None, "search", [query]))
    plan.end(Join(plan.last + 1))
    return plan.tasks, plan_message(plan, text="", feedback="", usage=None)


async def taken(handover: Handover) -> list[Task]:
    return [task async for task in handover.tasks()]


# --- tasks


async def test_a_task_comes_out_when_it_has_been_sent() -> None:
    handover = Handover()
    (first, second), _ = plan_of("a", "b")
    tasks = handover.tasks()
    handover.send(first)
    assert await anext(tasks) == first
    waiting = asyncio.ensure_future(anext(tasks))
    await asyncio.sleep(0)
    assert not waiting.done()
    handover.send(second)
    assert await waiting == second


async def test_tasks_come_in_the_order_of_the_plan_and_end_with_it() -> None:
    handover = Handover()
    tasks, _ = plan_of("a", "b", "c")
    for task in tasks:
        handover.send(task)
    handover.end(last=4)
    assert await taken(handover) == tasks
    assert handover.last == 4


async def test_a_plan_without_tasks_just_ends() -> None:
    handover = Handover()
    handover.end(last=1)
    assert await taken(handover) == []


async def test_a_finished_plan_sends_the_tasks_that_were_not_sent_yet() -> None:
    handover = Handover()
    tasks, message = plan_of("a", "b", "c")
    handover.send(tasks[0])
    handover.finish(message)
    assert await taken(handover) == tasks
    assert handover.last == 4
    assert await handover.plan() is message


async def test_finishing_twice_sends_nothing_twice() -> None:
    handover = Handover()
    tasks, message = plan_of("a", "b")
    handover.finish(message)
    handover.finish(message)
    assert await taken(handover) == tasks


async def test_the_first_end_counts() -> None:
    handover = Handover()
    handover.end(last=3)
    handover.end()
    assert handover.last == 3
    assert await taken(handover) == []


# --- the two ends


@pytest.mark.usefixtures("nobody_comes")
async def test_without_a_planner_there_is_no_plan() -> None:
    assert await Handover().plan() is None


async def test_a_planner_that_has_come_is_waited_for() -> None:
    handover = Handover()
    _, message = plan_of("a")
    with handover.planning():
        waiting = asyncio.ensure_future(handover.plan())
        await asyncio.sleep(0)
        assert not waiting.done()
        handover.finish(message)
        assert await waiting is message


@pytest.mark.usefixtures("nobody_comes")
async def test_a_plan_that_is_there_needs_no_planner() -> None:
    handover = Handover()
    _, message = plan_of("a")
    handover.finish(message)
    assert await handover.plan() is message


async def test_an_executor_that_is_cancelled_while_it_waits_ends_and_leaves_the_plan_alone() -> None:
    handover = Handover()
    _, message = plan_of("a")
    with handover.planning():
        waiting = asyncio.ensure_future(handover.plan())
        await asyncio.sleep(0)
        waiting.cancel()
        ended, _ = await asyncio.wait([waiting])
        handover.finish(message)
    assert ended == {waiting}
    assert await handover.plan() is message


async def test_a_failure_of_the_planner_passes_over_to_the_executor() -> None:
    handover = Handover()
    failure = ValueError("no such model")
    with pytest.raises(ValueError, match="no such model"), handover.planning():
        raise failure
    with pytest.raises(ValueError, match="no such model"):
        await taken(handover)
    with pytest.raises(ValueError, match="no such model") as caught:
        await handover.plan()
    assert caught.value is failure


async def test_a_planner_that_is_cancelled_does_not_cancel_the_executor() -> None:
    handover = Handover()
    with pytest.raises(asyncio.CancelledError), handover.planning():
        raise asyncio.CancelledError
    with pytest.raises(RuntimeError, match="The planner was cancelled"):
        await handover.plan()


async def test_a_planner_that_fails_after_its_plan_leaves_the_plan() -> None:
    handover = Handover()
    _, message = plan_of("a")
    with suppress(ValueError), handover.planning():
        handover.finish(message)
        raise ValueError("late")
    assert await handover.plan() is message


@pytest.mark.usefixtures("nobody_comes")
async def test_without_an_executor_the_planner_does_not_wait() -> None:
    await Handover().drained()


async def test_the_planner_stays_until_the_executor_has_gone() -> None:
    handover = Handover()
    waiting = asyncio.ensure_future(handover.drained())
    with handover.executing():
        handover.drain()
        await handover.done()
        assert not waiting.done()
    await waiting


@pytest.mark.parametrize("end", [ValueError("broken"), asyncio.CancelledError()])
async def test_the_planner_does_not_wait_for_an_executor_that_has_ended_badly(end: BaseException) -> None:
    handover = Handover()
    with pytest.raises(type(end)), handover.executing():
        raise end
    await handover.drained()


# --- where they meet


def runtime(checkpoint: str | None, control: object) -> Runtime[Any]:
    info = SimpleNamespace(checkpoint_id=checkpoint)
    return cast("Runtime[Any]", SimpleNamespace(execution_info=info, control=control))


async def test_the_nodes_of_one_superstep_meet() -> None:
    control = object()
    handover = Handover.of(runtime("a", control))
    assert Handover.of(runtime("a", control)) is handover


@pytest.mark.parametrize(("checkpoint", "same_run"), [("b", True), ("a", False)])
async def test_the_nodes_of_other_supersteps_and_runs_do_not_meet(checkpoint: str, same_run: bool) -> None:
    control, other = object(), object()
    handover = Handover.of(runtime("a", control))
    assert Handover.of(runtime(checkpoint, control if same_run else other)) is not handover


@pytest.mark.usefixtures("nobody_comes")
async def test_a_stream_is_forgotten_with_its_superstep() -> None:
    control = object()
    handover = Handover.of(runtime("a", control))
    _, message = plan_of("a")
    handover.finish(message)
    del handover
    assert await Handover.of(runtime("a", control)).plan() is None


# --- the nodes themselves


async def search(query: str) -> str:
    """looks up"""
    return f"entry of {query}"


def make_graph(*edges: tuple[str, str], plan: str = "") -> CompiledStateGraph[State, Context, Any, Any]:
    """A graph of these edges, in which the joiner does nothing."""
    tools = as_tools([search])
    models = Models(FakeListChatModel(responses=[plan]))
    nodes = {
        "planner": make_planner(tools, models, ""),
        "executor": make_executor(tools, models),
        "joiner": lambda _: {},
        "approval": lambda _: {},
    }
    graph = StateGraph(State, context_schema=Context)
    for name in {name for edge in edges for name in edge} & nodes.keys() | {"joiner", "approval"}:
        graph.add_node(name, nodes[name])  # type: ignore[call-overload]
    for start, end in edges:
        graph.add_edge(start, end)
    return graph.compile()


def results(output: dict[str, Any]) -> list[str]:
    return [message.text for message in output["messages"] if isinstance(message, ToolMessage)]


@pytest.mark.usefixtures("nobody_comes")
async def test_a_planner_without_an_executor_leaves_its_plan_in_the_state() -> None:
    graph = make_graph((START, "planner"), ("planner", END), plan='1. search("K2")\n2. join()')
    output = await graph.ainvoke({"messages": "q"})
    assert [call["args"] for call in output["plan"].tool_calls] == [{"query": "K2"}]


@pytest.mark.usefixtures("nobody_comes")
async def test_an_executor_without_a_planner_works_from_the_plan_in_the_state() -> None:
    plan = '1. search("K2")\n2. search("$1!")\n3. join()'
    graph = make_graph((START, "planner"), ("planner", "executor"), plan=plan)
    assert results(await graph.ainvoke({"messages": "q"})) == ["entry of K2", "entry of entry of K2!"]


@pytest.mark.usefixtures("nobody_comes")
async def test_an_executor_that_starts_beside_a_planner_elsewhere_runs_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when LangGraph runs the two nodes in different processes: they meet nowhere."""
    monkeypatch.setattr(Handover, "of", classmethod(lambda cls, _: cls()))
    graph = make_graph((START, "planner"), (START, "executor"), plan='1. search("K2")\n2. join()')
    steps = [step async for step in graph.astream({"messages": "q"}, stream_mode="updates")]
    assert [name for step in steps for name in step if name == "executor"] == ["executor"] * 2
    ran = [step["executor"] for step in steps if step.get("executor")]
    assert results(ran[-1]) == ["entry of K2"]


@pytest.mark.usefixtures("nobody_comes")
async def test_an_executor_that_finds_no_plan_at_all_does_not_loop() -> None:
    graph = make_graph((START, "executor"))
    runs = 0
    with suppress(Exception):  # what it says in the end is another matter
        async for step in graph.astream({"messages": "q"}, {"recursion_limit": 5}, stream_mode="tasks"):
            runs += step["name"] == "executor" and "input" in step
    assert runs <= 2


@pytest.mark.parametrize("query", ["flights under $100", "$100.price", "$1 under $100"])
async def test_a_plan_that_comes_in_one_piece_does_not_hang_on_a_missing_task(query: str) -> None:
    model = FakeListChatModel(responses=[f'1. search("K2")\n2. search("{query}")\n3. join()', "Done."])
    graph = create_llm_compiler([search], model=model)
    output = await graph.ainvoke({"messages": [HumanMessage("q")]})
    assert output["messages"][-1].text == "Done."
