"""Tools as the plan language and the planner's prompt see them."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from enum import Enum
from functools import partial
from typing import Annotated, Any, Literal

import pytest
from langchain_core.messages import AnyMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolArg, InjectedToolCallId, StructuredTool, Tool, tool
from langgraph.graph import MessagesState
from langgraph.prebuilt import InjectedState, InjectedStore, ToolRuntime
from langgraph.store.base import BaseStore
from langgraph.types import Command
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from agent import create_llm_compiler
from agent.language.tasks import Signature
from agent.planner.functions import Functions
from agent.tooling.describe import as_tools, describe, signature_of


class Unit(Enum):
    METRE = "m"
    FOOT = "ft"


class Place(BaseModel):
    lat: float
    tags: list[str] = []


class Node(BaseModel):
    children: list["Node"] = []


def as_tool(given: BaseTool | Callable[..., Any]) -> BaseTool:
    (made,) = as_tools([given]).values()
    return made


def line(given: BaseTool | Callable[..., Any]) -> str:
    """The line that describes a tool to the planner."""
    return describe(as_tool(given))


def parameters(given: BaseTool | Callable[..., Any]) -> str:
    """What stands between the parentheses of that line."""
    return line(given).partition("(")[2].rpartition(") -> ")[0]


def search(query: str) -> str:
    """the entry that fits the query"""
    return query


# --- the line for the planner


def test_a_function_is_described_on_one_line() -> None:
    assert line(search) == "search(query: str) -> str: the entry that fits the query"


def test_an_async_function_is_described_alike() -> None:
    async def weather(city: str, days: int = 1) -> dict[str, float]:
        """the weather in a city"""
        return {city: days}

    assert line(weather) == "weather(city: str, days: int = 1) -> dict[str, float]: the weather in a city"


def test_a_langchain_tool_is_described_by_what_it_says() -> None:
    assert line(tool("lookup", description="finds\n  things")(search)) == "lookup(query: str) -> str: finds things"


def test_a_docstring_of_several_lines_becomes_one() -> None:
    def trip(start: str) -> str:
        """Plans a trip.

        By train.
        """
        return start

    assert line(trip) == "trip(start: str) -> str: Plans a trip. By train."


def test_a_function_without_a_docstring_is_described_by_its_name() -> None:
    def find_route(start: str) -> str:
        return start

    assert line(find_route) == "find_route(start: str) -> str: find route"


def test_types_are_named_as_in_python() -> None:
    def typed(
        a: int,
        b: float,
        c: bool,
        d: list[str],
        e: dict[str, int],
        f: Any,
        g: str | None,
        h: list[list[float]] | str,
        i: list[Any],
    ) -> str:
        return f"{a}{b}{c}{d}{e}{f}{g}{h}{i}"

    assert parameters(typed) == (
        "a: int, b: float, c: bool, d: list[str], e: dict[str, int], f: Any, g: str | None, "
        "h: list[list[float]] | str, i: list"
    )


def test_defaults_are_shown_as_python_literals() -> None:
    def with_defaults(a: str = "x", b: int | None = None, c: Sequence[str] = (), d: bool = False) -> str:
        return f"{a}{b}{c}{d}"

    assert parameters(with_defaults) == "a: str = 'x', b: int | None = None, c: list[str] = [], d: bool = False"


def test_a_default_that_the_schema_has_not_is_not_shown_as_none() -> None:
    class Arguments(BaseModel):
        items: list[int] = Field(default_factory=list)

    @tool(args_schema=Arguments)
    def count(items: list[int]) -> int:
        """counts"""
        return len(items)

    assert "= None" not in parameters(count)


def test_choices_are_listed() -> None:
    def convert(unit: Unit, way: Literal["up", "down"] = "up", only: Literal[1] = 1) -> str:
        return f"{unit}{way}{only}"

    assert parameters(convert) == "unit: Literal['m', 'ft'], way: Literal['up', 'down'] = 'up', only: Literal[1] = 1"


def test_nested_models_show_their_fields() -> None:
    def visit(place: Place, others: list[Place]) -> str:
        return f"{place}{others}"

    place = "{'lat': float, 'tags': list[str]}"
    assert parameters(visit) == f"place: {place}, others: list[{place}]"


def test_a_type_that_contains_itself_ends_somewhere() -> None:
    def walk(tree: Node) -> str:
        return str(tree)

    assert len(line(walk)) < 150


def test_a_returned_model_shows_the_fields_that_references_can_reach() -> None:
    def locate(city: str) -> Place:
        """locates"""
        return Place(lat=len(city))

    assert line(locate) == "locate(city: str) -> {'lat': float, 'tags': list[str]}: locates"


def test_without_a_return_type_there_is_no_arrow() -> None:
    def untyped(x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        """does"""
        return x

    assert line(untyped) == "untyped(x: Any): does"


def test_descriptions_of_arguments_are_shown() -> None:
    class Arguments(BaseModel):
        city: str = Field(description="in\n  English")
        days: int = Field(default=1, description="at most 10")

    @tool(args_schema=Arguments)
    def weather(city: str, days: int) -> str:
        """the weather"""
        return f"{city}{days}"

    assert line(weather) == "weather(city: str (in English), days: int = 1 (at most 10)) -> str: the weather"


def test_a_tool_with_a_json_schema_is_described_from_it() -> None:
    schema = {
        "type": "object",
        "properties": {
            "key": {"type": "string", "description": "the key"},
            "limit": {"type": ["integer", "null"], "default": 5},
            "kind": {"enum": ["a", "b"]},
            "where": {"$ref": "#/$defs/Where"},
        },
        "required": ["key", "kind", "where"],
        "$defs": {"Where": {"type": "object", "properties": {"shelf": {"type": "number"}}}},
    }
    lookup = StructuredTool(name="lookup", description="looks up", args_schema=schema, func=lambda **given: given)
    assert line(lookup) == (
        "lookup(key: str (the key), limit: int | None = 5, kind: Literal['a', 'b'], where: {'shelf': float}): looks up"
    )
    assert signature_of(lookup) == Signature(
        "lookup",
        ("key", "limit", "kind", "where"),
        frozenset({"key", "kind", "where"}),
        single=frozenset({"key", "limit", "kind", "where"}),
    )


class Address(BaseModel):
    street: str
    zip: int | None = None


class Person(BaseModel):
    name: str
    address: Address
    others: list[Address] = []


def test_nested_models_are_described_with_the_types_of_their_fields() -> None:
    def register(person: Person, root: Node, also: list[Person] | None = None) -> str:
        """registers"""
        return ""

    address = "{'street': str, 'zip': int | None}"
    person = f"{{'name': str, 'address': {address}, 'others': list[{address}]}}"
    node = "{'children': list[Any]}"
    assert line(register) == (
        f"register(person: {person}, root: {node}, also: list[{person}] | None = None) -> str: registers"
    )


def test_a_json_schema_may_be_written_loosely() -> None:
    properties = {
        "any": True,
        "old": {"$ref": "#/definitions/Old"},
        "gone": {"$ref": "#/$defs/Gone"},
        "maybe": {"type": ["array", "null"], "items": True, "description": None},
        "wrong": {"enum": "a", "anyOf": 5, "type": {}},
        "all": {"$ref": "#/definitions/All"},
    }
    definitions = {"Old": {"type": "integer"}, "All": {"type": "array"}}
    schema = {"type": "object", "properties": properties, "definitions": definitions}
    lookup = StructuredTool(name="lookup", description="looks up", args_schema=schema, func=lambda **given: given)
    assert line(lookup) == (
        "lookup(any: Any = …, old: int = …, gone: Any = …, maybe: list[Any] | None = …, wrong: Any = …, "
        "all: list = …): looks up"
    )
    assert signature_of(lookup).lists == {"maybe", "all"}
    assert signature_of(lookup).single == {"old"}


def test_a_langchain_tool_of_one_text_takes_that_text() -> None:
    one_text = Tool(name="lookup", func=search, description="looks up")
    assert line(one_text) == "lookup(tool_input: str) -> str: looks up"
    assert signature_of(one_text) == Signature(
        "lookup", ("tool_input",), frozenset({"tool_input"}), single=frozenset({"tool_input"})
    )


def test_what_langchain_injects_is_no_argument() -> None:
    @tool
    def injected(
        x: str,
        config: RunnableConfig,
        runtime: ToolRuntime,
        state: Annotated[MessagesState, InjectedState],
        messages: Annotated[list[AnyMessage], InjectedState("messages")],
        store: Annotated[BaseStore | None, InjectedStore()],
        id_: Annotated[str, InjectedToolCallId],
        user: Annotated[str, InjectedToolArg] = "Ann",
    ) -> str:
        """does"""
        return f"{x}{config}{runtime}{state}{messages}{store}{id_}{user}"

    assert line(injected) == "injected(x: str) -> str: does"
    assert signature_of(as_tool(injected)) == Signature("injected", ("x",), frozenset({"x"}), single=frozenset({"x"}))


def test_content_is_shown_with_the_parts_of_the_artifact() -> None:
    @tool(response_format="content_and_artifact")
    def find(x: str) -> tuple[str, list[Place]]:
        """finds"""
        return x, []

    @tool(response_format="content_and_artifact")
    def plot(x: str) -> tuple[str, bytes]:
        """plots"""
        return x, b""

    @tool(response_format="content_and_artifact")
    def untyped(x: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
        """does"""
        return x, b""

    assert line(find) == "find(x: str) -> str (with parts: list[{'lat': float, 'tags': list[str]}]): finds"
    assert line(plot) == "plot(x: str) -> str: plots"
    assert line(untyped) == "untyped(x: str) -> str: does"


def test_a_long_type_that_json_has_not_is_not_shown() -> None:
    def short() -> threading.Thread:
        """acts"""
        return threading.current_thread()

    def long() -> threading.Thread | asyncio.AbstractEventLoop | asyncio.Task[threading.Thread]:
        """acts"""
        return threading.current_thread()

    assert line(short) == "short() -> threading.Thread: acts"
    assert line(long) == "long(): acts"


def test_a_message_or_a_command_as_a_result_is_not_shown() -> None:
    def act() -> ToolMessage:
        """acts"""
        raise AssertionError

    def go() -> "Command[Any]":
        """goes"""
        raise AssertionError

    assert line(act) == "act(): acts"
    assert line(go) == "go(): goes"


def test_the_planner_is_told_of_a_tool_whose_result_is_the_answer() -> None:
    direct = tool(return_direct=True)(search)
    assert line(direct).endswith("the entry that fits the query (As the plan's last call, its result is the answer.)")


def test_a_schema_may_describe_the_result() -> None:
    shape = {
        "type": "object",
        "properties": {"celsius": {"$ref": "#/$defs/Degrees"}},
        "$defs": {"Degrees": {"type": "number"}},
    }

    async def weather() -> Annotated[Any, WithJsonSchema(shape)]:
        """the weather"""

    assert line(weather) == "weather() -> {'celsius': float}: the weather"


# --- signatures


def test_arguments_keep_their_order_and_know_which_are_required() -> None:
    def convert(value: float, source: str, target: str = "m") -> str:
        return f"{value}{source}{target}"

    assert signature_of(as_tool(convert)) == Signature(
        "convert",
        ("value", "source", "target"),
        frozenset({"value", "source"}),
        single=frozenset({"value", "source", "target"}),
    )


def test_a_function_without_arguments_has_an_empty_signature() -> None:
    def now() -> str:
        return ""

    assert signature_of(as_tool(now)) == Signature("now")


@pytest.mark.parametrize("more", [True, {"type": "string"}])
def test_a_json_schema_that_allows_more_is_open(more: Any) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string"}}, "additionalProperties": more}
    lookup = StructuredTool(name="lookup", description="looks up", args_schema=schema, func=lambda **given: given)
    assert signature_of(lookup) == Signature("lookup", ("x",), open=True, single=frozenset({"x"}))


def test_a_model_that_allows_more_is_open() -> None:
    class Arguments(BaseModel):
        model_config = ConfigDict(extra="allow")
        x: str

    lookup = StructuredTool(name="lookup", description="looks up", args_schema=Arguments, func=lambda **given: given)
    assert signature_of(as_tool(lookup)).open
    assert lookup.invoke({"x": "1", "y": 2}) == {"x": "1", "y": 2}


def test_a_function_takes_no_more_than_it_names() -> None:
    assert not signature_of(as_tool(search)).open


# --- the list of tools


def test_tools_are_found_by_name_in_their_order() -> None:
    made = as_tools([tool("b", description="x")(search), search])
    assert list(made) == ["b", "search"]


def test_a_langchain_tool_is_taken_as_it_is() -> None:
    made = tool(search)
    assert as_tool(made) is made


async def test_plain_functions_become_tools_that_run() -> None:
    async def double(x: int) -> int:
        return 2 * x

    class Greeter:
        def greet(self, name: str) -> str:
            """greets"""
            return f"Hello {name}"

    assert as_tool(search).invoke({"query": "K2"}) == "K2"
    assert await as_tool(double).ainvoke({"x": 4}) == 8
    assert as_tool(Greeter().greet).invoke({"name": "Ann"}) == "Hello Ann"


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="Two tools are named 'search'"):
        as_tools([search, tool(search)])


@pytest.mark.parametrize("name", ["join", "Join"])
def test_a_tool_named_join_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"can't be named '{name}': that ends a plan"):
        as_tools([tool(name, description="x")(search)])


@pytest.mark.parametrize("name", ["two words", "1st", "a(b)", "$x", ""])
def test_a_name_that_cannot_stand_in_a_plan_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="can't stand in a plan"):
        as_tools([StructuredTool.from_function(search, name="x", description="x").model_copy(update={"name": name})])


@pytest.mark.parametrize(
    "metadata",
    [{"timeout": None}, {"timeout": "abc"}, {"timeout": -1}, {"retries": 1.5}, {"side_effects": 1}, {"reads": True}],
)
def test_metadata_that_means_nothing_is_refused_and_named(metadata: dict[str, Any]) -> None:
    [(name, value)] = metadata.items()
    with pytest.raises(ValueError, match=f"The tool 'search' has {value!r} for '{name}' in its metadata"):
        as_tools([StructuredTool.from_function(search, metadata=metadata)])


class Greeter:
    """greets"""

    async def __call__(self, name: str) -> str:
        return f"Hello {name}"


def scale(number: int, *, factor: float = 1.0) -> float:
    """scales"""
    return number * factor


async def test_objects_that_can_be_called_and_functions_with_bound_arguments_are_tools() -> None:
    greeter, scaled = as_tools([Greeter(), partial(scale, factor=2.5)]).values()
    assert [describe(greeter), describe(scaled)] == [
        "Greeter(name: str) -> str: greets",
        "scale(number: int) -> float: scales",
    ]
    assert await greeter.ainvoke({"name": "Ann"}) == "Hello Ann"
    assert scaled.invoke({"number": "2"}) == 5.0


def test_a_lambda_is_refused_because_it_has_no_name() -> None:
    with pytest.raises(ValueError, match="'<lambda>' can't stand in a plan"):
        as_tools([lambda query: query])


@pytest.mark.parametrize("thing", ["search", 5, None, Place, {"name": "search"}])
def test_what_is_no_tool_is_refused_and_shown(thing: Any) -> None:
    with pytest.raises(TypeError, match="is neither a LangChain tool nor a function"):
        as_tools([thing])


def _yielding() -> Iterator[str]:
    """yields"""
    yield "a"


async def _yielding_async() -> AsyncIterator[str]:
    """yields"""
    yield "a"


def _by_position(x: str, /) -> str:
    """takes"""
    return x


def _any_number(*words: str) -> str:
    """takes"""
    return " ".join(words)


def _any_names(**numbers: int) -> int:
    """takes"""
    return sum(numbers.values())


def _leaving() -> Command[Literal["elsewhere"]]:
    """leaves"""
    return Command(goto="elsewhere")


def _another_field(mood: Annotated[str, InjectedState("mood")]) -> str:
    """feels"""
    return mood


def _not_injected(user: Annotated[str, InjectedToolArg]) -> str:
    """greets"""
    return user


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (_yielding, "The tool '_yielding' yields. A task has one result"),
        (_yielding_async, "The tool '_yielding_async' yields"),
        (_by_position, "The tool '_by_position' takes 'x' by position only"),
        (_any_number, "The tool '_any_number' takes any number of arguments, *words"),
        (_any_names, "The tool '_any_names' takes any number of arguments, **numbers"),
        (_leaving, "The tool '_leaving' returns a Command that goes to 'elsewhere'"),
        (_another_field, "The tool '_another_field' wants the state's 'mood' injected as 'mood'"),
        (_not_injected, "The argument 'user' of the tool '_not_injected' is marked as injected, and nothing injects"),
    ],
)
def test_what_makes_no_sense_in_a_plan_is_refused_when_the_graph_is_made(
    function: Callable[..., Any], told: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        create_llm_compiler([function])


def test_an_injected_field_that_is_not_there_may_have_a_default() -> None:
    def feel(mood: Annotated[str, InjectedState("mood")] = "good") -> str:
        """feels"""
        return mood

    assert line(feel) == "feel() -> str: feels"


def test_arguments_that_no_plan_can_give_are_refused_when_the_graph_is_made() -> None:
    def call_back(function: Callable[[], str]) -> str:
        return function()

    with pytest.raises(ValueError, match="'call_back' have no JSON schema"):
        create_llm_compiler([call_back])


@pytest.mark.parametrize(
    ("changes", "told"),
    [(True, "(Changes things.)"), ("mail", "(Changes mail.)"), (["mail", "notes"], "(Changes mail, notes.)")],
)
def test_the_planner_is_told_what_a_tool_changes(changes: Any, told: str) -> None:
    def send(to: str) -> None:
        """sends"""

    tool = StructuredTool.from_function(send, metadata={"side_effects": changes})
    assert describe(tool).endswith(f": sends {told}")
    assert Functions([tool]).specifications[0]["function"]["description"] == f"sends {told}"
