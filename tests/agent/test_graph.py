"""The whole graph, with the real OpenAI client against a scripted model server."""

import asyncio
import copy
import gc
import pickle
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.stream.transformers import CustomTransformer, UpdatesTransformer
from pydantic import ValidationError

from agent import as_tool, create_llm_compiler
from agent.executor import retries
from agent.language.literals import NOT_A_VALUE, PARTS
from agent.planner import node as planner
from tests.support import PATIENCE
from tests.support.model_server import MALFORMED, ChatRequest, Cut, End, Gate, HttpError, ModelServer, Reply
from tests.support.waiting import until

REPLAN = Reply(tool_calls=[("replan", {"feedback": "The height of K2 is missing."})])


async def search(query: str) -> str:
    """Looks up."""
    return f"entry of {query}"


async def measure(thing: str) -> dict[str, Any]:
    """Measures."""
    return {"name": thing, "height": len(thing)}


def add(first: float, second: float) -> float:
    """Adds."""
    return first + second


async def fail(reason: str) -> str:
    """Fails."""
    raise RuntimeError(reason)


TOOLS = [tool(function) for function in (search, measure, add, fail)]


def plan(*lines: str) -> str:
    return "\n".join(f"{number}. {line}" for number, line in enumerate([*lines, "join()"], start=1))


async def run(model: ChatOpenAI, question: str = "Question?", **context: Any) -> list[Any]:
    output = await create_llm_compiler(TOOLS, model=model).ainvoke({"messages": question}, context=context)
    return output["messages"]


def observed(messages: list[Any]) -> dict[int, ToolMessage]:
    return {int(m.tool_call_id.removeprefix("task_")): m for m in messages if isinstance(m, ToolMessage)}


async def test_a_question_becomes_a_plan_observations_and_an_answer(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    async def search(query: str) -> str:
        """Looks up; so slowly that the model has said all before."""
        await (await model_server.exchange(0, "planner")).until_finished()
        return f"entry of {query}"

    model_server.script(planner=[plan('search("K2")', 'measure("$1")')], joiner=["Eleven."])
    graph = create_llm_compiler([search, measure], model=chat_model)
    question, planned, first, second, answer = (await graph.ainvoke({"messages": "Question?"}))["messages"]

    assert question == HumanMessage("Question?", id=question.id)
    assert [(call["id"], call["name"], call["args"]) for call in planned.tool_calls] == [
        ("task_1", "search", {"query": "K2"}),
        ("task_2", "measure", {"thing": "entry of K2"}),
    ]
    assert planned.usage_metadata["total_tokens"] > 0
    assert (first.text, first.artifact, first.status) == ("entry of K2", "entry of K2", "success")
    assert second.artifact == {"name": "entry of K2", "height": 11}
    assert second.response_metadata["arguments"] == {"thing": "entry of K2"}
    assert second.response_metadata["started"] <= second.response_metadata["finished"]
    assert answer.text == "Eleven."
    assert answer.usage_metadata["total_tokens"] > 0


async def test_the_first_tool_starts_before_the_last_token_of_the_plan(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    gate = Gate()

    async def search(query: str) -> str:
        """Looks up."""
        gate.open()
        return query

    model_server.script(planner=[Reply(['1. search("K2")', gate, "\n2. join()"])], joiner=["Done."])
    running = asyncio.ensure_future(create_llm_compiler([search], model=chat_model).ainvoke({"messages": "Question?"}))
    await gate.reached()
    assert (await running)["messages"][-1].text == "Done."


async def test_independent_tools_overlap(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    together = asyncio.Barrier(3)

    async def meet(name: str) -> str:
        """Returns when three calls are running."""
        await together.wait()
        return name

    model_server.script(planner=[plan('meet("a")', 'meet("b")', 'meet("c")')], joiner=["Done."])
    output = await create_llm_compiler([meet], model=chat_model).ainvoke({"messages": "Question?"})
    assert [message.text for message in output["messages"][2:5]] == ["a", "b", "c"]


async def test_sync_tools_overlap_in_threads(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    together = threading.Barrier(12, timeout=PATIENCE)

    def meet(name: int) -> int:
        """Returns when twelve calls are running."""
        together.wait()
        return name

    model_server.script(planner=[plan(*(f"meet({n})" for n in range(12)))], joiner=["Done."])
    output = await create_llm_compiler([meet], model=chat_model).ainvoke({"messages": "Question?"})
    assert [message.artifact for message in output["messages"][2:14]] == list(range(12))


async def test_max_concurrency_bounds_the_running_tools(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    together = asyncio.Barrier(3)
    running = most = 0

    async def work(name: int) -> int:
        """Counts how many are running; three wait for each other."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        await together.wait()
        running -= 1
        return name

    model_server.script(planner=[plan(*(f"work({n})" for n in range(21)))], joiner=["Done."])
    graph = create_llm_compiler([work], model=chat_model)
    await graph.ainvoke({"messages": "Question?"}, context={"max_concurrency": 3})
    assert most == 3


async def test_a_waiting_task_takes_no_slot(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(planner=[plan("add($3, 1)", "add($3, 2)", "add(1, 1)")], joiner=["Done."])
    messages = await run(chat_model, max_concurrency=1)
    assert [message.artifact for message in messages[2:5]] == [3.0, 4.0, 2.0]


@pytest.mark.parametrize("bound", [1, 2])
async def test_max_concurrency_of_the_config_never_makes_the_nodes_wait_for_each_other(
    model_server: ModelServer, chat_model: ChatOpenAI, bound: int
) -> None:
    model_server.handler = lambda request: "Done." if request.is_joiner else plan("add(1, 2)", "add($1, 3)")
    graph = create_llm_compiler(TOOLS, model=chat_model)
    outputs = await graph.abatch([{"messages": "a"}, {"messages": "b"}], {"max_concurrency": bound})
    assert [output["messages"][-2].artifact for output in outputs] == [6.0, 6.0]


@pytest.mark.parametrize("around", ["chain", "with_config", "node", "tool"])
async def test_nor_does_that_of_a_surrounding_run(
    model_server: ModelServer, chat_model: ChatOpenAI, around: str
) -> None:
    model_server.handler = lambda request: "Done." if request.is_joiner else plan("add(1, 2)", "add($1, 3)")
    graph = create_llm_compiler(TOOLS, model=chat_model)
    config: RunnableConfig = {"max_concurrency": 1}
    question = {"messages": "Question?"}
    match around:
        case "chain":
            output = await (RunnableLambda(lambda _: question) | graph).ainvoke("", config)
        case "with_config":
            output = await graph.with_config(config).ainvoke(question)
        case "node":
            outer = StateGraph(MessagesState)
            outer.add_node("inner", graph)
            outer.add_edge(START, "inner")
            output = await outer.compile().ainvoke(question, config)  # type: ignore[call-overload]
        case "tool":
            agent = as_tool(graph, name="agent", description="answers")
            output = {"messages": [AIMessage(await agent.ainvoke({"question": "Question?"}, config))]}
    assert output["messages"][-1].text == "Done."


async def test_dependents_get_typed_values_and_parts_of_them(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    received: list[Any] = []

    async def take(value: Any) -> None:
        """Takes a value."""
        received.append(value)

    model_server.script(
        planner=[
            plan(
                'measure("K2")',
                "take($1)",
                "take($2)",
                'take("$1.height")',
                'take("$1.name is $1.height high")',
                "take([${1}.height, {'n': $1.name}])",
            )
        ],
        joiner=["Done."],
    )
    graph = create_llm_compiler([measure, take], model=chat_model)
    await graph.ainvoke({"messages": "Question?"})
    assert sorted(received, key=repr) == sorted(
        [{"name": "K2", "height": 2}, None, 2, "K2 is 2 high", [2, {"n": "K2"}]], key=repr
    )


async def test_a_failing_tool_only_stops_its_dependents(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(
        planner=[plan('fail("no net")', 'search("$1")', 'measure("$2")', 'search("K2")')], joiner=["Partly."]
    )
    results = observed(await run(chat_model))
    assert [(message.status, message.text) for message in results.values()] == [
        ("error", "RuntimeError: no net"),
        ("error", "Not run: it needs task 1, which failed: RuntimeError: no net"),
        ("error", "Not run: it needs task 1, which failed: RuntimeError: no net"),
        ("success", "entry of K2"),
    ]
    assert '1. fail("no net") failed: RuntimeError: no net' in model_server.requests[-1].user


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ('serch("K2")', "There is no tool 'serch'. Did you mean search? The tools are: search, measure, add, fail."),
        (
            'add("one", 2)',
            "Wrong arguments for add: first: Input should be a valid number, unable to parse string as a number.",
        ),
        ("add(1, $7)", "$7 refers to task 7, and there is no such task. For the text, write \\$7."),
        ('search([open("a")])', NOT_A_VALUE.format(text="open('a')", hint=PARTS)),
    ],
)
async def test_a_bad_call_is_a_failed_task(
    model_server: ModelServer, chat_model: ChatOpenAI, call: str, error: str
) -> None:
    model_server.script(planner=[plan(call)], joiner=["Sorry."])
    message = observed(await run(chat_model))[1]
    assert message.status == "error"
    assert message.text == error


async def test_tasks_in_a_circle_fail_and_the_others_run(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(planner=[plan("add($2, 1)", "add($3, 1)", "add($1, 1)", "add(1, 1)")], joiner=["Sorry."])
    results = observed(await run(chat_model))
    assert results[3].text == "The tasks 3 → 1 → 2 → 3 wait for each other."
    assert [message.status for message in results.values()] == ["error", "error", "error", "success"]


async def test_the_joiner_may_have_another_plan_made(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(
        planner=[plan('search("Everest")'), '2. search("K2")\n3. search("$1 and $2")\n4. join()'],
        joiner=[REPLAN, "Everest."],
    )
    messages = await run(chat_model)
    assert [type(message).__name__ for message in messages] == [
        "HumanMessage",
        "AIMessage",
        "ToolMessage",
        "AIMessage",
        "ToolMessage",
        "ToolMessage",
        "AIMessage",
    ]
    assert messages[3].text == "The height of K2 is missing."
    assert observed(messages)[3].text == "entry of entry of Everest and entry of K2"
    replan = next(r for r in model_server.requests if "Still missing" in r.user)
    assert '1. search("Everest") -> entry of Everest' in replan.user
    assert "Still missing: The height of K2 is missing.\nPlan only what is missing, from number 2 on." in replan.user


async def test_a_replan_that_counts_from_one_again_is_renumbered(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=[plan("add(1, 1)"), plan("add(5, 5)", "add($1, 1)")], joiner=[REPLAN, "Done."])
    results = observed(await run(chat_model))
    assert {number: message.artifact for number, message in results.items()} == {1: 2.0, 2: 10.0, 3: 11.0}


async def test_at_the_limit_of_replans_the_joiner_must_answer(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=[plan("add(1, 1)"), "2. add(2, 2)\njoin()"], joiner=[REPLAN, "Four, I think."])
    messages = await run(chat_model, max_replans=1)
    assert messages[-1].text == "Four, I think."
    first, last = (request for request in model_server.requests if request.is_joiner)
    assert first.tool_names == ["replan"]
    assert last.tool_names == []


@pytest.mark.parametrize("second", ["2. join()", "There is nothing more to look up.", ""])
async def test_after_a_plan_without_calls_the_joiner_must_answer(
    second: str, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=[plan("add(1, 1)"), second], joiner=[REPLAN, "Two, I think."])
    messages = await run(chat_model, max_replans=20)
    assert messages[-1].text == "Two, I think."
    assert model_server.requests[-1].tool_names == []


async def test_the_joiner_may_ask_for_a_plan_after_one_without_calls_and_only_as_often_as_ever(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(
        planner=["join()", plan("add(1, 1)"), "2. add(2, 2)\njoin()"], joiner=[REPLAN, REPLAN, "Four, I think."]
    )
    messages = await run(chat_model, "Any change?", max_replans=2)
    assert messages[-1].text == "Four, I think."
    asked = [request.tool_names for request in model_server.requests if request.is_joiner]
    assert asked == [["replan"], ["replan"], []]


@pytest.mark.parametrize("text", ["1. join()", "", "I can't plan this."])
async def test_a_plan_without_calls_is_answered(model_server: ModelServer, chat_model: ChatOpenAI, text: str) -> None:
    model_server.script(planner=[text], joiner=["An answer."])
    assert [message.text for message in await run(chat_model)] == ["Question?", "An answer."]


async def test_a_text_only_joiner_decides_in_words(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    def answer(request: ChatRequest) -> Reply | HttpError | str:
        if request.is_planner:
            return plan("add(1, 1)") if "Still missing" not in request.user else "2. add(2, 2)\n3. join()"
        if request.tools:
            return HttpError(400, "this model does not support tools")
        if "2. add" not in request.user:
            return "Thought: I need more.\nAction: Replan(the other sum (2 + 2))"
        return "Thought: I have it all.\nAction: Finish(It is 4 (four), and replanning is not needed.)"

    model_server.handler = answer
    messages = await run(chat_model)
    assert messages[3].text == "the other sum (2 + 2)"
    assert messages[-1].text == "It is 4 (four), and replanning is not needed."


async def test_several_turns_share_a_thread(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(
        planner=[plan("add(1, 1)"), "2. add($1, 5)\n3. join()", "1. join()"], joiner=["Two.", "Seven.", "Bye!"]
    )
    graph = create_llm_compiler(TOOLS, model=chat_model, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "t"}}
    for question in ("What is 1 + 1?", "And 5 more?", "Thanks"):
        output = await graph.ainvoke({"messages": question}, thread)
    assert observed(output["messages"])[2].artifact == 7.0
    assert [m.text for m in output["messages"] if isinstance(m, HumanMessage | AIMessage) and m.text] == [
        "What is 1 + 1?",
        "Two.",
        "And 5 more?",
        "Seven.",
        "Thanks",
        "Bye!",
    ]
    second_plan = [request for request in model_server.requests if request.is_planner][1]
    assert [message["role"] for message in second_plan.messages] == ["system", "user", "assistant", "user"]
    assert "1. add(1, 1) -> 2.0" in second_plan.messages[1]["content"]
    assert "Still missing" not in second_plan.user


async def test_concurrent_runs_do_not_mix(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    def answer(request: ChatRequest) -> str:
        number = int(request.user.split()[0])
        if request.is_planner:
            return plan(f"add({number}, 0)", "add($1, 1000)")
        return request.user.splitlines()[-1].rpartition(" ")[2]

    model_server.handler = answer
    graph = create_llm_compiler(TOOLS, model=chat_model, checkpointer=InMemorySaver())
    outputs = await asyncio.gather(
        *(graph.ainvoke({"messages": f"{n} ?"}, {"configurable": {"thread_id": str(n)}}) for n in range(10))
    )
    assert [output["messages"][-1].text for output in outputs] == [f"{n + 1000.0}" for n in range(10)]


async def test_what_a_run_held_is_freed_with_it_and_not_by_the_garbage_collector(
    model_server: ModelServer, make_chat_model: Any
) -> None:
    found: list[weakref.ref[Any]] = []

    async def find(name: str) -> Any:
        """Finds."""
        thing = {name}
        found.append(weakref.ref(thing))
        return thing

    # Python 3.11's wait_for, in which langchain-openai waits for each piece, leaves a circle at a stream's end.
    model = make_chat_model(stream_chunk_timeout=None)
    model_server.script(planner=[plan('find("K2")', 'find("$1")')], joiner=["Found."])
    gc.disable()
    try:
        await create_llm_compiler([find], model=model).ainvoke({"messages": "Question?"})
        await until(lambda: [thing() for thing in found] == [None, None])
    finally:
        gc.enable()


async def test_the_model_stream_is_closed_when_it_goes_on_after_the_join(
    model_server: ModelServer, chat_model: ChatOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("SILENCE", "USAGE_TIMEOUT", "CLOSING_TIMEOUT"):
        monkeypatch.setattr(planner, limit, 0.01)
    model_server.script(
        planner=[Reply(["1. add(1, 1)\n2. join()", "\nNow", " let me", Gate(), "explain"])], joiner=["Two."]
    )
    assert (await run(chat_model))[-1].text == "Two."
    await (await model_server.exchange(0, "planner")).until_disconnected()


async def test_a_stream_that_is_at_its_end_is_not_cancelled(
    model_server: ModelServer, chat_model: ChatOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "USAGE_TIMEOUT", 0.01)
    monkeypatch.setattr(planner, "CLOSING_TIMEOUT", PATIENCE)
    gate = Gate()
    model_server.script(planner=[Reply(["1. add(1, 1)\n2. join()", gate, " "])], joiner=["Two."])
    assert (await run(chat_model))[-1].text == "Two."
    gate.open()
    await (await model_server.exchange(0, "planner")).until_finished()


async def test_a_stream_that_does_not_end_is_cancelled(
    model_server: ModelServer, chat_model: ChatOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "USAGE_TIMEOUT", 0.01)
    monkeypatch.setattr(planner, "CLOSING_TIMEOUT", 0.01)
    model_server.script(planner=[Reply(["1. add(1, 1)\n2. join()", Gate(), " "])], joiner=["Two."])
    assert (await run(chat_model))[-1].text == "Two."
    await (await model_server.exchange(0, "planner")).until_disconnected()


async def test_a_plan_longer_than_the_limit_stops_the_model(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    calls = [f"{n}. add({n}, 0)\n" for n in range(1, 6)]
    model_server.script(planner=[Reply([*calls, Gate(), "6. add(6, 0)"])], joiner=["Done."])
    results = observed(await run(chat_model, max_tasks=4))
    assert [message.status for message in results.values()] == ["success"] * 4 + ["error"]
    assert results[5].text == "The plan ends here: it has more than 4 tasks (max_tasks)."
    await (await model_server.exchange(0, "planner")).until_disconnected()


async def test_a_long_observation_is_cut_for_models_and_whole_for_tasks(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    async def read(url: str) -> str:
        """Reads."""
        return "x" * 5000

    async def count(text: str) -> int:
        """Counts."""
        return len(text)

    model_server.script(planner=[plan('read("u")', "count($1)")], joiner=["Done."])
    output = await create_llm_compiler([read, count], model=chat_model).ainvoke(
        {"messages": "Question?"}, context={"max_observation_chars": 100}
    )
    assert output["messages"][3].artifact == 5000
    assert output["messages"][2].text == "x" * 100 + "… [cut: 100 of 5,000 characters shown]"
    assert "x" * 101 not in model_server.requests[-1].user


async def test_of_a_long_observation_models_are_shown_what_the_question_asks_for(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    async def read(page: int) -> str:
        """Reads."""
        return "".join(
            f"On day {day} nothing happened. " + "Annapurna was climbed. " * (day == 900) for day in range(999)
        )

    model_server.script(planner=[plan("read(7)")], joiner=["On day 900."])
    await create_llm_compiler([read], model=chat_model).ainvoke({"messages": "When was Annapurna climbed?"})
    assert "Annapurna was climbed." in model_server.requests[-1].user.partition("Results")[2]


async def test_a_tool_that_takes_too_long_fails(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    async def hang(name: str) -> str:
        """Hangs."""
        await asyncio.Event().wait()
        return name

    model_server.script(planner=[plan('hang("a")')], joiner=["Sorry."])
    output = await create_llm_compiler([hang], model=chat_model).ainvoke(
        {"messages": "Question?"}, context={"tool_timeout": 0.05}
    )
    assert output["messages"][2].text == "hang took longer than 0.05 s and was stopped."


async def test_a_transient_failure_is_tried_again_and_told(
    model_server: ModelServer, chat_model: ChatOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "FIRST_DELAY", 0.001)
    tried = 0

    async def fetch(url: str) -> str:
        """Fetches."""
        nonlocal tried
        tried += 1
        if tried < 3:
            raise ConnectionResetError(f"reset {tried}")
        return url

    model_server.script(planner=[plan('fetch("x")')], joiner=["Done."])
    graph = create_llm_compiler([fetch], model=chat_model)
    events = [event async for event in graph.astream({"messages": "Question?"}, stream_mode="custom")]
    assert [(e["type"], e.get("error")) for e in events if "task" in e] == [
        ("task_planned", None),
        ("task_started", None),
        ("task_retried", "ConnectionResetError: reset 1"),
        ("task_retried", "ConnectionResetError: reset 2"),
        ("task_finished", None),
    ]


async def test_a_tool_may_have_a_timeout_of_its_own(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    @tool
    async def hang() -> None:
        """Hangs."""
        await asyncio.Event().wait()

    hang.metadata = {"timeout": 0.05}
    model_server.script(planner=[plan("hang()")], joiner=["Sorry."])
    output = await create_llm_compiler([hang], model=chat_model).ainvoke({"messages": "Question?"})
    assert output["messages"][2].text == "hang took longer than 0.05 s and was stopped."


@pytest.mark.parametrize(
    ("context", "named"),
    [({"max_replan": 1}, "max_replan"), ({"max_tasks": "3"}, "max_tasks"), ({"tool_timeout": -1.0}, "tool_timeout")],
)
async def test_a_wrong_context_is_refused(
    model_server: ModelServer, chat_model: ChatOpenAI, context: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValidationError, match=named):
        await run(chat_model, **context)
    assert model_server.requests == []


@pytest.mark.parametrize("fault", [HttpError(401), HttpError(500)])
async def test_a_model_error_ends_the_run(model_server: ModelServer, chat_model: ChatOpenAI, fault: HttpError) -> None:
    model_server.script(planner=[fault])
    with pytest.raises(Exception, match=str(fault.status)):
        await run(chat_model)


async def test_the_client_retries_when_the_model_is_busy(model_server: ModelServer, make_chat_model: Any) -> None:
    model_server.script(planner=[HttpError(429, retry_after=0.001), "1. join()"], joiner=[HttpError(500), "Hello."])
    assert (await run(make_chat_model(max_retries=2)))[-1].text == "Hello."


@pytest.mark.parametrize("fault", [Cut(), MALFORMED])
async def test_a_broken_model_stream_ends_the_run_and_its_tools(
    model_server: ModelServer, chat_model: ChatOpenAI, fault: Any
) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()
    gate = Gate()

    async def hang(name: str) -> None:
        """Hangs."""
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    model_server.script(planner=[Reply(['1. hang("a")\n', gate, "2. se", fault])])
    running = asyncio.ensure_future(create_llm_compiler([hang], model=chat_model).ainvoke({"messages": "Question?"}))
    await started.wait()
    gate.open()
    with pytest.raises(Exception):  # noqa: B017, PT011 — each client error has a type of its own
        await running
    assert stopped.is_set()


async def test_a_task_that_waits_for_the_rest_of_a_plan_does_not_run_when_the_plan_breaks_off(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    ran: list[str] = []

    async def pay(what: str) -> None:
        """Pays."""
        ran.append(what)

    model_server.script(planner=[Reply(['1. pay("tea for $2")\n', Cut()])])
    with pytest.raises(Exception):  # noqa: B017, PT011 — the client has its own type for it
        await create_llm_compiler([pay], model=chat_model).ainvoke({"messages": "Question?"})
    assert ran == []


async def test_a_plan_that_ends_in_the_middle_of_a_call_fails_that_call(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=[Reply(["1. add(1, 1)\n2. add(1", End()])], joiner=["Two."])
    results = observed(await run(chat_model))
    assert (results[1].artifact, results[2].text) == (2.0, "The plan ends in the middle of this call.")


async def test_the_answer_streams_token_by_token_and_the_plan_does_not(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=[plan("add(1, 1)")], joiner=["The sum is two."])
    graph = create_llm_compiler(TOOLS, model=chat_model)
    streamed = [chunk async for chunk, _ in graph.astream({"messages": "Question?"}, stream_mode="messages")]
    tokens = [chunk.text for chunk in streamed if isinstance(chunk, AIMessageChunk) and chunk.text]
    assert "".join(tokens) == "The sum is two."
    assert len(tokens) > 3
    assert not any("join()" in str(chunk.content) for chunk in streamed)


async def test_progress_is_told_for_every_task(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(planner=[plan("add(1, 1)", "add($1, 1)", 'fail("x")', 'search("$3")')], joiner=["Done."])
    graph = create_llm_compiler(TOOLS, model=chat_model)
    events = [event async for event in graph.astream({"messages": "Question?"}, stream_mode="custom")]
    told = {number: [e["type"] for e in events if e.get("task") == number] for number in range(1, 5)}
    assert told == {
        1: ["task_planned", "task_started", "task_finished"],
        2: ["task_planned", "task_started", "task_finished"],
        3: ["task_planned", "task_started", "task_failed"],
        4: ["task_planned", "task_skipped"],
    }
    finished = next(e for e in events if e["type"] == "task_finished" and e["task"] == 2)
    assert {key: finished[key] for key in ("tool", "arguments", "call", "dependencies", "result")} == {
        "tool": "add",
        "arguments": {"first": 2.0, "second": 1},
        "call": "add(2.0, 1)",
        "dependencies": [1],
        "result": "3.0",
    }
    others = [e["type"] for e in events if "task" not in e and e["type"] != "plan_text"]
    assert others == ["plan_started", "plan_finished", "joiner_started"]
    assert all(isinstance(e["time"], float) for e in events)


async def test_the_plans_text_is_told_when_a_call_ends_and_seldom_between(
    model_server: ModelServer, chat_model: ChatOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "TOLD_EVERY", PATIENCE)
    model_server.script(planner=["1. add(1, 1)\n2. add($1, 1)\n3. join()"], joiner=["Done."])
    graph = create_llm_compiler(TOOLS, model=chat_model)
    events = [event async for event in graph.astream({"messages": "Question?"}, stream_mode="custom")]
    told = [event["text"] for event in events if event["type"] == "plan_text"]
    assert told == ["1", ". add(1, 1)", "\n2. add($1, 1)", "\n3. join()"]


async def test_all_of_a_plan_that_breaks_off_is_told(
    model_server: ModelServer, chat_model: ChatOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "TOLD_EVERY", PATIENCE)
    model_server.script(planner=[Reply(["1. add(1, 1)\n2", ". add(", "$1", Cut(reset=False)])])
    told = ""
    with pytest.raises(Exception, match="Connection error"):  # noqa: PT012 — what is told before is the point
        async for event in create_llm_compiler(TOOLS, model=chat_model).astream(
            {"messages": "Question?"}, stream_mode="custom"
        ):
            told += event["text"] if event["type"] == "plan_text" else ""
    assert told == "1. add(1, 1)\n2. add($1"


async def test_cancelling_a_run_stops_its_tools_and_its_model_stream(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def hang(name: str) -> None:
        """Hangs."""
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    model_server.script(planner=[Reply(['1. hang("a")\n', Gate(), "2. join()"])])
    before = asyncio.all_tasks()
    running = asyncio.ensure_future(create_llm_compiler([hang], model=chat_model).ainvoke({"messages": "Question?"}))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert stopped.is_set()
    await (await model_server.exchange(0, "planner")).until_disconnected()
    assert asyncio.all_tasks() == before


async def test_plans_are_read_from_content_blocks(model_server: ModelServer, make_chat_model: Any) -> None:
    model_server.script(
        planner=[Reply(plan("add(1, 1)"), reasoning='1. fail("only thought of")')],
        joiner=[Reply("Two.", reasoning="One and one …")],
    )
    messages = await run(make_chat_model(use_responses_api=True))
    assert observed(messages)[1].artifact == 2.0
    assert messages[-1].text == "Two."


async def test_a_model_that_reports_no_usage_plans_as_well(model_server: ModelServer, make_chat_model: Any) -> None:
    model_server.script(planner=[Reply(plan("add(1, 1)"), usage=False)], joiner=[Reply("Two.", usage=False)])
    messages = await run(make_chat_model(stream_usage=False))
    assert messages[-1].text == "Two."
    assert messages[1].usage_metadata is None


async def test_no_parameter_is_sent_that_reasoning_models_refuse(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=[plan("add(1, 1)")], joiner=["Two."])
    await run(chat_model)
    assert not any({"stop", "temperature"} & request.body.keys() for request in model_server.requests)


def test_the_graph_runs_from_sync_code_too(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(planner=[plan("add(1, 1)")] * 2, joiner=["Two."] * 2)
    graph = create_llm_compiler(TOOLS, model=chat_model)
    assert graph.invoke({"messages": [("user", "Question?")]})["messages"][-1].text == "Two."
    modes = [mode for mode, _ in graph.stream({"messages": "Question?"}, stream_mode=["custom", "values"])]
    assert {"custom", "values"} == set(modes)


async def test_sync_code_works_inside_a_running_event_loop(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(planner=["1. join()"], joiner=["Hello."])
    graph = create_llm_compiler(TOOLS, model=chat_model)
    assert graph.invoke({"messages": "Hi"})["messages"][-1].text == "Hello."


def test_another_event_loop_than_asyncios_is_told_what_to_do() -> None:
    running = create_llm_compiler(TOOLS).ainvoke({"messages": "Hi"})
    with pytest.raises(RuntimeError, match=r"runs on asyncio.* `graph\.invoke\(…\)`, from Trio in a thread"):
        running.send(None)  # as Trio does


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_of_the_graph_runs(
    copied: Callable[[Any], Any], model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=[plan("add(1, 1)")], joiner=["Two."])
    graph = copied(create_llm_compiler(TOOLS, model=chat_model, checkpointer=InMemorySaver()))
    output = graph.invoke({"messages": "Question?"}, {"configurable": {"thread_id": "1"}})
    assert output["messages"][-1].text == "Two."


def test_a_graph_for_another_process_is_made_there() -> None:
    with pytest.raises(TypeError, match=r"can't be pickled.* which module makes it, and import that there"):
        pickle.dumps(create_llm_compiler(TOOLS))


@pytest.mark.parametrize("messages", ["Hi", ["Hi"], [{"role": "user", "content": "Hi"}], [HumanMessage("Hi")]])
async def test_input_messages_may_have_any_form(
    model_server: ModelServer, chat_model: ChatOpenAI, messages: Any
) -> None:
    model_server.script(planner=["1. join()"], joiner=["Hello."])
    output = await create_llm_compiler(TOOLS, model=chat_model).ainvoke({"messages": messages})
    assert [message.text for message in output["messages"]] == ["Hi", "Hello."]


async def test_planner_and_joiner_may_be_different_models(model_server: ModelServer, make_chat_model: Any) -> None:
    model_server.script(planner=["1. join()"], joiner=["Hello."])
    graph = create_llm_compiler(
        TOOLS, planner_model=make_chat_model(model="big"), joiner_model=make_chat_model(model="small")
    )
    await graph.ainvoke({"messages": "Hi"})
    assert [request.model for request in model_server.requests] == ["big", "small"]


async def test_a_run_may_name_its_model(model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", model_server.base_url)
    model_server.script(planner=["1. join()"], joiner=["Hello."])
    graph = create_llm_compiler(TOOLS)
    await graph.ainvoke({"messages": "Hi"}, context={"model": "openai:local", "joiner_model": "openai:other"})
    assert [request.model for request in model_server.requests] == ["local", "other"]


async def test_many_replans_are_no_matter_of_the_recursion_limit(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(
        planner=[f'{number}. search("{number}")\njoin()' for number in range(1, 16)], joiner=[REPLAN] * 14 + ["Done."]
    )
    messages = await run(chat_model, max_replans=14)
    assert messages[-1].text == "Done."


async def test_tool_calls_of_other_agents_use_up_no_replans(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    calls = [{"name": "fetch", "args": {}, "id": f"c{number}"} for number in range(3)]
    others: list[Any] = [HumanMessage("Question?")]
    for call in calls:
        others += [AIMessage("", tool_calls=[call]), ToolMessage("a page", tool_call_id=call["id"])]
    model_server.script(planner=[plan("add(1, 1)"), "2. add(2, 2)\njoin()"], joiner=[REPLAN, "Four."])
    output = await create_llm_compiler(TOOLS, model=chat_model).ainvoke(
        {"messages": others}, context={"max_replans": 1}
    )
    assert output["messages"][-1].text == "Four."


@pytest.mark.filterwarnings("ignore:The v3 streaming protocol")
async def test_the_event_stream_has_the_tool_calls_and_the_progress(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=[plan('search("K2")')], joiner=["High."])
    graph = create_llm_compiler(TOOLS, model=chat_model)
    run = await graph.astream_events({"messages": "Question?"}, version="v3")
    events = [event async for event in run]
    told = {kind: [e["params"]["data"] for e in events if e["method"] == kind] for kind in ("tools", "custom")}
    (call,) = (await run.output())["messages"][1].tool_calls
    assert [(data["event"], data.get("tool_name"), data["tool_call_id"]) for data in told["tools"]] == [
        ("tool-started", "search", call["id"]),
        ("tool-finished", None, call["id"]),
    ]
    assert "task_finished" in [data["type"] for data in told["custom"]]


@pytest.mark.filterwarnings("ignore:The v3 streaming protocol")
async def test_who_asks_for_the_event_stream_may_name_channels_that_it_has(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=[plan('search("K2")')], joiner=["High."])
    graph = create_llm_compiler(TOOLS, model=chat_model)
    channels = [CustomTransformer, UpdatesTransformer]
    run = await graph.astream_events({"messages": "Question?"}, version="v3", transformers=channels)
    assert {"custom", "updates"} <= {event["method"] async for event in run}


@pytest.mark.filterwarnings("ignore:The v3 streaming protocol")
async def test_the_event_stream_has_what_runs_in_a_tool_under_ids_of_its_own(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    inner = tool(search)

    async def ask(question: str) -> str:
        """Asks another tool."""
        return str(await inner.ainvoke(question))

    model_server.script(planner=[plan('ask.map(["K2", "Fuji"])')], joiner=["High."])
    graph = create_llm_compiler([ask], model=chat_model)
    run = await graph.astream_events({"messages": "Question?"}, version="v3")
    started: dict[str, list[str]] = {"ask": [], "search": []}
    finished = []
    async for event in run:
        match event["params"]["data"] if event["method"] == "tools" else None:
            case {"event": "tool-started", "tool_name": name, "tool_call_id": id_}:
                started[name].append(id_)
            case {"event": "tool-finished", "tool_call_id": id_}:
                finished.append(id_)
    messages = (await run.output())["messages"]
    assert sorted(started["ask"]) == sorted(message.tool_call_id for message in messages[2:4])
    assert len({*started["ask"], *started["search"]}) == 4
    assert sorted(finished) == sorted(started["ask"] + started["search"])


@pytest.mark.parametrize("result", ["x" * 20_001, [{"a": 1}] * 800], ids=["a text", "a list"])
async def test_a_result_that_would_hold_everything_up_is_a_failed_task(
    model_server: ModelServer, chat_model: ChatOpenAI, monkeypatch: pytest.MonkeyPatch, result: Any
) -> None:
    monkeypatch.setattr("agent.executor.call.MAX_RESULT", 20_000)

    async def dump() -> Any:
        """Gives everything."""
        return result

    model_server.script(planner=[plan("dump()")], joiner=["Too much."])
    output = await create_llm_compiler([dump], model=chat_model).ainvoke({"messages": "Question?"})
    failed = output["messages"][2]
    assert (failed.status, failed.artifact) == ("error", None)
    assert failed.text.startswith("dump returned too much: more than 20,000 characters")
