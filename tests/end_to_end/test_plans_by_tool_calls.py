"""`planner_protocol="tools"`: the tool calls of one streamed turn are the plan."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessageChunk, AnyMessage, ToolMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.tools import StructuredTool, tool
from langchain_openai import ChatOpenAI
from typing_extensions import TypedDict

from agent import ModelError, create_llm_compiler
from agent.language.literals import NOT_A_VALUE, PARTS
from agent.language.tasks import Call, Join
from agent.planner.function_calls import ToolCallReader
from agent.planner.functions import Functions
from tests.support.model_server import ModelServer, Reply


@tool
async def search(query: str) -> str:
    """look up"""
    return f"entry of {query}"


@tool
async def add(first: float, second: float) -> float:
    """add"""
    return first + second


@tool
async def now() -> int:
    """the time"""
    return 12


TOOLS = [search, add, now]


def saving() -> StructuredTool:
    """A tool with side effects."""
    return StructuredTool.from_function(
        lambda note: f"saved {note}", name="save", description="saves", metadata={"side_effects": True}
    )


def results(messages: list[AnyMessage]) -> dict[str, str]:
    return {m.tool_call_id: m.text for m in messages if isinstance(m, ToolMessage)}


async def run(
    server: ModelServer, model: ChatOpenAI, *calls: tuple[str, dict[str, Any]], joiner: tuple[str, ...]
) -> Any:
    server.script(planner=[Reply(tool_calls=list(calls))], joiner=list(joiner))
    graph = create_llm_compiler(TOOLS, model=model, planner_protocol="tools")
    return (await graph.ainvoke({"messages": "Question?"}))["messages"]


async def test_the_calls_of_a_turn_are_the_plan(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    messages = await run(
        model_server,
        chat_model,
        ("add", {"first": 1, "second": 2}),
        ("now", {}),
        ("add", {"first": "$1", "second": "$2"}),
        ("search", {"query": "what is $3"}),
        ("join", {}),
        joiner=("Fifteen.",),
    )
    assert results(messages) == {"task_1": "3.0", "task_2": "12", "task_3": "15.0", "task_4": "entry of what is 15.0"}
    assert messages[-1].text == "Fifteen."
    assert messages[1].response_metadata["plan"] == (
        '1. add(1, 2)\n2. now()\n3. add("$1", "$2")\n4. search("what is $3")\n5. join()\n'
    )


async def test_the_join_may_have_the_answer(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    messages = await run(
        model_server, chat_model, ("add", {"first": 1, "second": 2}), ("join", {"answer": "It is $1."}), joiner=()
    )
    assert messages[-1].text == "It is 3."


@pytest.mark.parametrize(
    ("said", "is_made"),
    [("I save it.", True), ("I save it if $1 says so.", False), ("Wenn $1 es sagt, wird es gesichert.", False)],
)
async def test_a_call_that_changes_something_is_not_made_if_what_is_said_beside_may_be_its_condition(
    said: str, is_made: bool, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    calls = [("now", {}), ("save", {"note": "late"}), ("join", {})]
    model_server.script(planner=[Reply(said, tool_calls=calls)], joiner=["As seen."])
    graph = create_llm_compiler([*TOOLS, saving()], model=chat_model, planner_protocol="tools")
    made = results((await graph.ainvoke({"messages": "Question?"}))["messages"])
    assert made["task_1"] == "12"
    assert (made["task_2"] == "saved late", "no conditions" in made["task_2"]) == (is_made, not is_made)


async def test_nor_if_it_stands_between_calls_that_are_written_as_text(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(
        planner=[
            '<tool_call>{"name": "now", "arguments": {}}</tool_call>\nOnly in the morning:\n'
            '<tool_call>{"name": "save", "arguments": {"note": "late"}}</tool_call>'
        ],
        joiner=["As seen."],
    )
    graph = create_llm_compiler([*TOOLS, saving()], model=chat_model, planner_protocol="tools")
    made = results((await graph.ainvoke({"messages": "Question?"}))["messages"])
    assert (made["task_1"], "no conditions" in made["task_2"]) == ("12", True)


async def test_a_turn_without_calls_is_the_answer(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(planner=["Hello! What can I do?"])
    graph = create_llm_compiler(TOOLS, model=chat_model, planner_protocol="tools")
    messages = (await graph.ainvoke({"messages": "Hi"}))["messages"]
    assert messages[-1].text == "Hello! What can I do?"


async def test_a_plan_in_words_is_a_plan_all_the_same(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(planner=['1. search("K2")\n2. join("It is $1.")'])
    graph = create_llm_compiler(TOOLS, model=chat_model, planner_protocol="tools")
    output = await graph.ainvoke({"messages": "Question?"})
    assert output["messages"][-1].text == "It is entry of K2."


async def test_a_model_that_calls_no_tools_is_told_of() -> None:
    graph = create_llm_compiler(TOOLS, model=FakeListChatModel(responses=["1. join()"]), planner_protocol="tools")
    with pytest.raises(ModelError, match='FakeListChatModel calls no tools, and planner_protocol="tools"'):
        await graph.ainvoke({"messages": "Question?"})


def test_there_are_two_protocols() -> None:
    with pytest.raises(ValueError, match="planner_protocol is 'json'; it is one of text, tools"):
        create_llm_compiler(TOOLS, planner_protocol="json")  # type: ignore[arg-type]


async def test_wrong_calls_are_failed_tasks(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    messages = await run(
        model_server, chat_model, ("serch", {"query": "x"}), ("add", {"first": 1}), ("join", {}), joiner=("Done.",)
    )
    assert results(messages)["task_1"].startswith("There is no tool 'serch'. Did you mean search?")
    assert results(messages)["task_2"].startswith("add needs the argument 'second'")


async def test_a_call_starts_before_the_turn_has_ended(chat_model: ChatOpenAI, model_server: ModelServer) -> None:
    started = asyncio.Event()

    @tool
    async def note(text: str) -> str:
        """note"""
        started.set()
        return text

    model_server.script(planner=[Reply(tool_calls=[("note", {"text": "a"}), ("note", {"text": "b"}), ("join", {})])])
    model_server.script(joiner=["Done."])
    graph = create_llm_compiler([note], model=chat_model, planner_protocol="tools")
    async for event in graph.astream({"messages": "Question?"}, stream_mode="custom"):
        if event["type"] == "plan_finished":
            assert started.is_set()


async def test_the_model_is_given_the_tools_with_room_for_references(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    await run(model_server, chat_model, ("join", {}), joiner=("Done.",))
    request = model_server.requests[0]
    assert request.tool_names == ["search", "add", "now", "join"]
    assert request.body["tool_choice"] == "required"
    text, number = (request.tools[i]["parameters"]["properties"] for i in (0, 1))
    assert text["query"]["type"] == "string"
    assert [option["type"] for option in number["first"]["anyOf"]] == ["number", "string"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=settings.default.max_examples // 2)
@given(
    st.lists(st.tuples(st.sampled_from(["search", "add"]), st.dictionaries(st.text(max_size=4), JSON, max_size=3))),
    st.integers(1, 7),
)
def test_the_calls_do_not_depend_on_how_they_are_cut(calls: list[tuple[str, dict[str, Any]]], size: int) -> None:
    reader = ToolCallReader(3, Functions(TOOLS))
    items = []
    for index, (name, arguments) in enumerate([*calls, ("join", {"answer": "x"})]):
        text = json.dumps(arguments)
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        for place, piece in enumerate(pieces):
            chunk = tool_call_chunk(name=None if place else name, args=piece, id=None, index=index)
            items += reader.read(AIMessageChunk(content="", tool_call_chunks=[chunk]))[1]
    assert items == [
        *(Call(3 + index, name, keywords=arguments) for index, (name, arguments) in enumerate(calls)),
        Join(3 + len(calls), "x"),
    ]
    assert reader.ended


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ('{"query": "x', "The plan ends in the middle of this call."),
        ('{"query": }', 'The arguments of search are no JSON object: {"query": }'),
        ("search for K2, please", "The arguments of search are no JSON object: search for K2, please"),
        ('{"query": ["{{1}}"]}', "{{1}} is not how a result is referred to; write $1."),
        ('{"query": "[one for one in $1 if one]"}', NOT_A_VALUE.format(text="[one for one in $1 if one]", hint=PARTS)),
    ],
)
def test_arguments_that_are_no_object_or_code_about_a_result_are_an_error(arguments: str, error: str) -> None:
    reader = ToolCallReader(1, Functions(TOOLS))
    chunk = tool_call_chunk(name="search", args=arguments, id="a", index=0)
    items = [*reader.read(AIMessageChunk(content="", tool_call_chunks=[chunk]))[1], *reader.close()]
    assert [item.error for item in items if isinstance(item, Call)] == [error]


def test_arguments_in_double_braces_are_read() -> None:
    reader = ToolCallReader(1, Functions(TOOLS))
    chunk = tool_call_chunk(name="search", args='{{"query": "K2"}}', id="a", index=0)
    assert reader.read(AIMessageChunk(content="", tool_call_chunks=[chunk]))[1] == [Call(1, "search", ["K2"])]


def test_a_call_without_a_name_is_a_failed_task() -> None:
    reader = ToolCallReader(1, Functions(TOOLS))
    chunk = tool_call_chunk(name=None, args='["K2" x]', id="a", index=0)
    items = [*reader.read(AIMessageChunk(content="", tool_call_chunks=[chunk]))[1], *reader.close()]
    [failed] = [item for item in items if isinstance(item, Call)]
    assert (failed.tool, failed.text) == ("", '["K2" x]')
    assert failed.error == 'The arguments of a call without a name are no JSON object: ["K2" x]'


def test_join_is_a_tool_too() -> None:
    assert Functions([search]).specifications[-1]["function"]["name"] == "join"


def test_fields_whose_names_providers_refuse_have_others_and_are_told_apart() -> None:
    def record(*fields: str) -> dict[str, Any]:
        return {"type": "object", "properties": {name: {"type": "string"} for name in fields}, "required": [*fields]}

    schema = {**record(), "properties": {"from": record("user id", "user_id"), "to": record("user_id")}}
    tool = StructuredTool(name="move", description="moves", args_schema=schema, coroutine=search.coroutine)
    functions = Functions([tool])
    sent = {name: one["anyOf"][0] for name, one in properties_of(functions).items()}
    assert {name: (list(one["properties"]), one["required"]) for name, one in sent.items()} == {
        "from": (["user_id", "user_id_2"], ["user_id", "user_id_2"]),
        "to": (["user_id_2"], ["user_id_2"]),
    }
    given = {"from": {"user_id": "a", "user_id_2": "b"}, "to": {"user_id_2": "c"}}
    assert functions.own("move", given) == ("move", {"from": {"user id": "a", "user_id": "b"}, "to": {"user_id": "c"}})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"query": True}},
        {"type": "object", "properties": {"query": {}}, "required": [{}]},
        {"type": "object", "properties": None},
    ],
)
def test_a_schema_may_be_anything(schema: dict[str, Any]) -> None:
    tool = StructuredTool(name="find", description="finds", args_schema=schema, coroutine=search.coroutine)
    assert set(properties_of(Functions([tool]))) == set(schema["properties"] or ())


def properties_of(functions: Functions) -> dict[str, Any]:
    properties: dict[str, Any] = functions.specifications[0]["function"]["parameters"]["properties"]
    return properties


def test_a_function_says_what_it_gives_so_that_later_calls_can_refer_to_parts() -> None:
    class Weather(TypedDict):
        summary: str
        degrees: float

    @tool
    def weather(city: str) -> Weather:
        """the weather"""
        return {"summary": "sunny", "degrees": 21.0}

    (function, _) = Functions([weather]).specifications
    assert function["function"]["description"] == "the weather (Gives {'summary': str, 'degrees': float}.)"
