"""Whatever kind of tool LangChain and LangGraph have, in a plan."""

import warnings
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, InjectedToolCallId, StructuredTool, Tool, tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from langgraph.prebuilt import InjectedState, InjectedStore, ToolRuntime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command
from pydantic import BaseModel, Field

from agent import State, create_llm_compiler
from agent.planner.grammar import plan_grammar
from agent.tooling.describe import describe
from tests.support.model_server import ModelServer

Run = Callable[..., Any]


@pytest.fixture
def run(model_server: ModelServer, chat_model: ChatOpenAI) -> Run:
    """Runs a plan with tools, and gives its observations: `await run([tool], 'tool(1)')`."""

    async def run(tools: list[Any], *lines: str, joins: bool = True, **options: Any) -> list[ToolMessage]:
        plan = "\n".join(f"{number}. {line}" for number, line in enumerate([*lines, "join()"], start=1))
        model_server.script(planner=[plan], joiner=["Done."] if joins else [])
        graph = create_llm_compiler(tools, model=chat_model, **options)
        config = {"configurable": {"thread_id": "1"}}
        output = await graph.ainvoke({"messages": "Question?"}, config, context={"max_tasks": 50})
        if joins:
            assert output["messages"][-1].text == "Done."
        return [message for message in output["messages"] if isinstance(message, ToolMessage)]

    return run


def values(observations: list[ToolMessage]) -> list[Any]:
    assert all(message.status == "success" for message in observations), observations
    return [message.artifact for message in observations]


@tool
async def take(value: Any) -> Any:
    """takes a value and gives it back"""
    return value


# --- injected arguments


async def test_the_conversation_is_injected_whole_and_as_its_messages(run: Run) -> None:
    @tool
    async def whole(state: Annotated[MessagesState, InjectedState]) -> str:
        """reads"""
        return str(state["messages"][-1].text)

    @tool
    def messages(messages: Annotated[list[AnyMessage], InjectedState("messages")], ending: str) -> str:
        """reads"""
        assert isinstance(messages[-1], HumanMessage)
        return messages[-1].text + ending

    assert values(await run([whole, messages], "whole()", 'messages("!")')) == ["Question?", "Question?!"]


async def test_the_state_may_be_of_this_agents_own_type(run: Run) -> None:
    @tool
    async def read(state: Annotated[State, InjectedState]) -> int:
        """reads"""
        return len(state["messages"])

    assert values(await run([read], "read()")) == [1]


async def test_the_store_is_injected(run: Run) -> None:
    store = InMemoryStore()

    @tool
    async def keep(key: str, value: str, store: Annotated[BaseStore, InjectedStore()]) -> str:
        """keeps"""
        await store.aput(("kept",), key, {"value": value})
        return "kept"

    assert values(await run([keep], 'keep("a", "b")', store=store)) == ["kept"]
    assert store.get(("kept",), "a").value == {"value": "b"}  # type: ignore[union-attr]


async def test_without_a_store_the_task_fails_and_says_what_to_do(run: Run) -> None:
    @tool
    async def keep(key: str, store: Annotated[BaseStore, InjectedStore()]) -> str:
        """keeps"""
        return key

    @tool
    async def may_keep(key: str, store: Annotated[BaseStore | None, InjectedStore()] = None) -> str:
        """keeps if it can"""
        return f"{key} {store}"

    kept, may = await run([keep, may_keep], 'keep("a")', 'may_keep("a")')
    assert kept.status == "error"
    assert kept.text == "keep needs the graph's store, and it has none: create_llm_compiler(…, store=…)."
    assert may.text == "a None"


async def test_the_runtime_is_injected_with_all_that_it_has(run: Run) -> None:
    store = InMemoryStore()
    seen: list[ToolRuntime[Any, Any]] = []

    @tool
    async def look(runtime: ToolRuntime) -> str:
        """looks"""
        seen.append(runtime)
        runtime.stream_writer({"type": "looked"})
        return "looked"

    @tool
    def look_in_thread(x: int, around: ToolRuntime[Any, MessagesState]) -> int:
        """looks"""
        seen.append(around)
        return x

    assert values(await run([look, look_in_thread], "look()", "look_in_thread(2)", store=store)) == ["looked", 2]
    first, second = sorted(seen, key=lambda runtime: str(runtime.tool_call_id))
    assert (first.tool_call_id, second.tool_call_id) == ("task_1", "task_2")
    assert first.state["messages"][0].text == "Question?"
    assert first.store is store
    assert first.context.max_tasks == 50
    assert first.config["configurable"]["thread_id"] == "1"
    assert [known.name for known in first.tools] == ["look", "look_in_thread"]
    assert first.execution_info is not None


async def test_a_plan_can_not_give_what_is_injected(run: Run) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string"}}, "additionalProperties": True}

    async def look(runtime: ToolRuntime, **given: Any) -> list[str]:
        return [str(runtime.tool_call_id), *given]

    made = StructuredTool(name="look", description="looks", args_schema=schema, coroutine=look)
    assert values(await run([made], 'look(x="1", runtime="forged", more=2)')) == [["task_1", "x", "more"]]


async def test_a_tool_knows_its_call_and_gives_a_typed_result(run: Run) -> None:
    @tool
    def mark(id_: Annotated[str, InjectedToolCallId], x: int) -> dict[str, Any]:
        """marks"""
        return {"id": id_, "x": x}

    assert values(await run([mark, take], "mark(4)", "take($1.x)", 'take("$1.id")')) == [
        {"id": "task_1", "x": 4},
        4,
        "task_1",
    ]


# --- content and artifact


class Hit(BaseModel):
    title: str


@tool(response_format="content_and_artifact")
async def find(words: str) -> tuple[str, list[Hit]]:
    """finds"""
    return f"Found {words}.", [Hit(title=words), Hit(title="other")]


@pytest.mark.parametrize("checkpointer", [None, InMemorySaver()])
async def test_a_reference_is_to_the_content_and_a_path_reaches_into_the_artifact(run: Run, checkpointer: Any) -> None:
    lines = 'find("K2")', "take($1)", 'take("said: $1")', "take($1[0].title)", 'take("not $1[1].title")'
    found, *rest = await run([find, take], *lines, checkpointer=checkpointer)
    assert found.text == "Found K2."
    assert [dict(hit) for hit in found.artifact] == [{"title": "K2"}, {"title": "other"}]
    assert [message.artifact for message in rest] == ["Found K2.", "said: Found K2.", "K2", "not other"]


async def test_a_path_that_fits_the_content_stays_in_it(run: Run) -> None:
    @tool(response_format="content_and_artifact")
    def look() -> tuple[dict[str, Any], dict[str, Any]]:
        """looks"""
        return {"x": "shown"}, {"x": "raw", "y": "only raw"}

    assert values(await run([look, take], "look()", "take($1.x)", "take($1.y)"))[1:] == ["shown", "only raw"]


async def test_the_path_of_a_map_reaches_into_the_artifact_of_each_element(run: Run) -> None:
    @tool(response_format="content_and_artifact")
    def look(at: str) -> tuple[str, dict[str, str]]:
        """looks"""
        return f"Seen {at}.", {"of": at}

    lines = 'look.map(["a", "b"])', "take($1.of)", "take($1[:].of)", "take($1[1].of)", "take($1)"
    seen = [["a", "b"], ["a", "b"], "b", ["Seen a.", "Seen b."]]
    assert values(await run([look, take], *lines))[2:] == seen


async def test_a_path_that_fits_neither_fails_with_what_there_is(run: Run) -> None:
    _, missing = await run([find, take], 'find("K2")', "take($1[5])")
    assert missing.status == "error"
    assert missing.text == "$1[5] does not exist: a list of 2 has no [5]."


# --- return_direct


@tool(return_direct=True)
async def answer(text: str) -> str:
    """answers"""
    return f"Answer: {text}"


async def test_the_result_of_the_plans_last_call_may_be_the_answer(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=['1. take("a")\n2. answer("$1")\n3. join()'], joiner=[])
    graph = create_llm_compiler([take, answer], model=chat_model)
    output = await graph.ainvoke({"messages": "Question?"})
    assert output["messages"][-1].text == "Answer: a"
    assert output["messages"][-1].type == "ai"


async def test_a_thought_in_such_an_answer_is_left_out(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(planner=['1. answer("<think>Is it b?</think>a")\njoin()'], joiner=[])
    graph = create_llm_compiler([answer], model=chat_model)
    assert (await graph.ainvoke({"messages": "Question?"}))["messages"][-1].text == "Answer: a"


@pytest.mark.parametrize(
    "lines",
    [
        ('answer("a")', 'take("b")'),
        ("take()", 'answer("a")'),
        ('take("b")', "answer($7)"),
    ],
    ids=["not the last", "another failed", "failed itself"],
)
async def test_else_the_joiner_answers(run: Run, lines: tuple[str, ...]) -> None:
    await run([take, answer], *lines)


# --- messages and commands


async def test_a_command_that_updates_the_conversation_with_its_result_is_that_result(run: Run) -> None:
    @tool
    async def act(x: str, id_: Annotated[str, InjectedToolCallId]) -> "Command[Any]":
        """acts"""
        return Command(update={"messages": [ToolMessage(f"done {x}", tool_call_id=id_)]})

    assert values(await run([act, take], 'act("a")', "take($1)")) == ["done a", "done a"]


async def test_a_command_that_does_more_fails_its_task(run: Run) -> None:
    @tool
    async def act() -> "Command[Any]":
        """acts"""
        return Command(goto="elsewhere")

    failed, skipped = await run([act, take], "act()", "take($1)")
    assert "a Command with goto='elsewhere'" in failed.text
    assert (failed.status, skipped.status) == ("error", "error")


# --- arguments


class Unit(Enum):
    METRE = "m"
    FOOT = "ft"


class Point(BaseModel):
    x: float
    y: float = 0


class Route(BaseModel):
    stops: list[Point]
    unit: Unit = Unit.METRE
    via: Point | None = None


async def test_nested_models_enums_and_defaults_reach_the_tool_as_their_types(run: Run) -> None:
    seen: list[Any] = []

    @tool
    async def travel(route: Route, unit: Unit = Unit.FOOT, times: int | None = None) -> str:
        """travels"""
        seen.append((route, unit, times))
        return "there"

    await run(
        [travel, take],
        'take({"x": 1.5})',
        'travel({"stops": [{"x": 1}, $1], "unit": "ft", "via": $1})',
        'travel(route={"stops": []}, unit="m", times="3")',
    )
    stops = [Point(x=1), Point(x=1.5)]
    assert sorted(seen, key=lambda call: len(call[0].stops)) == [
        (Route(stops=[]), Unit.METRE, 3),
        (Route(stops=stops, unit=Unit.FOOT, via=Point(x=1.5)), Unit.FOOT, None),
    ]


async def test_a_wrong_enum_fails_with_the_choices(run: Run) -> None:
    @tool
    async def convert(unit: Unit) -> str:
        """converts"""
        return unit.value

    (failed,) = await run([convert], 'convert("mile")')
    assert failed.text == "Wrong arguments for convert: unit: Input should be 'm' or 'ft'."


async def test_arguments_have_the_names_that_their_aliases_give(run: Run) -> None:
    class Arguments(BaseModel):
        from_: str = Field(alias="from")

    @tool(args_schema=Arguments)
    async def travel(from_: str) -> str:
        """travels"""
        return from_

    assert values(await run([travel], 'travel("Rome")')) == ["Rome"]


async def test_a_json_schema_is_kept_to(run: Run) -> None:
    schema = {
        "type": "object",
        "properties": {
            "point": {"$ref": "#/$defs/Point"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "unit": {"enum": ["m", "ft"]},
        },
        "required": ["point"],
        "$defs": {"Point": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}},
    }

    async def travel(**given: Any) -> dict[str, Any]:
        return given

    made = StructuredTool(name="travel", description="travels", args_schema=schema, coroutine=travel)
    good, wrong = await run([made], 'travel({"x": "2"}, tags=5, unit="ft")', 'travel({"y": 2}, unit="mile")')
    assert good.artifact == {"point": {"x": 2.0}, "tags": ["5"], "unit": "ft"}
    assert wrong.text == ("Wrong arguments for travel: point.x: Field required; unit: Input should be 'm' or 'ft'.")


def _each_refers_to_all(make: Callable[[list[Any]], dict[str, Any]]) -> dict[str, Any]:
    references: list[Any] = [{"$ref": f"#/$defs/D{number}"} for number in range(30)]
    return {f"D{number}": make(references) for number in range(30)}


@pytest.mark.parametrize(
    "definitions",
    [
        _each_refers_to_all(lambda all_: {"anyOf": [{"type": "integer"}, *all_]}),
        _each_refers_to_all(lambda all_: {"type": "object", "properties": {"a": {"anyOf": all_}, "b": {}}}),
        _each_refers_to_all(lambda all_: {"allOf": [{"properties": {"a": all_[1]}}, *all_]}),
        {
            f"D{number}": {"anyOf": [next_, {"type": "array", "items": next_}]}
            for number in range(30)
            for next_ in [{"$ref": f"#/$defs/D{number + 1}"}]
        },
    ],
    ids=["unions", "objects", "parts", "a chain"],
)
async def test_a_schema_may_lead_on_in_endless_ways(run: Run, definitions: dict[str, Any]) -> None:
    first = {"$ref": "#/$defs/D0"}
    for schema in (first, {"properties": {"value": first}}):
        schema = {"type": "object", **schema, "$defs": definitions}
        keep = StructuredTool(name="keep", description="keeps", args_schema=schema, func=lambda **given: given)
        assert len(describe(keep)) < 2_000
        assert len(plan_grammar([keep]).gbnf()) < 100_000
    assert values(await run([keep], 'keep({"b": 1})')) == [{"value": {"b": 1}}]


async def test_an_open_model_takes_more(run: Run) -> None:
    class Arguments(BaseModel, extra="allow"):
        x: str

    async def collect(**given: Any) -> dict[str, Any]:
        return given

    made = StructuredTool(name="collect", description="collects", args_schema=Arguments, coroutine=collect)
    assert values(await run([made], 'collect(x="a", y=2)')) == [{"x": "a", "y": 2}]


# --- kinds of tools


async def test_tools_of_every_make_run_in_one_plan(run: Run) -> None:
    class Own(BaseTool):
        name: str = "own"
        description: str = "is a class"

        def _run(self, x: int) -> int:
            return x + 1

    class OwnAsync(BaseTool):
        name: str = "own_async"
        description: str = "is a class"

        def _run(self, x: int) -> int:
            raise NotImplementedError

        async def _arun(self, x: int) -> int:
            return x + 1

    old = Tool(name="old", func=lambda text: text.upper(), description="is old")
    old_async = Tool(name="old_async", func=None, coroutine=_shout, description="is old")
    lines = "own(1)", "own_async($1)", 'old("a$2")', 'old_async("$3")'
    assert values(await run([Own(), OwnAsync(), old, old_async], *lines)) == [2, 3, "A3", "A3!"]


async def _shout(text: str) -> str:
    return text + "!"


# demo
async def test_a_toolkit_of_the_community_works_in_a_plan(run: Run, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is archived, and says so when it is imported first
        from langchain_community.agent_toolkits import FileManagementToolkit

    tools = FileManagementToolkit(root_dir=str(tmp_path)).get_tools()
    (written,) = await run(tools, 'write_file("a.txt", "8849 m")')
    assert written.text == "File written successfully to a.txt."
    (copied,) = await run(tools, 'copy_file("a.txt", "b.txt")')
    read, listed, outside = await run(tools, 'read_file("b.txt")', "list_directory()", 'read_file("../secret")')
    assert (tmp_path / "a.txt").read_text() == "8849 m"
    assert copied.text == "File copied successfully from a.txt to b.txt."
    assert read.text == "8849 m"
    assert set(listed.text.splitlines()) == {"a.txt", "b.txt"}
    assert "Access denied" in outside.text


# /demo
