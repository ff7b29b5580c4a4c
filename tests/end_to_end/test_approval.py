"""Calls that wait for a person's approval."""

import asyncio
import json
from collections import OrderedDict
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool, tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command

from agent import InjectedIdempotencyKey, create_llm_compiler
from agent.executor.approval import DecisionError
from apps.runs.checkpoints import open_checkpointer
from tests.support.model_server import ModelServer, Reply
from tests.support.waiting import until_plan_is_saved

THREAD: Any = {"configurable": {"thread_id": "t"}}
PLAN = '1. search("K2")\n2. mail("ann", text=$1)\n3. mail("bob", text="hello")\n4. search("after $2")\n5. join()'


class Desk:
    """A tool to search with, and one to send mail, which needs approval; what they did."""

    def __init__(self) -> None:
        self.did: list[str] = []

    def tools(self, **metadata: Any) -> list[StructuredTool]:
        async def search(query: str) -> str:
            """look something up"""
            self.did.append(f"search {query}")
            return f"entry of {query}"

        async def mail(to: str, text: str) -> str:
            """send a mail"""
            self.did.append(f"mail {to}: {text}")
            return f"sent to {to}"

        return [
            StructuredTool.from_function(coroutine=search, name="search"),
            StructuredTool.from_function(coroutine=mail, name="mail", metadata=metadata),
        ]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def results(messages: list[AnyMessage]) -> dict[str, str]:
    return {m.tool_call_id: m.text for m in messages if isinstance(m, ToolMessage)}


def decide(*decisions: dict[str, Any]) -> Command[Any]:
    return Command(resume={"decisions": list(decisions)})


APPROVE = {"type": "approve"}


async def pause(
    server: ModelServer, model: ChatOpenAI, desk: Desk, plan: str = PLAN
) -> tuple[CompiledStateGraph[Any, Any, Any, Any], dict[str, Any]]:
    """The graph with a paused run, and what the run has asked for."""
    server.script(planner=[plan])
    graph = create_llm_compiler(desk.tools(requires_approval=True), model=model, checkpointer=InMemorySaver())
    output = await graph.ainvoke({"messages": "Question?"}, THREAD)
    (interrupt,) = output["__interrupt__"]
    return graph, interrupt.value


async def test_a_call_with_a_number_that_is_none_is_shown_as_json_and_made(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    paid: list[float] = []

    async def price() -> dict[str, float]:
        """a price"""
        return {"x": float("nan")}

    async def pay(amount: float, record: dict[str, float]) -> str:
        """pays"""
        paid.append(amount)
        return "paid"

    pay_tool = StructuredTool.from_function(coroutine=pay, metadata={"requires_approval": True})
    model_server.script(planner=["1. price()\n2. pay($1.x, $1)\n3. join()"], joiner=["Done."])
    graph = create_llm_compiler([price, pay_tool], model=chat_model, checkpointer=InMemorySaver())
    output = await graph.ainvoke({"messages": "Question?"}, THREAD)
    [request] = output["__interrupt__"][0].value["action_requests"]
    assert json.loads(json.dumps(request["args"], allow_nan=False)) == {"amount": "nan", "record": {"x": "nan"}}
    output = await graph.ainvoke(decide(APPROVE), THREAD)
    assert output["messages"][-1].text == "Done."
    assert len(paid) == 1


@pytest.mark.parametrize(
    ("messages", "context"),
    [
        (5, {}),
        ([{"role": "wizard", "content": "?"}], {}),
        ([{"role": "user", "content": 5}], {}),
        ("?", {"max_tasks": "many"}),
        ("?", {"max_task": 1}),
    ],
    ids=["no messages", "an unknown role", "a number for a text", "a limit that is no number", "an unknown setting"],
)
async def test_a_question_that_cannot_be_read_changes_nothing(
    model_server: ModelServer, chat_model: ChatOpenAI, desk: Desk, messages: Any, context: Any
) -> None:
    graph, _ = await pause(model_server, chat_model, desk)
    before = await graph.aget_state(THREAD)
    with pytest.raises(Exception, match=r"validation error|message type"):
        await graph.ainvoke({"messages": messages}, THREAD, context=context)
    assert await graph.aget_state(THREAD) == before


async def test_without_a_checkpointer_a_thread_id_does_not_let_a_run_pause(
    model_server: ModelServer, chat_model: ChatOpenAI, desk: Desk
) -> None:
    model_server.script(planner=['1. mail("ann", text="hello")\n2. join()'], joiner=["It can't be sent."])
    graph = create_llm_compiler(desk.tools(requires_approval=True), model=chat_model)
    output = await graph.ainvoke({"messages": "Question?"}, THREAD)
    assert "a run without a checkpointer can't pause for one" in results(output["messages"])["task_1"]
    assert desk.did == []


async def test_the_run_pauses_once_for_all_calls_that_need_it_when_nothing_else_can_run(
    model_server: ModelServer, chat_model: ChatOpenAI, desk: Desk
) -> None:
    graph, request = await pause(model_server, chat_model, desk)
    told = "send a mail\n\nWhy you are asked: every call of mail waits for a person."
    ann, bob = {"to": "ann", "text": "entry of K2"}, {"to": "bob", "text": "hello"}
    assert request == {
        "action_requests": [
            {"name": "mail", "args": ann, "description": told},
            {"name": "mail", "args": bob, "description": told},
        ],
        "review_configs": [
            {"action_name": "mail", "allowed_decisions": ["approve", "edit", "reject", "respond"]},
        ],
    }
    assert desk.did == ["search K2"]
    assert (await graph.aget_state(THREAD)).next == ("approval",)


async def test_approved_calls_are_made_and_what_waited_for_them_runs(
    model_server: ModelServer, chat_model: ChatOpenAI, desk: Desk
) -> None:
    graph, _ = await pause(model_server, chat_model, desk)
    model_server.script(joiner=["Done."])
    output = await graph.ainvoke(decide(APPROVE, APPROVE), THREAD)
    assert sorted(desk.did) == ["mail ann: entry of K2", "mail bob: hello", "search K2", "search after sent to ann"]
    assert results(output["messages"]) == {
        "task_1": "entry of K2",
        "task_2": "sent to ann",
        "task_3": "sent to bob",
        "task_4": "entry of after sent to ann",
    }
    assert output["messages"][-1].text == "Done."


async def test_a_rejected_call_fails_and_one_may_be_answered_or_changed(
    model_server: ModelServer, chat_model: ChatOpenAI, desk: Desk
) -> None:
    plan = PLAN.replace("5.", '5. mail("eve", text="x")\n6.').replace("hello", "see $1")
    graph, _ = await pause(model_server, chat_model, desk, plan)
    model_server.script(joiner=["Done."])
    output = await graph.ainvoke(
        decide(
            {"type": "reject", "message": "Not to Ann."},
            {"type": "edit", "edited_action": {"name": "mail", "args": {"to": "bill", "text": "$1"}}},
            {"type": "respond", "message": "I told her."},
        ),
        THREAD,
    )
    assert desk.did == ["search K2", "mail bill: $1"]
    assert results(output["messages"]) == {
        "task_1": "entry of K2",
        "task_2": "Not run: a person rejected this call. Not to Ann.",
        "task_3": "sent to bill",
        "task_4": "Not run: it needs task 2, which failed: Not run: a person rejected this call. Not to Ann.",
        "task_5": "I told her.",
    }
    decisions = [m.response_metadata.get("decision") for m in output["messages"] if isinstance(m, ToolMessage)]
    assert decisions == [None, "reject", "edit", None, "respond"]
    told = str((await model_server.exchange(0, "joiner")).request.messages[-1]["content"])
    changed = 'mail(to="bill", text="$1") [a person changed it from: mail("bob", "see entry of K2")]'
    assert f"3. {changed} -> sent to bill" in told
    assert '5. mail("eve", "x") [a person gave this result] -> I told her.' in told
    assert (
        '2. mail("ann", "entry of K2") [a person rejected it] failed: Not run: a person rejected this call. Not to Ann.'
        in told
    )
    shown = {call["id"]: call["args"] for m in output["messages"] if isinstance(m, AIMessage) for call in m.tool_calls}
    assert shown["task_3"] == {"to": "bill", "text": "$1"}


async def test_a_call_that_was_made_in_anothers_place_is_not_made_again_nor_is_it_the_persons_then(
    model_server: ModelServer, chat_model: ChatOpenAI, desk: Desk
) -> None:
    graph, _ = await pause(model_server, chat_model, desk, '1. mail("bob", "hello")\njoin()')
    model_server.script(
        planner=['2. search("Bob")\njoin()'], joiner=[Reply(tool_calls=[("replan", {"feedback": "More."})]), "Done."]
    )
    edit = {"type": "edit", "edited_action": {"name": "search", "args": {"query": "Bob"}}}
    output = await graph.ainvoke(decide(edit), THREAD)
    assert desk.did == ["search Bob"]
    notes = [m.response_metadata for m in output["messages"] if isinstance(m, ToolMessage)]
    assert [(note.get("decision"), note.get("reused")) for note in notes] == [("edit", None), (None, "1")]


async def test_a_call_of_another_tool_in_its_place_is_told_as_such(
    model_server: ModelServer, chat_model: ChatOpenAI, desk: Desk
) -> None:
    graph, _ = await pause(model_server, chat_model, desk, '1. mail("bob", "hello")\njoin()')
    model_server.script(joiner=["Done."])
    edit = {"type": "edit", "edited_action": {"name": "search", "args": {"query": "Bob"}}}
    stream = graph.astream(decide(edit), THREAD, stream_mode="custom")
    told = [(event["type"], event["tool"], event["call"]) async for event in stream if "call" in event]
    made = ("search", 'search(query="Bob")')
    assert told == [("task_planned", "mail", 'mail("bob", "hello")'), ("task_started", *made), ("task_finished", *made)]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("yes", "The decisions can't be read: answer: Input should be"),
        ({"decisions": []}, "There are 2 calls to decide about, and 0 decisions. Give one for each, in order."),
        ({"decisions": [APPROVE]}, "There are 2 calls to decide about, and 1 decisions."),
        ({"decisions": [APPROVE, {"type": "maybe"}]}, "The decisions can't be read: decisions.1: Input tag 'maybe'"),
        ({"decisions": [APPROVE, {"type": "respond"}]}, "The decisions can't be read: decisions.1.respond.message"),
        (
            {"decisions": [APPROVE, {"type": "edit", "edited_action": {"name": "fly", "args": {}}}]},
            "Decision 1: there is no tool 'fly'. The tools are: search, mail.",
        ),
    ],
)
async def test_a_malformed_answer_is_refused_and_the_run_stays_paused(
    answer: Any, why: str, model_server: ModelServer, chat_model: ChatOpenAI, desk: Desk
) -> None:
    graph, request = await pause(model_server, chat_model, desk)
    output = await graph.ainvoke(Command(resume=answer), THREAD)
    (interrupt,) = output["__interrupt__"]
    assert interrupt.value.pop("error").startswith(why)
    assert interrupt.value == request
    model_server.script(joiner=["Done."])
    output = await graph.ainvoke(decide(APPROVE, APPROVE), THREAD)
    assert output["messages"][-1].text == "Done."
    assert desk.did.count("search K2") == 1


async def test_calls_that_come_up_later_are_asked_for_then(
    model_server: ModelServer, chat_model: ChatOpenAI, desk: Desk
) -> None:
    plan = '1. mail("ann", text="a")\n2. mail("bob", text=$1)\njoin()'
    graph, _ = await pause(model_server, chat_model, desk, plan)
    output = await graph.ainvoke(decide(APPROVE), THREAD)
    (interrupt,) = output["__interrupt__"]
    assert interrupt.value["action_requests"][0]["args"] == {"to": "bob", "text": "sent to ann"}
    model_server.script(joiner=["Done."])
    await graph.ainvoke(decide(APPROVE), THREAD)
    assert desk.did == ["mail ann: a", "mail bob: sent to ann"]


@pytest.mark.parametrize("decision", [APPROVE, {"type": "reject", "message": "no"}])
async def test_no_call_is_asked_about_twice_because_one_before_it_has_to_wait(
    decision: dict[str, Any], model_server: ModelServer, chat_model: ChatOpenAI, desk: Desk
) -> None:
    plan = '1. mail("ann", text="a")\n2. mail("bob", text=$1)\n3. mail("cid", text="c")\n4. join()'
    model_server.script(planner=[plan], joiner=["Done."])
    tools = desk.tools(requires_approval=True, side_effects=True)
    graph = create_llm_compiler(tools, model=chat_model, checkpointer=InMemorySaver())
    asked = []
    output = await graph.ainvoke({"messages": "Question?"}, THREAD)
    for decisions in ([APPROVE, decision], [APPROVE]):
        asked.append([one["args"]["to"] for one in output["__interrupt__"][0].value["action_requests"]])
        output = await graph.ainvoke(decide(*decisions), THREAD)
    assert asked == [["ann", "cid"], ["bob"]]
    assert output["messages"][-1].text == "Done."
    assert desk.did == ["mail ann: a", "mail bob: sent to ann", *(["mail cid: c"] if decision is APPROVE else [])]


@pytest.mark.parametrize("names", ['["ann", "bob"]', "$1"])
async def test_elements_of_a_map_wait_each_for_itself(
    names: str, model_server: ModelServer, chat_model: ChatOpenAI, desk: Desk
) -> None:
    @tool
    async def friends(whose: str) -> list[str]:
        """friends"""
        return ["ann", "bob"]

    plan = f'1. friends("my")\n2. mail.map({names}, text="hi")\n3. search.map($2)\njoin()'
    model_server.script(planner=[plan], joiner=["Done."])
    tools = [*desk.tools(requires_approval=True), friends]
    graph = create_llm_compiler(tools, model=chat_model, checkpointer=InMemorySaver())
    paused = await graph.ainvoke({"messages": "Question?"}, THREAD)
    assert [call["args"]["to"] for call in paused["__interrupt__"][0].value["action_requests"]] == ["ann", "bob"]
    output = await graph.ainvoke(decide(APPROVE, {"type": "reject", "message": "No."}), THREAD)
    assert desk.did == ["mail ann: hi", "search sent to ann"]
    assert list(results(output["messages"])) == ["task_1", "task_2_0", "task_2_1", "task_3_0", "task_3_1"]


async def test_the_context_may_name_tools_that_need_approval(
    model_server: ModelServer, chat_model: ChatOpenAI, desk: Desk
) -> None:
    model_server.script(planner=['search("K2")\njoin()'])
    graph = create_llm_compiler(desk.tools(), model=chat_model, checkpointer=InMemorySaver())
    output = await graph.ainvoke({"messages": "Question?"}, THREAD, context={"requires_approval": ["search"]})
    assert output["__interrupt__"][0].value["action_requests"][0]["name"] == "search"
    assert desk.did == []


@pytest.mark.parametrize("asks", [True, False])
async def test_side_effects_planned_with_results_in_view_need_approval_unless_the_context_says_otherwise(
    asks: bool, model_server: ModelServer, chat_model: ChatOpenAI, desk: Desk
) -> None:
    model_server.script(
        planner=['1. search("K2")\n2. mail("ann", text="hi")\njoin()', '3. mail("eve", text="the secret")\njoin()'],
        joiner=[Reply(tool_calls=[("replan", {"feedback": "Eve wants it, too."})])],
    )
    graph = create_llm_compiler(desk.tools(side_effects=True), model=chat_model, checkpointer=InMemorySaver())
    if not asks:
        model_server.script(joiner=["Done."])
    output = await graph.ainvoke({"messages": "Question?"}, THREAD, context={"approve_side_effects": asks})
    did = ["search K2", "mail ann: hi", "mail eve: the secret"]
    assert desk.did == (did[:2] if asks else did)
    assert ("__interrupt__" in output) == asks


async def test_without_a_checkpointer_a_call_made_from_results_fails_and_says_what_to_set(
    model_server: ModelServer, chat_model: ChatOpenAI, desk: Desk
) -> None:
    model_server.script(planner=['1. search("K2")\n2. mail($1, text="a")\njoin()'], joiner=["Done."])
    graph = create_llm_compiler(desk.tools(side_effects=True), model=chat_model)
    output = await graph.ainvoke({"messages": "Question?"})
    assert results(output["messages"])["task_2"] == (
        "Not run: mail needs a person's approval, and a run without a checkpointer can't pause for one. "
        "Whoever runs this agent can give it a checkpointer, or vouch for the tool: with `requires_approval: False` in "
        "its metadata, or with `alwaysAllow` in mcp.json."
    )


async def test_a_pause_is_told_and_nothing_is_told_twice(
    model_server: ModelServer, chat_model: ChatOpenAI, desk: Desk
) -> None:
    model_server.script(planner=[PLAN], joiner=["Done."])
    graph = create_llm_compiler(desk.tools(requires_approval=True), model=chat_model, checkpointer=InMemorySaver())
    events = [e async for e in graph.astream({"messages": "Question?"}, THREAD, stream_mode="custom")]
    assert sorted(event["task"] for event in events if event["type"] == "task_paused") == [2, 3]
    resumed = [e async for e in graph.astream(decide(APPROVE, APPROVE), THREAD, stream_mode="custom")]
    assert {event["task"] for event in resumed if "task" in event} == {2, 3, 4}


async def test_a_crash_between_approval_and_its_calls_repeats_nothing(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    did: list[str] = []
    holding, released = asyncio.Event(), asyncio.Event()

    async def mail(to: str) -> str:
        """send"""
        did.append(to)
        if to == "bob":
            holding.set()
            await released.wait()
        return to

    model_server.script(planner=['mail.map(["ann", "bob"])\njoin()'], joiner=["Done."])
    tools = [StructuredTool.from_function(coroutine=mail, name="mail", metadata={"requires_approval": True})]
    graph = create_llm_compiler(tools, model=chat_model, checkpointer=InMemorySaver())
    await graph.ainvoke({"messages": "Question?"}, THREAD)
    running = asyncio.ensure_future(graph.ainvoke(decide(APPROVE, APPROVE), THREAD))
    await holding.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    released.set()
    output = await graph.ainvoke(None, THREAD)
    assert did == ["ann", "bob", "bob"]
    assert list(results(output["messages"]).values()) == ["ann", "bob"]


# What a person is told


async def test_the_request_shows_what_was_found_about_what_is_named(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    async def find(query: str) -> list[dict[str, Any]]:
        """finds products"""
        lamp = {"id": "P197", "title": "Lamp", "price": 39.949999999999996}
        return [{"id": "P196", "title": "Desk", "price": 80}, lamp]

    async def read(page: str) -> str:
        """reads a page"""
        return "All about desks.\nP197: back in stock.\nP1970 is another one."

    async def buy(product: str) -> str:
        """buys"""
        return "bought"

    shop = [find, read, StructuredTool.from_function(coroutine=buy, metadata={"side_effects": True})]
    model_server.script(
        planner=['1. find("lamp")\njoin()', '2. read("news")\n3. buy("P197")\njoin()'], joiner=["Which one?"]
    )
    graph = create_llm_compiler(shop, model=chat_model, checkpointer=InMemorySaver())
    await graph.ainvoke({"messages": "A lamp?"}, THREAD)
    output = await graph.ainvoke({"messages": "Buy it."}, THREAD)
    [request] = output["__interrupt__"][0].value["action_requests"]
    assert request["description"].split("\n\n") == [
        "buys",
        "Why you are asked: this was planned with words in view that may be someone else's: results of find and "
        "messages that were written from such results or by others.",
        "What was found about it (data, not instructions):\n"
        "- P197: back in stock.\n- id: P197, title: Lamp, price: 39.95",
    ]


@pytest.mark.parametrize(
    ("found", "arguments", "seen"),
    [
        ([{"number": 10250, "title": "Export"}, {"number": 3}], "number=10250", ["number: 10250, title: Export"]),
        ([{"number": 10250, "title": "Export"}], 'name="10250"', ["number: 10250, title: Export"]),
        ([{"number": 10250, "title": "Export"}], "ids=[10250]", ["number: 10250, title: Export"]),
        ({"A-1": {"title": "Lamp", "price": 40}}, 'name="A-1"', ["A-1: title: Lamp, price: 40"]),
        ({"garage door": "open", "hall": "off"}, 'name="garage door"', ["garage door: open"]),
        ("10250 is the oldest.\n102500 is not.", "number=10250", ["10250 is the oldest."]),
        ([{"title": "Export", "comments": 3}], "quantity=3", []),
        ([{"title": "Export", "comments": 3}, {"id": 3, "title": "Import"}], "number=3", ["id: 3, title: Import"]),
        ("There are 3 of them.", "number=3", []),
        ([{"id": 7, "a\n\nWhy you are asked": "b\nc"}], "number=7", ["id: 7, a Why you are asked: b c"]),
    ],
)
async def test_things_are_named_by_texts_and_by_integers_that_are_no_quantities(
    model_server: ModelServer, chat_model: ChatOpenAI, found: Any, arguments: str, seen: list[str]
) -> None:
    async def find() -> Any:
        """finds"""
        return found

    async def close(name: str = "", number: int = 0, ids: list[int] = [], quantity: int = 0) -> str:  # noqa: B006
        """closes"""
        return "closed"

    close_ = StructuredTool.from_function(coroutine=close, metadata={"requires_approval": True})
    model_server.script(planner=[f"1. find()\n2. close({arguments})\njoin()"])
    graph = create_llm_compiler([find, close_], model=chat_model, checkpointer=InMemorySaver())
    output = await graph.ainvoke({"messages": "Close it."}, THREAD)
    [request] = output["__interrupt__"][0].value["action_requests"]
    _, _, found_of_it = request["description"].partition("(data, not instructions):\n")
    assert found_of_it.splitlines() == [f"- {line}" for line in seen]


async def test_an_amount_is_shown_without_the_error_of_its_last_digits_and_given_as_it_is(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    paid: list[float] = []

    async def pay(amount: float) -> str:
        """pays"""
        paid.append(amount)
        return "paid"

    pay_ = StructuredTool.from_function(coroutine=pay, metadata={"requires_approval": True})
    model_server.script(planner=["1. pay(9910.880000000001)\njoin()"], joiner=["Paid."])
    graph = create_llm_compiler([pay_], model=chat_model, checkpointer=InMemorySaver())
    output = await graph.ainvoke({"messages": "Pay."}, THREAD)
    [request] = output["__interrupt__"][0].value["action_requests"]
    assert request["args"] == {"amount": 9910.88}
    await graph.ainvoke(Command(resume={"decisions": [APPROVE]}), THREAD)
    assert paid == [9910.880000000001]


# Twice, and too late


@pytest.mark.parametrize(
    ("first", "durability"),
    [(APPROVE, "async"), ({"type": "reject", "message": "No."}, "exit")],
    ids=["approved", "rejected"],
)
async def test_what_was_decided_is_not_decided_again_from_the_same_checkpoint(
    first: dict[str, Any],
    durability: Any,
    model_server: ModelServer,
    chat_model: ChatOpenAI,
    desk: Desk,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model_server.script(planner=['mail("ann", text="a")\njoin()'], joiner=["Done."])
    async with open_checkpointer(database_url) as saver:
        graph = create_llm_compiler(desk.tools(requires_approval=True), model=chat_model, checkpointer=saver)
        await graph.ainvoke({"messages": "Question?"}, THREAD, durability=durability)
        here = (await graph.aget_state(THREAD)).config
        await graph.ainvoke(decide(first), THREAD, durability=durability)
        monkeypatch.setattr("agent.executor.approval._DECIDED", OrderedDict())  # as in another process
        with pytest.raises(DecisionError, match="decided about before"):
            await graph.ainvoke(decide(APPROVE), here)
    assert desk.did == (["mail ann: a"] if first == APPROVE else [])


async def test_of_two_decisions_at_the_same_time_one_is_taken(
    model_server: ModelServer, chat_model: ChatOpenAI, desk: Desk, database_url: str
) -> None:
    model_server.script(planner=['mail("ann", text="a")\njoin()'], joiner=["Done."])
    async with open_checkpointer(database_url) as saver:
        graph = create_llm_compiler(desk.tools(requires_approval=True), model=chat_model, checkpointer=saver)
        await graph.ainvoke({"messages": "Question?"}, THREAD)
        both = (graph.ainvoke(decide(APPROVE), THREAD) for _ in range(2))
        outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(isinstance(outcome, DecisionError) for outcome in outcomes) == [False, True]
    assert desk.did == ["mail ann: a"]


async def test_a_decision_that_could_not_be_looked_up_may_be_sent_again(
    model_server: ModelServer, chat_model: ChatOpenAI, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away(InMemorySaver):
        async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
            if config["configurable"].get("checkpoint_id"):
                raise ConnectionError("The database is away.")
            return await super().aget_tuple(config)

    saver = Away()
    model_server.script(planner=['mail("ann", text="a")\njoin()'], joiner=["Done."])
    graph = create_llm_compiler(desk.tools(requires_approval=True), model=chat_model, checkpointer=saver)
    await graph.ainvoke({"messages": "Question?"}, THREAD)
    with pytest.raises(ConnectionError):
        await graph.ainvoke(decide(APPROVE), THREAD)
    monkeypatch.setattr(saver, "aget_tuple", super(Away, saver).aget_tuple)
    await graph.ainvoke(decide(APPROVE), THREAD)
    assert desk.did == ["mail ann: a"]


async def test_a_tool_can_have_a_key_that_is_the_same_whenever_its_call_is_made_again(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    keys: list[str] = []

    async def pay(amount: int, key: Annotated[str, InjectedIdempotencyKey]) -> str:
        """pays"""
        keys.append(key)
        if len(keys) == 1:
            raise ConnectionError
        return "paid"

    metadata = {"requires_approval": True, "retries": 1}
    model_server.handler = lambda request: "Done." if request.is_joiner else "pay(1)\npay(1)\npay(2)\njoin()"
    graph = create_llm_compiler(
        [StructuredTool.from_function(coroutine=pay, metadata=metadata)], model=chat_model, checkpointer=InMemorySaver()
    )
    reject = {"type": "reject", "message": "No."}
    for thread, decisions in (("a", [APPROVE, APPROVE, APPROVE]), ("b", [APPROVE, reject, reject])):
        config: Any = {"configurable": {"thread_id": thread}}
        await graph.ainvoke({"messages": "Question?"}, config)
        await graph.ainvoke(decide(*decisions), config)
    assert len(keys) == 5
    assert len(set(keys)) == 4, "one key each for three calls and a call of another thread, and the same for both tries"


@pytest.mark.parametrize("renamed", ["mail", "search"])
async def test_a_tool_that_is_gone_when_the_decision_comes_is_a_failed_task(
    renamed: str, model_server: ModelServer, chat_model: ChatOpenAI, desk: Desk
) -> None:
    model_server.script(planner=[PLAN], joiner=["Done."])
    saver = InMemorySaver()
    before = desk.tools(requires_approval=True)
    graph = create_llm_compiler(before, model=chat_model, checkpointer=saver)
    await graph.ainvoke({"messages": "Question?"}, THREAD)
    after = [tool.model_copy(update={"name": f"new_{tool.name}"}) if tool.name == renamed else tool for tool in before]
    graph = create_llm_compiler(after, model=chat_model, checkpointer=saver)
    output = await graph.ainvoke(decide(APPROVE, APPROVE), THREAD)
    failed = {id_: text for id_, text in results(output["messages"]).items() if "not there any more" in text}
    assert failed["task_2" if renamed == "mail" else "task_4"] == f"Not run: the tool {renamed} is not there any more."
    assert output["messages"][-1].text == "Done."


async def test_a_tool_that_is_gone_when_a_run_goes_on_is_a_failed_task(
    model_server: ModelServer, chat_model: ChatOpenAI, desk: Desk
) -> None:
    holding = asyncio.Event()

    async def hold() -> str:
        """holds"""
        holding.set()
        await asyncio.Event().wait()
        return "never"

    model_server.script(planner=['1. hold()\n2. search("K2")\n3. search("$1")\njoin()'], joiner=["Done."])
    saver = InMemorySaver()
    graph = create_llm_compiler([*desk.tools(), hold], model=chat_model, checkpointer=saver)
    running = asyncio.ensure_future(graph.ainvoke({"messages": "Question?"}, THREAD))
    await holding.wait()
    await until_plan_is_saved(saver)
    running.cancel()
    await asyncio.wait([running])
    output = await create_llm_compiler(desk.tools(), model=chat_model, checkpointer=saver).ainvoke(None, THREAD)
    assert results(output["messages"])["task_2"] == "entry of K2"
    assert output["messages"][-1].text == "Done."
