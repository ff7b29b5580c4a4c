"""Calls with side effects are made in the plan's order, and what is written after one sees what it has done."""

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AnyMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from agent import create_llm_compiler
from agent.executor.outcomes import Outcomes
from agent.language.tasks import Key
from tests.support import PATIENCE
from tests.support.model_server import Gate, ModelServer, Reply

THREAD: Any = {"configurable": {"thread_id": "t"}}
APPROVE = {"type": "approve"}


class Notes:
    """Tools that write notes and read them, and what they did. Each lets all others go first, if these may."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.notes: list[str] = []
        self.added = asyncio.Event()

    def tools(self, *, adds: dict[str, Any] | None = None, lists: dict[str, Any] | None = None) -> list[StructuredTool]:
        async def others_first() -> None:
            for _ in range(100):
                await asyncio.sleep(0)

        async def add(note: str) -> str:
            """adds a note"""
            self.did.append(f"add {note}")
            await others_first()
            if note == "bad":
                raise RuntimeError("the disk is full")
            self.notes.append(note)
            self.added.set()
            return f"added {note}"

        async def show() -> list[str]:
            """the notes"""
            self.did.append("show")
            return list(self.notes)

        async def search(query: str) -> str:
            """looks up"""
            await others_first()
            self.did.append(f"search {query}")
            return query.upper()

        async def wait() -> str:
            """waits for a note"""
            await self.added.wait()
            return "waited"

        return [
            StructuredTool.from_function(coroutine=add, metadata={"side_effects": True} if adds is None else adds),
            StructuredTool.from_function(coroutine=show, metadata=lists),
            StructuredTool.from_function(coroutine=search),
            StructuredTool.from_function(coroutine=wait),
        ]


@pytest.fixture
def notes() -> Notes:
    return Notes()


def results(messages: list[AnyMessage]) -> list[Any]:
    return [message.artifact for message in messages if isinstance(message, ToolMessage)]


async def run(server: ModelServer, model: ChatOpenAI, tools: list[Any], *plan: str) -> list[AnyMessage]:
    """The messages of a run with this plan."""
    lines = [f"{number}. {line}" for number, line in enumerate(plan, start=1)]
    server.script(planner=["\n".join([*lines, "join()"])], joiner=["Done."])
    async with asyncio.timeout(PATIENCE):
        graph = create_llm_compiler(tools, model=model)
        output = await graph.ainvoke({"messages": "Question?"}, context={"approve_side_effects": False})  # type: ignore[arg-type]
    assert output["messages"][-1].text == "Done."
    return list(output["messages"])


async def test_what_is_written_after_an_effect_sees_it(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes
) -> None:
    messages = await run(model_server, chat_model, notes.tools(), 'add("milk")', "show()")
    assert results(messages) == ["added milk", ["milk"]]


@pytest.mark.parametrize(
    "line",
    [
        'add("milk") if $1 > 3',
        'add.map(["milk", "tea"]) unless $1',
        '# nur, wenn $1 es sagt:\nadd("milk")',
    ],
)
async def test_an_effect_under_a_condition_is_not_had_and_the_plan_ends_there(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes, line: str
) -> None:
    messages = await run(model_server, chat_model, notes.tools(), 'search("x")', line, 'add("tea")')
    assert notes.did == ["search x"]
    [_, failed] = [message for message in messages if isinstance(message, ToolMessage)]
    assert "End with `join()` where a result must be seen first" in failed.text


@pytest.mark.parametrize(
    ("behind", "did"),
    [
        ("", ["add milk", "search x"]),
        ("\n<END_OF_PLAN>\n\nThis saves the note.", ["add milk", "search x"]),
        ("\n\nNote: the second call only if $1 says so.", ["search x"]),
        ("  # 2 wenn $1 es sagt", ["search x"]),
    ],
)
async def test_a_condition_behind_the_plan_is_one_of_the_effects_that_it_ends_with(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes, behind: str, did: list[str]
) -> None:
    plan = f'1. search("x")\n2. add("milk")\n3. join(){behind}'
    model_server.script(planner=[plan, plan], joiner=["As seen.", "As seen."])
    graph = create_llm_compiler(notes.tools(), model=chat_model)
    for _ in range(2):  # the second time, the model is known not to begin with thoughts
        notes.did.clear()
        await graph.ainvoke({"messages": "Question?"}, context={"approve_side_effects": False})  # type: ignore[arg-type]
        assert sorted(notes.did) == did


async def test_an_effect_does_not_wait_for_a_stream_that_stays_open(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.planner.node.SILENCE", 0.01)
    model_server.script(planner=[Reply(['1. add("milk")\n2. join()', Gate(), " "])], joiner=["Done."])
    graph = create_llm_compiler(notes.tools(), model=chat_model)
    async with asyncio.timeout(PATIENCE):
        await graph.ainvoke({"messages": "Question?"}, context={"approve_side_effects": False})  # type: ignore[arg-type]
    assert notes.notes == ["milk"]


@pytest.mark.parametrize("names", ['["a", "b", "c"]', "$1"])
async def test_the_calls_of_a_map_are_made_in_order_and_all_of_them_are_seen(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes, names: str
) -> None:
    async def give() -> list[str]:
        """gives names"""
        return ["a", "b", "c"]

    messages = await run(model_server, chat_model, [*notes.tools(), give], "give()", f"add.map({names})", "show()")
    assert results(messages)[-1] == ["a", "b", "c"]
    assert notes.did == ["add a", "add b", "add c", "show"]


async def test_effects_keep_the_order_of_the_plan(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes
) -> None:
    await run(model_server, chat_model, notes.tools(), 'search("x")', 'add("$1")', 'add("b")', "show()")
    assert notes.did == ["search x", "add X", "add b", "show"]


async def test_what_is_written_before_an_effect_does_not_hold_it_up(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes
) -> None:
    assert results(await run(model_server, chat_model, notes.tools(), "wait()", 'add("a")')) == ["waited", "added a"]


async def test_the_same_words_before_and_after_an_effect_are_two_calls(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes
) -> None:
    plan = ["show()", "show()", 'add("a")', "show()", "show()"]
    said = {"adds": {"side_effects": "notes"}, "lists": {"reads": "notes"}}
    assert results(await run(model_server, chat_model, notes.tools(**said), *plan)) == [[], [], "added a", ["a"], ["a"]]
    assert notes.did == ["show", "add a", "show"]


async def test_a_replan_does_not_take_what_was_read_before_an_effect(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes
) -> None:
    model_server.script(
        planner=['1. show()\n2. add("a")\njoin()', "3. show()\njoin()"],
        joiner=[Reply(tool_calls=[("replan", {"feedback": "What is there now?"})]), "Done."],
    )
    output = await create_llm_compiler(notes.tools(), model=chat_model).ainvoke({"messages": "Question?"})
    assert results(output["messages"])[-1] == ["a"]


@pytest.mark.parametrize(
    ("changes", "reads", "waits"),
    [
        ("notes", "notes", True),
        ("notes", "weather", False),
        (True, "weather", True),
        ("notes", None, True),
        ("notes", [], False),
        (["mail", "notes"], ["weather", "notes"], True),
    ],
)
async def test_tools_that_touch_different_things_do_not_wait_for_each_other(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes, changes: Any, reads: Any, waits: bool
) -> None:
    tools = notes.tools(adds={"side_effects": changes}, lists=None if reads is None else {"reads": reads})
    messages = await run(model_server, chat_model, tools, 'add("a")', "show()")
    assert results(messages)[1] == (["a"] if waits else [])


async def test_what_comes_after_an_effect_that_failed_runs_unless_it_refers_to_it(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes
) -> None:
    plan = ['add("bad")', 'add("$1")', 'add.map(["bad", "b"])', "show()"]
    messages = await run(model_server, chat_model, notes.tools(), *plan)
    assert notes.did == ["add bad", "add bad", "add b", "show"]
    assert results(messages)[-1] == ["b"]


@pytest.fixture
def tell(notes: Notes) -> StructuredTool:
    """Another tool with side effects, whose calls say that those before have been made."""

    async def tell(text: str) -> str:
        """tells everybody"""
        notes.did.append(f"tell {text}")
        return "told"

    return StructuredTool.from_function(coroutine=tell, metadata={"side_effects": True})


NOT_TOLD = "Not run: it comes after task {}, which was to change something and failed: {}"


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (['add("bad")', 'tell("it is noted")', "show()"], NOT_TOLD.format(1, "RuntimeError: the disk is full")),
        (['add.map(["b", "bad"])', 'tell("it is noted")'], NOT_TOLD.format("1[1]", "RuntimeError: the disk is full")),
        (['add("a", "b")', 'tell("it is noted")'], NOT_TOLD.format(1, "")),
        (['search("x", "y")', 'add("$1")', 'tell("it is noted")'], "Not run: it needs task 1, which failed: "),
    ],
    ids=["a call", "one of a map", "wrong arguments", "one that was skipped"],
)
async def test_nobody_is_told_of_a_change_that_failed(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes, tell: StructuredTool, plan: list[str], why: str
) -> None:
    messages = await run(model_server, chat_model, [*notes.tools(), tell], *plan)
    assert not any(did.startswith("tell") for did in notes.did)
    (told,) = [message for message in messages if isinstance(message, ToolMessage) and message.name == "tell"]
    assert told.text.startswith(why)


async def test_after_a_change_that_failed_a_change_of_something_else_is_made(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes, tell: StructuredTool
) -> None:
    tell.metadata = {"side_effects": "mail"}
    tools = [*notes.tools(adds={"side_effects": "notes"}), tell]
    await run(model_server, chat_model, tools, 'add("bad")', 'tell("hello")')
    assert "tell hello" in notes.did


async def test_what_could_not_be_read_stops_no_change_of_the_same(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes, tell: StructuredTool
) -> None:
    tell.metadata = {"side_effects": "notes"}
    tools = [*notes.tools(lists={"reads": "notes"}), tell]
    messages = await run(model_server, chat_model, tools, 'show("all")', 'tell("hello")')
    assert [message.status for message in messages if isinstance(message, ToolMessage)] == ["error", "success"]


async def test_the_next_plan_may_make_what_came_after_a_change_that_failed(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes, tell: StructuredTool
) -> None:
    model_server.script(
        planner=['1. add("bad")\n2. tell("it is noted")\njoin()', '3. tell("it could not be noted")\njoin()'],
        joiner=[Reply(tool_calls=[("replan", {"feedback": "They haven't been told."})]), "Done."],
    )
    graph = create_llm_compiler([*notes.tools(), tell], model=chat_model)
    await graph.ainvoke({"messages": "Question?"}, context={"approve_side_effects": False})  # type: ignore[arg-type]
    assert notes.did == ["add bad", "tell it could not be noted"]


@pytest.mark.parametrize("both", [False, True], ids=["nobody was asked about it", "the person wants it made"])
async def test_after_a_change_that_was_rejected_only_what_the_person_wants_is_made(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes, tell: StructuredTool, both: bool
) -> None:
    tell.metadata = {"side_effects": True, "requires_approval": both}
    tools = [*notes.tools(adds={"side_effects": True, "requires_approval": True}), tell]
    model_server.script(planner=['1. add("a")\n2. tell("something")\njoin()'], joiner=["Done."])
    graph = create_llm_compiler(tools, model=chat_model, checkpointer=InMemorySaver())
    await graph.ainvoke({"messages": "Question?"}, THREAD)
    decisions = [{"type": "reject", "message": "No."}, *[APPROVE] * both]
    await graph.ainvoke(Command(resume={"decisions": decisions}), THREAD)
    assert notes.did == ["tell something"] * both


@pytest.mark.parametrize("between", ['tell("it is noted")', 'tell("$1")'], ids=["it comes after it", "it refers to it"])
async def test_what_the_person_wants_is_made_also_after_what_was_not_made_since_they_rejected_another(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes, tell: StructuredTool, between: str
) -> None:
    tools = [*notes.tools(adds={"side_effects": True, "requires_approval": True}), tell]
    model_server.script(planner=[f'1. add("a")\n2. {between}\n3. add("b")\njoin()'], joiner=["Done."])
    graph = create_llm_compiler(tools, model=chat_model, checkpointer=InMemorySaver())
    context: Any = {"approve_side_effects": False}
    await graph.ainvoke({"messages": "Question?"}, THREAD, context=context)
    decisions = [{"type": "reject", "message": "No."}, APPROVE]
    await graph.ainvoke(Command(resume={"decisions": decisions}), THREAD, context=context)
    assert notes.did == ["add b"]


async def test_nobody_is_asked_about_a_call_that_is_not_made(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes, tell: StructuredTool
) -> None:
    tell.metadata = {"side_effects": True, "requires_approval": True}
    model_server.script(planner=['1. add("bad")\n2. tell("it is noted")\njoin()'], joiner=["Done."])
    graph = create_llm_compiler([*notes.tools(), tell], model=chat_model, checkpointer=InMemorySaver())
    output = await graph.ainvoke({"messages": "Question?"}, THREAD)
    assert (output["messages"][-1].text, notes.did) == ("Done.", ["add bad"])


async def test_waiting_for_many_effects_is_no_more_work_than_they_are(
    model_server: ModelServer, chat_model: ChatOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def add(note: int) -> None:
        """adds a note"""

    waited = 0
    of = Outcomes.of

    async def counted(outcomes: Outcomes, key: Key) -> Any:
        nonlocal waited
        waited += 1
        return await of(outcomes, key)

    monkeypatch.setattr(Outcomes, "of", counted)
    tool = StructuredTool.from_function(coroutine=add, metadata={"side_effects": True})
    await run(model_server, chat_model, [tool], f"add.map({list(range(50))})")
    assert waited < 250


@pytest.mark.parametrize(
    ("plan", "did"),
    [
        (['add("$2")', 'search("x")', "show()"], ["search x", "add X", "show"]),
        (['add("$3")', 'search("y")', 'search("$2")'], ["search y", "search Y", "add Y"]),
        (['add("$3")', 'add("b")', 'search("$2")', "show()"], ["add b", "search added b", "add ADDED B", "show"]),
        (['add("$4")', 'add("$3")', 'search("x")', 'search("$2")'], None),
        (["add.map($3)", 'search("x")', "show()"], None),
        (['add("$2")', 'add("$3")', 'add("$1")', "show()"], ["show"]),
        (['add("$9")', "show()"], ["show"]),
    ],
    ids=["it", "through another", "another effect between", "two", "a map", "in a circle", "none"],
)
async def test_an_effect_that_refers_to_a_later_task_stands_behind_that(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes, plan: list[str], did: list[str] | None
) -> None:
    await run(model_server, chat_model, notes.tools(), *plan)
    assert did is None or notes.did == did


async def test_a_price_in_an_effect_is_no_later_task(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes
) -> None:
    messages = await run(model_server, chat_model, notes.tools(), 'add("a lamp for $100")', "show()", 'add("b")')
    assert results(messages)[1] == ["a lamp for $100"]
    assert notes.did == ["add a lamp for $100", "show", "add b"]


async def test_a_price_in_an_effect_that_may_be_a_later_task_fails_it(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes
) -> None:
    first, *_ = [
        message
        for message in await run(model_server, chat_model, notes.tools(), 'add("a lamp for $2")', 'search("x")')
        if isinstance(message, ToolMessage)
    ]
    assert first.text.startswith("$2 may be a sum of money here, or task 2's result. Write \\$2 for the sum")
    assert notes.did == ["search x"]


@pytest.mark.parametrize("second", ['add("b")', 'add.map(["b"])'])
async def test_all_that_need_approval_are_asked_for_at_once_and_what_waits_behind_them_goes_on_after_it(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes, second: str
) -> None:
    model_server.script(
        planner=[f'1. show()\n2. add("a")\n3. {second}\n4. show()\n5. search("$4[0]")\njoin()'], joiner=["Done."]
    )
    tools = notes.tools(adds={"side_effects": True, "requires_approval": True})
    graph = create_llm_compiler(tools, model=chat_model, checkpointer=InMemorySaver())
    output = await graph.ainvoke({"messages": "Question?"}, THREAD)
    asked = [request["args"]["note"] for request in output["__interrupt__"][0].value["action_requests"]]
    assert (asked, notes.did) == (["a", "b"], ["show"])
    decisions = [{"type": "reject", "message": "No."}, APPROVE]
    output = await graph.ainvoke(Command(resume={"decisions": decisions}), THREAD)
    assert notes.did == ["show", "add b", "show", "search b"]
    assert results(output["messages"])[3:] == [["b"], "B"]


async def test_an_effect_behind_a_call_that_waits_for_approval_waits_with_it(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes
) -> None:
    async def pay(amount: int) -> str:
        """pays"""
        notes.did.append("pay")
        return "paid"

    paying = StructuredTool.from_function(coroutine=pay, metadata={"side_effects": True, "requires_approval": True})
    model_server.script(planner=['1. pay(1)\n2. add("a")\n3. show()\njoin()'], joiner=["Done."])
    graph = create_llm_compiler([*notes.tools(), paying], model=chat_model, checkpointer=InMemorySaver())
    await graph.ainvoke({"messages": "Question?"}, THREAD)
    assert notes.did == []
    await graph.ainvoke(Command(resume={"decisions": [APPROVE]}), THREAD)
    assert notes.did == ["pay", "add a", "show"]


async def test_effects_keep_their_order_through_a_crash(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes
) -> None:
    holding, released = asyncio.Event(), asyncio.Event()

    async def hold() -> str:
        """holds"""
        notes.did.append("hold")
        holding.set()
        await released.wait()
        return "held"

    holder = StructuredTool.from_function(coroutine=hold, metadata={"side_effects": True})
    model_server.script(planner=['1. add("a")\n2. hold()\n3. add("b")\n4. show()\njoin()'], joiner=["Done."])
    graph = create_llm_compiler([*notes.tools(), holder], model=chat_model, checkpointer=InMemorySaver())
    running = asyncio.ensure_future(graph.ainvoke({"messages": "Question?"}, THREAD))
    await holding.wait()
    running.cancel()
    await asyncio.wait([running])
    released.set()
    await graph.ainvoke(None, THREAD)
    assert notes.did == ["add a", "hold", "hold", "add b", "show"]


@pytest.mark.parametrize(
    ("first", "again", "did"),
    [
        ('2. add("a")', '2. add("a")', ["a"]),
        ('2. add("a")', '2. add("b")', ["a", "b"]),
        ('2. add("a")', '3. add("a")', ["a", "a"]),
        ('2. add("bad")', '2. add("bad")', ["bad", "bad"]),
        ('2. add.map(["a", "bad"])', '2. add.map(["a", "bad"])', ["a", "bad", "bad"]),
        ('2. add.map(["a", "b"])', '2. add.map(["b", "c"])', ["a", "b", "c"]),
        ('2. add.map(["a", "b"])', '2. add("b")', ["a", "b"]),
        ('2. add.map(["a", "a"])', '2. add.map(["a", "a", "a"])', ["a", "a", "a"]),
        ('2. add.map($1)', '2. add.map(["Q", "R"])', ["P", "Q", "R"]),
    ],
)  # fmt: skip
async def test_what_a_further_plan_of_the_turn_writes_again_with_its_number_is_not_changed_twice(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes, first: str, again: str, did: list[str]
) -> None:
    more = Reply(tool_calls=[("replan", {"feedback": "Show them."})])
    look = '1. search(\'["p", "q"]\')'
    model_server.script(
        planner=[f"{look}\n{first}\njoin()", f"{look}\n{again}\n5. show()\njoin()"], joiner=[more, "Done."]
    )
    graph = create_llm_compiler(notes.tools(), model=chat_model)
    await graph.ainvoke({"messages": "Question?"}, context={"approve_side_effects": False})  # type: ignore[arg-type]
    assert [one.removeprefix("add ") for one in notes.did if one.startswith("add")] == did


@pytest.mark.parametrize("line", ['1. add("a")', '1. add.map(["a", "b"])'])
async def test_nor_what_a_plan_writes_twice_with_the_same_number(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes, line: str
) -> None:
    model_server.script(planner=[f"{line}\n{line}\n2. show()\njoin()"], joiner=["Done."])
    graph = create_llm_compiler(notes.tools(), model=chat_model, checkpointer=InMemorySaver())
    await graph.ainvoke({"messages": "Question?"}, THREAD)
    assert len(set(notes.did)) == len(notes.did)


async def test_no_one_is_asked_again_about_a_change_that_they_have_approved(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes
) -> None:
    more = Reply(tool_calls=[("replan", {"feedback": "Show them."})])
    plan = '1. search("x")\n2. add.map(["$1", "$1"])\n2. add.map(["$1", "$1"])'
    model_server.script(planner=[f"{plan}\njoin()", f"{plan}\n3. show()\njoin()"], joiner=[more, "Done."])
    graph = create_llm_compiler(notes.tools(), model=chat_model, checkpointer=InMemorySaver())
    await graph.ainvoke({"messages": "Question?"}, THREAD)
    output = await graph.ainvoke(Command(resume={"decisions": [APPROVE, APPROVE]}), THREAD)
    assert output["messages"][-1].text == "Done."
    assert notes.did.count("add X") == 2
    told = str((await model_server.exchange(1, "joiner")).request.messages[-1]["content"])
    assert '5[1]. add("X") [not made again: it is 2[1]] -> added X' in told


@pytest.mark.parametrize(
    ("plans", "times"),
    [
        (['1. add("A")\n2. search("a")\n3. add("$2")'], 2),
        (['1. add("A")\n2. add("A")\n1. add("A")\n2. add("A")'], 2),
        (['1. add("A")\n2. add("A")', '1. add("A")\n2. add("A")'], 2),
        (['1. add("A")\n2. add("A")', '3. add("A")\n4. add("A")'], 2),
        (['3. add("A")\n4. add("A")', '5. add("A")'], 3),
        (['1. add.map(["A", "A"])', '1. add.map(["A", "A"])'], 2),
    ],
)
async def test_so_it_is_in_later_turns_where_plans_may_count_from_1_again(
    model_server: ModelServer, chat_model: ChatOpenAI, notes: Notes, plans: list[str], times: int
) -> None:
    more = Reply(tool_calls=[("replan", {"feedback": "More."})])
    model_server.script(
        planner=['1. show()\n2. search("x")\njoin()', *(f"{plan}\njoin()" for plan in plans)],
        joiner=["Done.", *[more] * (len(plans) - 1), "Done."],
    )
    graph = create_llm_compiler(notes.tools(), model=chat_model, checkpointer=InMemorySaver())
    context: Any = {"approve_side_effects": False}
    await graph.ainvoke({"messages": "Show them."}, THREAD, context=context)
    await graph.ainvoke({"messages": "Add it."}, THREAD, context=context)
    assert notes.did.count("add A") == times
