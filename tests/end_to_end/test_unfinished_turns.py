"""Whatever way a turn ends, the conversation says which calls were made and what came of them, which were in flight,
and which were not made."""

import asyncio
import subprocess
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from agent import create_llm_compiler
from agent.executor.checkpoint import IN_FLIGHT, UNDECIDED, UNFINISHED
from apps.runs.checkpoints import open_checkpointer
from tests.support import ROOT
from tests.support.model_server import Gate, ModelServer, Reply
from tests.support.prepared_python import prepared
from tests.support.waiting import until_plan_is_saved

THREAD: Any = {"configurable": {"thread_id": "t"}}
AGAIN = {"messages": "Did you book it?"}


class Airline:
    """`book` books; `wait` waits until it is stopped; `look` looks."""

    def __init__(self, **metadata: Any) -> None:
        self.booked: list[str] = []
        self.waiting = asyncio.Event()
        self.metadata = {"side_effects": "flights", **metadata}

    def tools(self) -> list[Any]:
        async def book(flight: str) -> str:
            """books a flight"""
            self.booked.append(flight)
            if flight == "slow":
                await self._wait()
            return f"booked {flight}"

        async def wait(flight: str) -> str:
            """waits"""
            await self._wait()
            return flight

        return [StructuredTool.from_function(coroutine=book, metadata=self.metadata), wait]

    async def _wait(self) -> None:
        self.waiting.set()
        await asyncio.Event().wait()


async def stopped(graph: Any, until: asyncio.Event, given: Any = None) -> None:
    """Ask, and cancel the run then."""
    running = asyncio.ensure_future(graph.ainvoke(given or {"messages": "Book LH1, and wait."}, THREAD))
    await until.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def told(messages: list[Any]) -> dict[str, str]:
    return {message.tool_call_id: str(message.text) for message in messages if isinstance(message, ToolMessage)}


async def test_a_run_of_the_same_id_goes_on_although_its_question_is_given_again(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    """As servers of the Agent Protocol do when the one that had the run has died."""
    same: Any = {"configurable": {"thread_id": "t", "run_id": "r"}}
    question, gate = {"messages": "Book LH1."}, asyncio.Event()

    async def book(flight: str) -> str:
        """books a flight"""
        await gate.wait()
        return f"booked {flight}"

    model_server.script(planner=['1. book("LH1")\n2. join()'], joiner=["Done."])
    saver = InMemorySaver()
    graph = create_llm_compiler([book], model=chat_model, checkpointer=saver)
    running = asyncio.ensure_future(graph.ainvoke(question, same))
    await until_plan_is_saved(saver)
    running.cancel()
    await asyncio.wait([running])
    gate.set()
    output = await graph.ainvoke(question, same)
    assert [message.type for message in output["messages"]] == ["human", "ai", "tool", "ai"]
    assert told(output["messages"]) == {"task_1": "booked LH1"}


async def test_a_call_that_was_made_in_a_cancelled_run_is_in_the_next_prompt(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    airline = Airline()
    model_server.script(planner=['1. book("LH1")\n2. wait($1)\n3. book($2)\njoin()', "join()"], joiner=["Yes, LH1."])
    graph = create_llm_compiler(airline.tools(), model=chat_model, checkpointer=InMemorySaver())
    await stopped(graph, airline.waiting)
    output = await graph.ainvoke(AGAIN, THREAD)
    question, plan, *results, second, answer = output["messages"]
    assert [type(one) for one in (question, plan, second, answer)] == [HumanMessage, AIMessage, HumanMessage, AIMessage]
    assert told(results) == {"task_1": "booked LH1", "task_2": UNFINISHED, "task_3": UNFINISHED}
    prompt = (await model_server.exchange(1, "planner")).request.user
    assert '1. book("LH1") -> booked LH1' in prompt
    assert f'3. book("$2") failed: {UNFINISHED}' in prompt
    assert "Plan from number 4 on." in prompt
    assert airline.booked == ["LH1"]


async def test_a_call_with_side_effects_that_was_in_flight_is_told_as_such(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    airline = Airline()
    model_server.script(planner=['1. book("slow")\njoin()', "join()"], joiner=["I don't know."])
    graph = create_llm_compiler(airline.tools(), model=chat_model, checkpointer=InMemorySaver())
    await stopped(graph, airline.waiting)
    output = await graph.ainvoke(AGAIN, THREAD)
    assert told(output["messages"]) == {"task_1": IN_FLIGHT}


async def test_what_was_made_of_a_plan_that_was_never_finished_is_known(
    model_server: ModelServer, chat_model: ChatOpenAI, database_url: str
) -> None:
    airline = Airline()
    gate = Gate()

    async def look(flight: str) -> str:
        """looks a flight up"""
        return f"LH{flight}"

    writing = Reply(['1. look("7")\n2. wait($1)\n', gate])
    model_server.script(planner=[writing, "join()"], joiner=["Yes."])
    async with open_checkpointer(database_url) as saver:
        graph = create_llm_compiler([*airline.tools(), look], model=chat_model, checkpointer=saver)
        await stopped(graph, airline.waiting)
        gate.open()
        output = await graph.ainvoke(AGAIN, THREAD)
    assert told(output["messages"]) == {"task_1": "LH7"}


async def test_a_question_instead_of_a_decision_leaves_the_calls_unmade(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    airline = Airline(requires_approval=True)

    async def look(flight: str) -> str:
        """looks a flight up"""
        return f"LH{flight}"

    model_server.script(planner=['1. look("1")\n2. book($1)\n3. wait($2)\njoin()', "join()"], joiner=["No."])
    graph = create_llm_compiler([*airline.tools(), look], model=chat_model, checkpointer=InMemorySaver())
    await graph.ainvoke({"messages": "Book LH1."}, THREAD)
    output = await graph.ainvoke(AGAIN, THREAD)
    assert told(output["messages"]) == {"task_1": "LH1", "task_2": UNDECIDED, "task_3": UNDECIDED}
    assert f'2. book("LH1") failed: {UNDECIDED}' in (await model_server.exchange(1, "planner")).request.user
    assert isinstance(output["messages"][-2], HumanMessage)
    assert airline.booked == []


async def test_an_edited_call_in_flight_is_told_as_it_was_made(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    airline = Airline(requires_approval=True)
    model_server.script(planner=['1. book("LH1")\njoin()', "join()"], joiner=["I don't know."])
    graph = create_llm_compiler(airline.tools(), model=chat_model, checkpointer=InMemorySaver())
    await graph.ainvoke({"messages": "Book LH1."}, THREAD)
    edit = {"type": "edit", "edited_action": {"name": "book", "args": {"flight": "slow"}}}
    await stopped(graph, airline.waiting, Command(resume={"decisions": [edit]}))
    output = await graph.ainvoke(AGAIN, THREAD)
    assert told(output["messages"]) == {"task_1": IN_FLIGHT}
    prompt = (await model_server.exchange(1, "planner")).request.user
    assert '1. book(flight="slow") [a person changed it from: book("LH1")] failed:' in prompt


async def test_a_pause_shows_the_plan_its_results_and_the_calls_that_wait_in_the_conversation(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    airline = Airline(requires_approval=True)

    async def look(flight: str) -> str:
        """looks a flight up"""
        return f"LH{flight}"

    model_server.script(
        planner=['1. look("7")\n2. book($1)\n3. look("after $2")\n4. look.map($3)\njoin()'], joiner=["Booked."]
    )
    graph = create_llm_compiler([*airline.tools(), look], model=chat_model, checkpointer=InMemorySaver())
    paused = (await graph.ainvoke({"messages": "Book it."}, THREAD))["messages"]
    assert isinstance(paused[-1], ToolMessage), "chat UIs show a request below such a message only"
    [plan] = [message for message in paused if isinstance(message, AIMessage)]
    assert [call["id"] for call in plan.tool_calls] == list(told(paused))
    assert list(told(paused)) == ["task_1", "task_2", "task_3"]
    assert "waits for a person's approval" in told(paused)["task_2"]
    output = await graph.ainvoke(Command(resume={"decisions": [{"type": "approve"}]}), THREAD)
    resumed = output["messages"]
    assert [message.id for message in resumed[: len(paused)]] == [message.id for message in paused]
    assert told(resumed)["task_2"] == "booked LH7"
    assert told(resumed)["task_3"] == "LHafter booked LH7"
    assert not any("waits" in text for text in told(resumed).values())


def test_turns_that_are_stopped_in_any_way_leave_nothing_untold() -> None:
    """`python -m tests.torture --kills 0 --stops 1600` does more of it."""
    command = prepared("-m", "tests.torture", "--kills", "0", "--stops", "8", "--jobs", "2")
    result = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "8 turns stopped, 0 gone wrong" in result.stdout
