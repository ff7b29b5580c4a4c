"""The plan gives the answer's words, and no second model call is needed."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from agent import create_llm_compiler
from agent.joiner.direct import format_number
from tests.support.model_server import ModelServer


@tool
async def measure(thing: str) -> dict[str, Any]:
    """measure"""
    return {"name": thing, "height": 8611.25 if thing == "K2" else 3776}


@tool
async def ratio(a: float, b: float) -> float:
    """a / b"""
    return a / b


@tool
async def article(about: str) -> str:
    """an article"""
    return f"{about} " * 200


@tool
async def count(items: list[Any]) -> int:
    """how many"""
    return len(items)


@tool
async def double(number: float) -> float:
    """twice as much"""
    return number * 2


TOOLS = [measure, ratio, article, count, double]


async def answer(model: ChatOpenAI, **context: Any) -> str:
    output = await create_llm_compiler(TOOLS, model=model).ainvoke({"messages": "Question?"}, context=context)
    assert isinstance(output["messages"][-1], AIMessage)
    return str(output["messages"][-1].text)


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        ('1. ratio(6, 5)\njoin("It is $1 times as high.")', "It is 1.2 times as high."),
        ('1. ratio(10, 3)\njoin("$1")', "3.33333"),
        ("1. ratio(10, 3)\njoin($1)", "3.33333"),
        ('1. measure("K2")\njoin("$1.name is ${1.height} m high.")', "K2 is 8611.25 m high."),
        ('1. measure.map(["K2", "Fuji"])\njoin("$1[0].height and $1[-1].height")', "8611.25 and 3776"),
        ('1. ratio.map([1, 2], b=[2])\njoin("No.")', "No."),
        ('1. ratio.map([1, 3], b=2)\njoin("They are $1.")', "They are [0.5, 1.5]."),
        ('1. ratio(1, 0)\n2. ratio(4, 2)\njoin("It is $2, under $100.")', "It is 2, under $100."),
        ('join("Hello! It costs $5.")', "Hello! It costs $5."),
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
        '1. ratio(1, 0)\njoin("It is $1.")',
        '1. ratio(6, 5)\njoin("It is $1.height.")',
        '1. ratio(6, 5)\njoin("It is ${7}.")',
        '1. article("K2")\njoin("It says: $1")',
        '1. measure("K2")\njoin("It is $1.")',
        '1. ratio.map([1, 2], b=0)\njoin("It is $1[0].")',
        "1. ratio(6, 5)\njoin()",
    ],
)
async def test_otherwise_the_joiner_is_asked(plan: str, model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(planner=[plan], joiner=["As the joiner says."])
    assert await answer(chat_model) == "As the joiner says."


async def test_the_context_turns_it_off(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(planner=['1. ratio(6, 5)\njoin("It is $1.")'], joiner=["As the joiner says."])
    assert await answer(chat_model, direct_join=False) == "As the joiner says."


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


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1.2000000000000002, "1.2"),
        (3.0, "3"),
        (1998, "1998"),
        (0.000123456789, "0.000123457"),
        (123456789.126, "123456789.13"),
        (1e22, "10000000000000000000000"),
        (-2.50, "-2.5"),
        (99999.99, "100000"),
        (10**30, "1" + "0" * 30),
    ],
)
def test_numbers_are_written_for_people(number: float, text: str) -> None:
    assert format_number(number) == text


@pytest.mark.parametrize("reference", ["$2", "$3", "$1[1]", "$1"])
async def test_what_was_made_from_a_failure_is_told_by_a_model(
    reference: str, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    plan = f'1. double.map([1, "x"])\n2. count($1)\n3. double($2)\njoin("It is {reference}.")'
    model_server.script(planner=[plan], joiner=["One of them failed."])
    assert await answer(chat_model) == "One of them failed."


async def test_what_was_made_from_the_rest_is_not(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(planner=['1. double.map([1, "x"])\n2. double($1[0])\njoin("It is $2.")'])
    assert await answer(chat_model) == "It is 4."
