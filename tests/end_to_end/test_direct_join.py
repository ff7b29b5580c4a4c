"""The plan gives the answer's words, and no second model call is needed; but only if all happened that it tells of."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.tools import ToolException, tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from agent import create_llm_compiler
from tests.support.model_server import ModelServer, Reply

JOINER = "As the joiner says."
REPLAN = Reply(tool_calls=[("replan", {"feedback": "More."})])


@tool
async def measure(thing: str) -> dict[str, Any]:
    """measure"""
    return {"name": thing, "height": 8611.25 if thing == "K2" else 3776, "order_id": 1200345, "tags": ["a", "b", "c"]}


@tool
async def ratio(a: float, b: float) -> float:
    """a / b"""
    return a / b


@tool
async def orders() -> list[dict[str, str]]:
    """the orders"""
    return [{"id": "A-1", "total": "120"}, {"id": "A-2", "total": "7"}]


@tool
async def shelves(hall: int = 0) -> list[dict[str, str]]:
    """all shelves"""
    return [{"name": f"shelf {number}", "place": f"hall {number}"} for number in range(40)]


@tool(response_format="content_and_artifact")
async def offers(of: str = "lamps") -> tuple[str, list[dict[str, int]]]:
    """the offers"""
    return f"Two offers of {of}.", [{"price": 30}, {"price": 25}]


@tool
async def people() -> list[str]:
    """nobody"""
    return []


@tool
async def population(of: str) -> int:
    """how many people"""
    return 8917000


@tool
async def send(to: str) -> str:
    """send a mail"""
    if to == "bad":
        raise ToolException("no such address")
    return "sent"


send.metadata = {"side_effects": True}
TOOLS = [measure, ratio, orders, offers, people, population, send]


async def answer(model: ChatOpenAI, tools: list[Any] = TOOLS, **context: Any) -> str:
    output = await create_llm_compiler(tools, model=model).ainvoke({"messages": "Question?"}, context=context)
    assert isinstance(output["messages"][-1], AIMessage)
    return str(output["messages"][-1].text)


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        ('1. ratio(6, 5)\njoin("It is $1 times as high.")', "It is 1.2 times as high."),
        ('1. ratio(10, 3)\njoin("$1")', "3.33"),
        ("1. ratio(10, 3)\njoin($1)", "3.33"),
        ('1. measure.map(["K2", "Fuji"])\njoin("$1[0].height and $1[-1].height")', "8611.25 and 3776"),
        ('1. measure.map(["K2", "Fuji"])\njoin("$1.name: $1.height m")', "K2 and Fuji: 8611.25 and 3776 m"),
        ('1. orders()\njoin("Orders: $1.id.")', "Orders: A-1 and A-2."),
        # a tool that gives content and artifact, which parts are of
        ('1. offers()\njoin("$1 $1[0].price, $1[1].price.")', "Two offers of lamps. 30, 25."),
        ('1. offers.map(["A", "B"])\njoin("$1[0]: $1[0].price.")', "Two offers of A.: 30 and 25."),
        # what was done is told by what the tools say of it
        ('1. send.map(["ana", "bob"])\njoin("$1")', "sent and sent"),
        ('1. ratio(6, 5)\n2. send("ana")\njoin("$2; $1")', "sent; 1.2"),
    ],
)
async def test_the_answer_is_that_text_with_the_results_put_in(
    plan: str, text: str, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=[plan])
    assert await answer(chat_model) == text


@pytest.mark.parametrize(
    "plan",
    [
        # something that the plan sets out to do didn't happen
        '1. send("bad")\n2. ratio(6, 5)\njoin("$2")',
        '1. send.map(["ana", "bad"])\n2. ratio(6, 5)\njoin("$2")',
        '1. send.map([])\n2. ratio(6, 5)\njoin("$2")',
        '1. people()\n2. send.map($1)\n3. ratio(6, 5)\njoin("$3")',
        '1. sendmail("ana")\n2. ratio(6, 5)\njoin("$2")',
        '1. send(to=)\n2. ratio(6, 5)\njoin("$2")',
        '1. send(...)\n2. ratio(6, 5)\njoin("$2")',
        '1. send ana a mail\n2. ratio(6, 5)\njoin("$2")',
        'Step 1: send\n2. ratio(6, 5)\njoin("$2")',
        # its words might tell of a deed
        '1. ratio(6, 5)\njoin("I told Ana.")',
        'join("I told Ana, for $5.")',
        '1. ratio(6, 5)\njoin("I told Ana; $1.")',
        '1. ratio(6, 5)\n2. send("ana")\njoin("I told Bob that it is $1.")',
    ],
)
async def test_otherwise_the_joiner_is_asked(plan: str, model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(planner=[plan], joiner=[JOINER])
    assert await answer(chat_model) == JOINER


@pytest.mark.parametrize(
    ("plan", "shown"),
    [
        (
            '1. shelves()\njoin("We sold $1[-1].name last, from $1[-1].place; $1[99].name; $1.")',
            "$1[-1].name is shelf 39",
        ),
        ('1. shelves.map([1, 2])\njoin("We sold $1[1][38].name last.")', "$1[1][38].name is shelf 38"),
        ('1. shelves.map([1, 2])\njoin("We sold $1[-1][38].name last.")', "$1[-1][38].name is shelf 38"),
        ('1. offers()\njoin("We sold it for $1[0].price.")', "$1[0].price is 30"),
    ],
)
async def test_the_joiner_is_shown_what_the_answer_refers_to_in_results_that_are_cut(
    plan: str, shown: str, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=[plan], joiner=[JOINER])
    assert await answer(chat_model, [*TOOLS, shelves], max_observation_chars=200) == JOINER
    lines = [line.strip() for line in model_server.requests[1].messages[-1]["content"].splitlines()]
    assert shown in lines
    assert [line for line in lines if " is " in line] == (
        [shown, "$1[-1].place is hall 39"] if "place" in plan else [shown]
    )


async def test_so_it_is_in_results_that_are_cut_since_another_call_has_used_them(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    plan = '1. shelves()\n2. population($1)\njoin("$2 people bought $1[-1].name last, and $1[99].name.")'
    model_server.script(planner=[plan], joiner=[JOINER])
    assert await answer(chat_model, [*TOOLS, shelves]) == JOINER
    assert "  $1[-1].name is shelf 39\n" in model_server.requests[1].messages[-1]["content"]


async def test_of_a_result_that_is_shown_whole_it_is_shown_no_parts(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=['1. shelves()\njoin("$1[-1].name, $1[99].name")'], joiner=[JOINER])
    assert await answer(chat_model, [*TOOLS, shelves]) == JOINER
    assert "$1[-1]" not in model_server.requests[1].messages[-1]["content"]


@pytest.mark.parametrize(
    "plan",
    [
        '1. ratio(6, 5)\njoin("It is $1.height.")',
        "1. ratio(6, 5)\njoin()",
        # it stands under a condition, which nothing evaluates
        '1. ratio(6, 5)\njoin("It is $1.") if $1 > 1 else join("It is not much.")',
        '1. ratio(6, 5)\nif $1 > 1:\n    join("It is $1.")',
        '1. ratio(6, 5) if $1 > 1\njoin("It is $1.")',
    ],
)
async def test_where_nothing_can_be_read_out_either(
    plan: str, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=[plan], joiner=[JOINER])
    assert await answer(chat_model, TOOLS[:-1]) == JOINER


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ('join("Hello! It costs $5.")', "Hello! It costs $5."),
        ('1. people()\njoin("Hello! It costs $5.")', JOINER),
        ('1. people()\n2. ratio.map($1, b=1)\njoin("All of them do.")', JOINER),
    ],
)
async def test_words_alone_are_the_answer_where_no_call_was_made_and_no_tool_could_have_done_anything(
    plan: str, said: str, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=[plan], joiner=[JOINER] if said == JOINER else [])
    graph = create_llm_compiler([people, ratio], model=chat_model)
    assert (await graph.ainvoke({"messages": "Hello!"}))["messages"][-1].text == said


@pytest.mark.parametrize("first", ['send("bad")', "send.map([])"])
async def test_a_later_plan_cannot_answer_for_what_an_earlier_one_of_the_turn_left_undone(
    first: str, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    second = '2. ratio(6, 5)\njoin("I told them, and it is $2.")'
    model_server.script(planner=[f"1. {first}\njoin()", second], joiner=[REPLAN, JOINER])
    assert await answer(chat_model) == JOINER


async def test_what_went_wrong_in_an_earlier_turn_is_of_no_account(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(
        planner=['1. send("bad")\njoin("Done.")', '2. send("ana")\njoin("$2")'], joiner=["It can't be sent."]
    )
    graph = create_llm_compiler(TOOLS, model=chat_model)
    first = await graph.ainvoke({"messages": "Tell them"})
    second = await graph.ainvoke(
        {"messages": [*first["messages"], ("user", "Tell Ana.")]}, context={"approve_side_effects": False}
    )
    assert second["messages"][-1].text == "sent"


async def test_a_receipt_of_an_earlier_turn_is_no_answer_in_this_one(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=['1. send("ana")\njoin("$1")', 'join("$1")'], joiner=[JOINER])
    graph = create_llm_compiler(TOOLS, model=chat_model)
    first = await graph.ainvoke({"messages": "Tell Ana."})
    assert first["messages"][-1].text == "sent"
    second = await graph.ainvoke({"messages": [*first["messages"], ("user", "Tell her again.")]})
    assert second["messages"][-1].text == JOINER


async def test_a_plan_that_was_too_long_gives_no_answer(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(planner=['1. send("a")\n2. send("b")\n3. send("c")\njoin("All told.")'], joiner=[JOINER])
    assert await answer(chat_model, max_tasks=2) == JOINER


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        ({"type": "approve"}, "sent"),
        ({"type": "edit", "edited_action": {"name": "send", "args": {"to": "bob"}}}, JOINER),
        ({"type": "reject"}, JOINER),
        ({"type": "respond", "message": "I did it myself."}, JOINER),
    ],
)
async def test_an_answer_is_not_taken_if_a_person_had_it_done_otherwise(
    decision: dict[str, Any], said: str, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(
        planner=['1. send("ana")\njoin("$1")'], joiner=[] if decision["type"] == "approve" else [JOINER]
    )
    graph = create_llm_compiler(TOOLS, model=chat_model, checkpointer=InMemorySaver())
    run: dict[str, Any] = {
        "config": {"configurable": {"thread_id": "t"}},
        "context": {"requires_approval": ["send"]},
    }
    await graph.ainvoke({"messages": "Tell Ana"}, **run)
    output = await graph.ainvoke(Command(resume={"decisions": [decision]}), **run)
    assert output["messages"][-1].text == said


async def test_the_context_turns_it_off(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(planner=['1. ratio(6, 5)\njoin("It is $1.")'], joiner=[JOINER])
    assert await answer(chat_model, direct_join=False) == JOINER


async def test_the_answer_streams_like_any_message(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(planner=['1. ratio(6, 5)\njoin("It is $1.")'])
    graph = create_llm_compiler(TOOLS, model=chat_model)
    pieces = [
        message
        async for message, metadata in graph.astream({"messages": "Question?"}, stream_mode="messages")
        if metadata["langgraph_node"] == "joiner"
    ]
    assert "".join(str(piece.text) for piece in pieces) == "It is 1.2."
    assert all(isinstance(piece, AIMessage | AIMessageChunk) for piece in pieces)
