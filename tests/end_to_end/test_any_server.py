"""What the servers of models send, each in its own way: the bytes of a reply, and the plan or answer that it is."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, cast

import httpx
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, RemoveMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import BaseTool, StructuredTool, tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from openai import APIError
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel, SecretStr

from agent import ModelError, create_llm_compiler
from agent.language.plan import Plan
from agent.language.tasks import Call, Element, Join
from agent.planner.function_calls import ToolCallReader
from agent.planner.functions import Functions
from agent.servers.any_server import for_any_server
from tests.support.model_server import Answer, Body, ChatRequest, End, Gate, HttpError, ModelServer, Raw, Reply, pieces

Delta = dict[str, Any]


class Height(BaseModel):
    """how tall something is"""

    metres: int


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
THOUGHT = '1. search("thought")\n2. join("thought")'
PLAN = '1. search("K2")\n2. join()'


def made(messages: list[AnyMessage]) -> list[str]:
    return [f"{m.name} {m.text}" for m in messages if isinstance(m, ToolMessage)]


@pytest.fixture
def ask(model_server: ModelServer, chat_model: ChatOpenAI) -> Callable[..., Any]:
    """Runs the agent on scripted replies."""

    async def run(planner: Answer, *joiner: Answer, tools: list[BaseTool] = TOOLS, protocol: Any = "text") -> Any:
        model_server.script(planner=[planner], joiner=list(joiner))
        graph = create_llm_compiler(tools, model=chat_model, planner_protocol=protocol)
        return (await graph.ainvoke({"messages": "Question?"}))["messages"]

    return run


# --- planning by function calling


def planned(
    pieces: Sequence[AIMessage], tools: Sequence[BaseTool] = TOOLS
) -> tuple[list[tuple[str, dict[str, Any] | str]], str]:
    """The calls that are read from a reply in these pieces, each with its arguments or what is wrong with it; and the
    answer that it is if it has none."""
    functions = Functions(tools)
    reader, plan = ToolCallReader(1, functions), Plan(functions.signatures)
    items = [*(item for piece in pieces for item in reader.read(piece)[1]), *reader.close()]
    tasks = [task for item in items if isinstance(item, Call | Element) for task in plan.add(item)]
    answer = next((item.answer for item in items if isinstance(item, Join)), "")
    return [(task.tool, task.error or task.arguments) for task in tasks], answer


@pytest.fixture
def planned_of(model_server: ModelServer, chat_model: ChatOpenAI) -> Callable[..., Any]:
    """The same of a reply that a server sends."""

    async def read(reply: Answer, *tools: BaseTool) -> list[tuple[str, dict[str, Any] | str]]:
        model_server.script(reply)
        return planned([piece async for piece in for_any_server(chat_model).astream("?")], tools or TOOLS)[0]

    return read


def call(
    name: str | None = None, arguments: Any = None, index: int | None = None, id: str | None = None
) -> dict[str, Any]:
    """A piece of a call with what is given."""
    function = {k: v for k, v in (("name", name), ("arguments", arguments)) if v is not None}
    return {k: v for k, v in (("index", index), ("id", id), ("function", function)) if v is not None}


def calls(*each: dict[str, Any]) -> Delta:
    return {"tool_calls": list(each)}


A, B = '{"query": "a"}', '{"query": "b"}'
A_AND_B = [("search", {"query": "a"}), ("search", {"query": "b"})]


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param([calls(call("search", A, 0, "x")), calls(call("search", B, 0, "y"))], id="one index"),
        pytest.param([calls(call("search", A, 0)), calls(call("search", B, 0))], id="one index and no ids"),
        pytest.param([calls(call("search", A, 0), call("search", B, 0))], id="one index, no ids, one delta"),
        pytest.param([calls(call("search", A), call("search", B))], id="nothing but name and arguments"),
        pytest.param([calls(call("search", A, id="x"), call("search", B, id="y"))], id="no index"),
        pytest.param([calls(call("search", A, 0, "x"), call("search", B, 1, "x"))], id="one id, two indexes"),
        pytest.param(
            [
                calls(call("search", "", 0, "x"), call("search", "", 1, "y")),
                calls(call(arguments='{"query"', index=1)),
                calls(call(arguments='{"query": ', index=0)),
                calls(call(arguments=': "b"}', index=1), call(arguments='"a"}', index=0)),
            ],
            id="names first, arguments interleaved",
        ),
        pytest.param(
            [
                calls(call("search", "", 0, "x")),
                calls(call("search", "", 0, "y")),
                calls(call(arguments=B, index=0, id="y")),
                calls(call(arguments=A, index=0, id="x")),
            ],
            id="names first, by id",
        ),
        pytest.param(
            [
                calls(call("search", id="x")),
                *(calls(call(arguments=c)) for c in A),
                calls(call("search", id="y")),
                *(calls(call(arguments=c)) for c in B),
            ],
            id="no index, id once",
        ),
        pytest.param(
            [calls(call("search", c, 0, "x")) for c in A] + [calls(call("search", c, 1, "y")) for c in B],
            id="name and id each time",
        ),
        pytest.param(
            [calls(call("search", c, i, f"{i}-{n}")) for i, text in enumerate((A, B)) for n, c in enumerate(text)],
            id="an id for each piece",
        ),
        pytest.param(
            [
                calls(call("search", "{}", 0, "x")),
                calls(call("search", A, 0, "x")),
                calls(call("search", "{}", 1, "y")),
                calls(call("search", B, 1, "y")),
            ],
            id="no arguments first",
        ),
        pytest.param(
            [calls(call("search", part, 0, "x")) for part in ('{"qu', '{"query": ', A)]
            + [calls(call("search", B, 1, "y"))],
            id="arguments each time from the start",
        ),
        pytest.param(
            [
                calls(call("search", A[:5], 0, "x")),
                calls(call(None, A[5:], 0)),
                calls(call(None, A, 0)),
                calls(call("search", B, 1)),
            ],
            id="arguments once more at the end",
        ),
        pytest.param(
            [calls(call("sea", "", 0, "x")), calls(call("rch", A, 0)), calls(call("search", B, 1))], id="half a name"
        ),
        pytest.param([calls(call("search", {"query": "a"}, 0, "x"), call("search", {"query": "b"}, 1))], id="objects"),
        pytest.param(
            [calls({"name": "search", "arguments": A, "index": "0"}), calls({"name": "search", "arguments": B})],
            id="flat",
        ),
        pytest.param(
            [
                {"function_call": {"name": "search", "arguments": A}},
                {"function_call": {"name": "search", "arguments": B}},
            ],
            id="functions",
        ),
        pytest.param([calls(call("search", json.dumps(A), 0), call("search", json.dumps(B), 1))], id="JSON in JSON"),
        pytest.param(
            [calls(call("search", A + "\n</tool_call>", 0), call("search", f"```json\n{B}\n```", 1))], id="marks around"
        ),
        pytest.param([calls(call("search", "{'query': 'a'}", 0), call("search", "{'query': 'b',}", 1))], id="Python"),
        pytest.param(
            [calls(call("functions.search", A, 0)), calls(call(" search ", B, 1))], id="names with something around"
        ),
        pytest.param(
            [calls(call("search", f'{{"arguments": {A}}}', 0), call("search", f'{{"parameters": {B}}}', 1))],
            id="wrapped",
        ),
        pytest.param(
            [
                calls(call("search", f'{{"arguments": {{"arguments": {A}}}}}', 0)),
                calls(call("search", json.dumps({"arguments": B}), 1)),
            ],
            id="wrapped twice",
        ),
        pytest.param(
            [
                calls(call("search", f'{{"name": "search", "arguments": {A}}}', 0)),
                calls(call("search", f'{{"search": {B}}}', 1)),
            ],
            id="the call in the call",
        ),
        pytest.param(
            [calls(call("search", f"{{}}{A}", 0)), calls(call("search", f"{{}}{B}", 1))], id="nothing first, in a piece"
        ),
        pytest.param([calls(call("search", A + B, 0))], id="two objects in a piece"),
        pytest.param(
            [calls(call("search", "null", 0)), calls(call(None, A, 0)), calls(call("search", B, 1))], id="null"
        ),
        pytest.param([calls(call("search", 'query="a"', 0)), calls(call("search", "query: b", 1))], id="in words"),
        pytest.param(
            [calls(call("search", '(query="a")', 0)), calls(call("search", 'search("b")', 1))], id="as a call"
        ),
        pytest.param([calls(call("search", '"a"', 0)), calls(call("search", "b", 1))], id="a text"),
        pytest.param([calls(call("search", '["a"]', 0)), calls(call("search", f"[{B}]", 1))], id="a list"),
        pytest.param(
            [
                calls(call("search", "<parameter=query>\na\n</parameter>", 0)),
                calls(call("search", "<query>b</query>", 1)),
            ],
            id="in marks",
        ),
        pytest.param([calls(call("search", A, 1)), calls(call("search", B, 2))], id="index from 1"),
        pytest.param(
            [calls({"type": "custom", "custom": {"name": "search", "input": each}}) for each in (A, B)], id="custom"
        ),
    ],
)
async def test_pieces_of_calls_are_put_together(deltas: list[Delta], planned_of: Any) -> None:
    assert await planned_of(pieces(*deltas)) == A_AND_B


@pytest.mark.parametrize(
    ("reason", "first"), [("tool_calls", {"query": "a"}), ("length", "The plan ends in the middle of this call.")]
)
async def test_a_bracket_that_is_missing_is_put_in_if_the_model_was_not_cut_off(
    reason: str, first: dict[str, str] | str, planned_of: Any
) -> None:
    reply = pieces(calls(call("search", '{"query": "a"', 0)), calls(call("search", B, 1)))
    end = json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    assert await planned_of(Reply([*reply.text, Raw(end), End()])) == [("search", first), A_AND_B[1]]


async def test_an_argument_with_the_name_of_a_wrapping_is_one(planned_of: Any) -> None:
    @tool
    async def run(arguments: dict[str, str]) -> str:
        """run"""
        return str(arguments)

    reply = pieces(calls(call("run", '{"arguments": {"arguments": "x"}}', 0)))
    assert await planned_of(reply, run) == [("run", {"arguments": {"arguments": "x"}})]


async def test_calls_without_arguments_stand_where_they_were_written(planned_of: Any) -> None:
    reply = pieces(
        calls(call("now", "", 0, "x"), call("add", '{"first": "$1", "second": 1}', 1, "y")), calls(call("now", "", 2))
    )
    assert await planned_of(reply) == [("now", {}), ("add", {"first": "$1", "second": 1}), ("now", {})]


NAMED = '{"name": "search", "arguments": {"query": "%s"}}'


@pytest.mark.parametrize(
    ("before", "each", "between", "after"),
    [
        ("", f"<tool_call>\n{NAMED}\n</tool_call>", "\n", ""),
        ("<tool_call>[", NAMED, ", ", "]"),
        ("", NAMED.replace("arguments", "parameters"), "; ", ""),
        ('```json\n{"tool_calls": [', f'{{"type": "function", "function": {NAMED}}}', ", ", "]}\n```"),
        ("<|python_tag|>", '{"name": "search", "parameters": "{\\"query\\": \\"%s\\"}"}', "; ", ""),
        ("[TOOL_CALLS][", NAMED, ", ", "]"),
        ("", '[TOOL_CALLS]search[ARGS]{"query": "%s"}', "", ""),
        ("[", 'search(query="%s")', ", ", "]"),
        ("<|python_start|>[", "search(query='%s')", ", ", "]<|python_end|>"),
        ("```tool_code\n", 'print(default_api.search(query="%s"))', "\n", "\n```"),
        (
            "",
            "<tool_call>\n<function=search>\n<parameter=query>\n%s\n</parameter>\n</function>\n</tool_call>",
            "\n",
            "",
        ),
        ("", "<function=search><parameter=query>%s", "", ""),
        ("", '<function=search>{"query": "%s"}</function>', "", ""),
        ("<function_calls>", '<invoke name="search"><parameter name="query">%s</parameter></invoke>', "\n", ""),
        ("", "<tool_call>search\n<arg_key>query</arg_key>\n<arg_value>%s</arg_value>\n</tool_call>", "\n", ""),
        (
            "<｜tool▁calls▁begin｜>",
            '<｜tool▁call▁begin｜>function<｜tool▁sep｜>search\n```json\n{"query": "%s"}\n```<｜tool▁call▁end｜>',
            "\n",
            "<｜tool▁calls▁end｜>",
        ),
        (
            "<|tool_calls_section_begin|>",
            '<|tool_call_begin|>functions.search:0<|tool_call_argument_begin|>{"query": "%s"}<|tool_call_end|>',
            "",
            "<|tool_calls_section_end|>",
        ),
        ("", '<|tool_call>call:search{query:<|"|>%s<|"|>}<tool_call|>', "", ""),
        (
            '<|channel|>analysis<|message|>search(query="x")<|end|>',
            '<|start|>assistant<|channel|>commentary to=functions.search <|constrain|>json<|message|>{"query": "%s"}',
            "<|call|>",
            "<|call|>",
        ),
        ('I look it up.\n<think>search(query="x")</think>', f"<tool_call>{NAMED}", "", ""),
        ("", '[TOOL_CALLS]search[CALL_ID]a1b2c3d4e[ARGS]{"query": "%s"}', "", ""),
        ("", '[TOOL_CALL] {"tool": "search", "args": {"query": "%s"}} [/TOOL_CALL]', "\n", ""),
        ("<|python_tag|>", 'search.call(query="%s")', "; ", "<|eom_id|>"),
        ("<|tool_call_start|>[", 'search(query="%s")', ", ", "]<|tool_call_end|>"),
        ("<function_calls>\n", 'search(query="%s")', "\n", "\n</function_calls>"),
        ("<|tools_prefix|>[", '{"search": {"query": "%s"}}', ", ", "]<|tools_suffix|>"),
        ("", '<|action_start|><|plugin|>\n{"name": "search", "parameters": {"query": "%s"}}<|action_end|>', "\n", ""),
        (
            "<minimax:tool_call>",
            '<invoke name="search">\n<parameter name="query">%s</parameter>\n</invoke>',
            "\n",
            "</minimax:tool_call>",
        ),
        (
            "<｜tool_calls_begin｜>",
            '<｜tool_call_begin｜>function<｜tool_sep｜><steptml:invoke name="search"><steptml:parameter name="query">'
            "%s</steptml:parameter></steptml:invoke><｜tool_call_end｜>",
            "",
            "<｜tool_calls_end｜>",
        ),
        (
            "<｜DSML｜function_calls>",
            '<｜DSML｜invoke name="search"><｜DSML｜parameter name="arguments" string="false">{"query": "%s"}'
            "</｜DSML｜parameter></｜DSML｜invoke>",
            "\n",
            "</｜DSML｜function_calls>",
        ),
        ("", "<start_function_call>call:search{query:<escape>%s<escape>}<end_function_call>", "", ""),
        ("", "call:search{query:%s}", "\n", ""),
        ("", "<search>\n<query>%s</query>\n</search>", "\n", ""),
        ("", '<search query="%s"/>', "\n", ""),
        ("", "<tool_call><search><query>%s</query></search></tool_call>", "\n", ""),
        ("", '<tool_call><name>search</name><arguments>{"query": "%s"}</arguments></tool_call>', "\n", ""),
        (
            "<function_calls>",
            "<invoke>\n<tool_name>search</tool_name>\n<parameters>\n<query>%s</query>\n</parameters>\n</invoke>",
            "\n",
            "</function_calls>",
        ),
        ("", '<function=search>query="%s"</function>', "\n", ""),
        ("Thought: two.\n", "Action: search\nAction Input: %s", "\n", ""),
        ("", 'Tool: search\nArguments: {"query": "%s"}', "\n", ""),
        ("", '{"action": "search", "action_input": "%s"}', "\n", ""),
        ("", '{"name": "search", "query": "%s"}', "\n", ""),
        ("", '<tool_call>{"name": "search", "arguments": ["%s"]}</tool_call>', "\n", ""),
        ("", f'<tool_call>{{"name": "search", "arguments": {NAMED}}}</tool_call>', "\n", ""),
        ("", '<tool_call>\n{"name": "search", "arguments": {"query": "%s"}\n</tool_call>', "\n", ""),
        ("", '{"name": "search", // look it up\n "arguments": {"query": "%s"}}', "\n", ""),
        ("", '/search {"query": "%s"}', "\n", ""),
    ],
)
def test_calls_in_the_text_are_calls(before: str, each: str, between: str, after: str) -> None:
    text = before + between.join(each % query for query in "ab") + after
    assert planned([AIMessage(text)]) == (A_AND_B, "")


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>\nsomething",
        '{"name": "unknown", "arguments": "…',
        "<function=>",
        '[TOOL_CALLS]{"name":',
        "</tool_call>",
    ],
)
def test_what_only_looks_like_a_call_is_left_to_the_joiner(text: str) -> None:
    assert planned([AIMessage(text)]) == ([], "")


@pytest.mark.parametrize(
    "text",
    [
        "Hi! Use `search(query)` yourself.",
        'JSON has {"a": 1}.',
        "<b>Hi</b>",
        "Use search <b>now</b>!",
        "Write `<search><query>x</query></search>` in your page.",
        "To search: use the site's own search box.",
        'He said: "add {x}".',
        'Send {"query": "a"} to https://example.com/search.',
        '{"name": "Bob", "age": 3}',
        "It is now 12:00.",
        "This was <s>old</s>",
        "ChatML ends with `<|im_end|>`.",
    ],
)
def test_an_answer_stays_one(text: str) -> None:
    assert planned([AIMessage(text)]) == ([], text)


async def test_names_that_providers_refuse_are_sent_in_another_form(ask: Any, model_server: ModelServer) -> None:
    async def listed(**given: Any) -> str:
        return json.dumps(given, ensure_ascii=False)

    def made_of(name: str, *arguments: str) -> BaseTool:
        schema = {"type": "object", "properties": {a: {"type": "string"} for a in arguments}, "required": [*arguments]}
        return StructuredTool.from_function(coroutine=listed, name=name, description="x", args_schema=schema)

    names = ["items.list", "items_list", "поиск", "n" * 70, "n" * 71, "_items_list"]
    tools = [made_of(name, "user.id", "größe", "user id") for name in names]

    def reply(request: ChatRequest) -> Answer:
        functions = request.tools[:-1]
        keys = [list(f["parameters"]["properties"]) for f in functions]
        assert all(set(f["parameters"]["required"]) == set(k) for f, k in zip(functions, keys, strict=True))
        sent = [*(f["name"] for f in functions), *(k for each in keys for k in each)]
        assert all(name.isascii() and 0 < len(name) <= 64 and not set(name) & set(". ") for name in sent)
        assert not any(name[0].isdigit() for name in sent)
        assert len({f["name"] for f in functions}) == len(names)
        arguments = [dict.fromkeys(k, "x") for k in keys]
        return Reply(tool_calls=[(f["name"], a) for f, a in zip(functions, arguments, strict=True)])

    model_server.handler = lambda request: reply(request) if request.tools[1:] else "Done."
    graph = create_llm_compiler(
        tools, model=ChatOpenAI(base_url=model_server.base_url, api_key="x", model="m"), planner_protocol="tools"
    )  # type: ignore[arg-type]
    messages = (await graph.ainvoke({"messages": "Question?"}))["messages"]
    assert [m.text for m in messages if isinstance(m, ToolMessage)] == [
        '{"user.id": "x", "größe": "x", "user id": "x"}'
    ] * 6


async def test_so_are_the_names_of_fields(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    async def listed(**given: Any) -> str:
        return json.dumps(given, ensure_ascii=False)

    fields = {"größe in cm": {"type": "integer"}, "place": {"$ref": "#/$defs/place"}}
    schema = {
        "type": "object",
        "properties": {"items": {"type": "array", "items": {"type": "object", "properties": fields}}},
        "$defs": {"place": {"type": "object", "properties": {"straße": {"type": "string"}}, "required": ["straße"]}},
    }
    order = StructuredTool.from_function(coroutine=listed, name="order", description="x", args_schema=schema)

    def reply(request: ChatRequest) -> Answer:
        (items,) = request.tools[0]["parameters"]["properties"].values()
        sent = json.dumps(request.tools[0])
        assert sent.isascii()
        assert "\\u" not in sent
        array = next(option for option in items.get("anyOf", [items]) if option.get("type") == "array")
        size, place = array["items"]["properties"]
        street = next(iter(_places(request.tools[0]["parameters"], array["items"]["properties"][place])))
        return Reply(tool_calls=[("order", {"items": [{size: 3, place: {street: "Weg"}}]}), ("join", {})])

    model_server.handler = lambda request: reply(request) if request.tools[1:] else "Done."
    graph = create_llm_compiler([order], model=chat_model, planner_protocol="tools")
    messages = (await graph.ainvoke({"messages": "Question?"}))["messages"]
    assert made(messages) == ['order {"items": [{"größe in cm": 3, "place": {"straße": "Weg"}}]}']


def _places(parameters: dict[str, Any], place: dict[str, Any]) -> dict[str, Any]:
    """The fields of a place, which may be in the definitions."""
    place = parameters["$defs"]["place"] if "$ref" in place else place
    return dict(place["properties"])


# --- what servers refuse, or do not do


def refusing(what: Callable[[ChatRequest], bool], refusal: Answer, *replies: Answer) -> Callable[[ChatRequest], Answer]:
    """A server that refuses some requests."""
    left = list(replies)
    return lambda request: refusal if what(request) else left.pop(0)


def has(name: str) -> Callable[[ChatRequest], bool]:
    return lambda request: name in request.body


REPLY = Reply(tool_calls=[("search", {"query": "K2"}), ("join", {})])


async def test_a_server_that_refuses_to_be_made_to_call_is_asked_without(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.handler = refusing(has("tool_choice"), HttpError(422, "tool_choice"), REPLY, "K2.", REPLY, "K2.")
    graph = create_llm_compiler(TOOLS, model=chat_model, planner_protocol="tools")
    for _ in range(2):
        messages = (await graph.ainvoke({"messages": "Question?"}))["messages"]
        assert made(messages) == ["search entry of K2"]
    assert sum("tool_choice" in request.body for request in model_server.requests) == 1, "it is remembered"


@pytest.mark.parametrize(
    "refusal",
    [
        HttpError(400, "Unrecognized request argument supplied: stream_options"),
        Body('{"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]}', 422),
        Body("stream_options is not supported", 500, "text/plain"),
        HttpError(400, "Bad Request"),
        Body("", 400, "text/plain"),
        Body('{"detail": "Extra inputs are not permitted"}', 422),
    ],
)
async def test_a_server_that_refuses_stream_options_is_asked_without(
    refusal: Answer, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.handler = refusing(has("stream_options"), refusal, "K2.", "K2.")
    model = for_any_server(chat_model)
    for _ in range(2):
        assert "".join([str(piece.text) async for piece in model.astream("?")]) == "K2."
    assert sum(has("stream_options")(request) for request in model_server.requests) == 1


async def test_a_refusal_that_says_what_is_wrong_is_not_asked_again(ask: Any, model_server: ModelServer) -> None:
    with pytest.raises(Exception, match="no such model"):
        await ask(HttpError(400, "no such model"))
    assert len(model_server.requests) == 1


def whole(text: str | None, **more: Any) -> Body:
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **more}, "finish_reason": "stop"}
    return Body(json.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}))


@pytest.mark.parametrize(
    "choice",
    [
        {"message": {"role": "assistant", "content": PLAN}, "finish_reason": "stop"},
        {"text": PLAN, "finish_reason": None},
        {"delta": {"content": [{"type": "text", "text": PLAN}]}},
    ],
)
async def test_a_piece_may_have_its_text_elsewhere(choice: dict[str, Any], ask: Any) -> None:
    piece = {
        "id": "1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, **choice}],
    }
    assert made(await ask(Reply([Raw(json.dumps(piece))]), "K2.")) == ["search entry of K2"]


async def test_openais_client_makes_no_objects_of_pieces(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChatCompletionChunk, "construct", None)
    assert made(await ask(PLAN, "K2.")) == ["search entry of K2"]


async def test_tokens_that_each_piece_tells_of_anew_count_once(
    chat_model: ChatOpenAI, model_server: ModelServer
) -> None:
    usages = [{"prompt_tokens": 100, "completion_tokens": n, "total_tokens": 100 + n} for n in (1, 2, 30)]
    texts = (PLAN[:5], PLAN[5:], "")
    sent = [
        Raw(json.dumps({"choices": [{"index": 0, "delta": {"content": text}}], "usage": usage}))
        for text, usage in zip(texts, usages, strict=True)
    ]
    model_server.script(planner=[Reply([*sent, End()])], joiner=["K2."])
    messages = (await create_llm_compiler(TOOLS, model=chat_model).ainvoke({"messages": "Question?"}))["messages"]
    (plan,) = (m for m in messages if isinstance(m, AIMessage) and m.tool_calls)
    assert plan.usage_metadata is not None
    assert (plan.usage_metadata["input_tokens"], plan.usage_metadata["output_tokens"]) == (100, 30)


@pytest.mark.parametrize("protocol", ["text", "tools"])
async def test_a_server_that_never_streams_is_asked_for_a_whole_answer(
    protocol: Any, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    called = whole(None, tool_calls=[{"function": {"name": "search", "arguments": {"query": "K2"}}}])
    plan = called if protocol == "tools" else whole(PLAN)
    model_server.handler = lambda request: plan if request.is_planner else whole("K2.")
    graph = create_llm_compiler(TOOLS, model=chat_model, planner_protocol=protocol)
    messages = (await graph.ainvoke({"messages": "Question?"}))["messages"]
    assert (made(messages), messages[-1].text) == (["search entry of K2"], "K2.")


@pytest.mark.parametrize(
    "error",
    [
        {"object": "error", "message": "out of memory", "code": 500},
        {"message": "out of memory", "status": 500},
        {"detail": "out of memory"},
        {"error": {"message": "out of memory"}},
        {"error": "out of memory"},
    ],
)
@pytest.mark.parametrize("is_streamed", [True, False])
async def test_an_error_in_a_response_is_told(
    error: dict[str, Any], is_streamed: bool, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    body = json.dumps(error)
    model_server.script(Reply(["It", Raw(body), End()]) if is_streamed else Body(body))
    model = for_any_server(chat_model)
    with pytest.raises((ModelError, APIError), match="out of memory"):
        _ = [piece async for piece in model.astream("?")] if is_streamed else await model.ainvoke("?")


@pytest.mark.parametrize(
    "nothing",
    [
        Body(""),
        Body("", media_type="text/event-stream"),
        Body("<html>", media_type="text/html"),
        Body("{}"),
        Body("null"),
    ],
)
async def test_of_a_server_that_answers_with_nothing_it_is_said_what_to_look_at(
    nothing: Answer, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.handler = lambda _: nothing
    with pytest.raises(ModelError, match=r"answered with nothing that is a chat completion\. Is OPENAI_BASE_URL right"):
        await create_llm_compiler(TOOLS, model=chat_model).ainvoke({"messages": "Question?"})


async def test_a_model_that_says_nothing_leaves_the_results_for_an_answer(ask: Any) -> None:
    assert "entry of K2" in (await ask(PLAN, whole(""), whole(None)))[-1].text


class NoChoice(ChatOpenAI):
    """As ChatHuggingFace, ChatZhipuAI and ChatBedrockConverse are with some models."""

    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **options: Any) -> Any:
        if tool_choice and len(tools) > 1:
            raise ValueError("With tool_choice there is one tool.")
        return super().bind_tools(tools, **options)


class NoSuchArgument(ChatOpenAI):
    def bind_tools(self, tools: Any) -> Any:  # type: ignore[override]
        return super().bind_tools(tools)


class OtherForm(ChatOpenAI):
    """As ChatCohere is."""

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        if not all("title" in tool for tool in tools):
            raise ValueError("Unsupported dict type.")
        return super().bind_tools(tools, **options)


@pytest.mark.parametrize("kind", [NoChoice, NoSuchArgument, OtherForm])
async def test_tools_are_bound_to_a_client_that_takes_them_in_another_way(
    kind: type[ChatOpenAI], model_server: ModelServer
) -> None:
    model = kind(base_url=model_server.base_url, api_key=SecretStr("x"), model="m")
    model_server.script(
        planner=[REPLY, "2. join()"], joiner=[Reply(tool_calls=[("replan", {"feedback": "K3"})]), "K2."]
    )
    messages = (await create_llm_compiler(TOOLS, model=model, planner_protocol="tools").ainvoke({"messages": "?"}))[
        "messages"
    ]
    assert (made(messages), messages[-1].text) == (["search entry of K2"], "K2.")
    model_server.script(planner=[PLAN], joiner=[Reply(tool_calls=[("Height", {"metres": 8611})])])
    result = await create_llm_compiler(TOOLS, model=model, response_format=Height).ainvoke({"messages": "?"})
    assert result["structured_response"] == Height(metres=8611)


def mistrals() -> Exception:
    request = httpx.Request("POST", "http://server")
    return httpx.HTTPStatusError("no tools", request=request, response=httpx.Response(400, request=request))


def amazons() -> Exception:
    error = RuntimeError("no tools")
    error.response = {"Error": {"Code": "ValidationException"}, "ResponseMetadata": {"HTTPStatusCode": 400}}  # type: ignore[attr-defined]
    return error


def googles() -> Exception:
    error, cause = RuntimeError("400 no tools"), RuntimeError("no tools")
    cause.code = 400  # type: ignore[attr-defined]
    error.__cause__ = cause
    return error


def nvidias() -> Exception:
    return Exception("[400] no tools\n{'status': 400}")


@pytest.mark.parametrize("refusal", [mistrals, amazons, googles, nvidias])
async def test_a_refusal_is_known_by_its_status_wherever_the_client_has_it(
    refusal: Callable[[], Exception], model_server: ModelServer
) -> None:
    class Client(ChatOpenAI):
        async def _agenerate(self, *args: Any, **options: Any) -> Any:
            if "tools" in options:
                raise refusal()
            return await super()._agenerate(*args, **options)

    model_server.script(planner=[PLAN], joiner=["Thought: known\nAction: Finish(K2.)"])
    model = Client(base_url=model_server.base_url, api_key=SecretStr("x"), model="m")
    assert (await create_llm_compiler(TOOLS, model=model).ainvoke({"messages": "?"}))["messages"][-1].text == "K2."


class Scripted(BaseChatModel):
    """A client of another server, with what it makes of the responses."""

    said: list[AIMessage]

    @property
    def _llm_type(self) -> str:
        return "other"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.said.pop(0))])


@pytest.mark.parametrize("form", [None, Height])
async def test_replies_that_all_have_one_id_are_messages_of_their_own(form: type[BaseModel] | None) -> None:
    answer = '{"metres":8611}'
    said = [AIMessage(text, id="same") for text in (PLAN, answer, '3. search("K3")\n4. join()', answer)]
    graph = create_llm_compiler(TOOLS, model=Scripted(said=said), checkpointer=InMemorySaver(), response_format=form)
    config: Any = {"configurable": {"thread_id": "1"}}
    for question in ("One?", "Two?"):
        messages = (await graph.ainvoke({"messages": question}, config))["messages"]
    assert [message.text for message in messages] == [
        *("One?", "", "entry of K2", answer),
        *("Two?", "", "entry of K3", answer),
    ]


class Delegating(BaseChatModel):
    """A client that asks another model, as one that falls back to others does."""

    other: BaseChatModel

    @property
    def _llm_type(self) -> str:
        return "delegating"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        raise NotImplementedError

    async def _agenerate(self, messages: Any, *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=await self.other.ainvoke(messages))])

    async def _astream(self, messages: Any, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in self.other.astream(messages):
            yield ChatGenerationChunk(message=cast("AIMessageChunk", chunk))


async def test_what_a_client_asks_of_other_models_is_not_shown_beside_its_answer(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=[PLAN, PLAN], joiner=["It is K2.", "It is K2."])
    graph = create_llm_compiler(TOOLS, model=Delegating(other=chat_model))
    for _ in range(2):  # the first answer is read whole, and the second as it comes
        stream = graph.astream({"messages": "Question?"}, stream_mode="messages")
        shown = [str(message.text) async for message, _ in stream if isinstance(message, AIMessage)]
        assert "".join(shown) == "It is K2."


async def test_another_client_reads_the_responses_of_its_server_itself(model_server: ModelServer) -> None:
    class Other(Scripted):
        def _generate(self, *_: Any, **__: Any) -> ChatResult:
            return self._create_chat_result(said.pop(), model="m")

        def _create_chat_result(self, response: str, *, model: str) -> ChatResult:
            return ChatResult(generations=[ChatGeneration(message=AIMessage(response, name=model))])

    said = ["K2.", PLAN]
    messages = (await create_llm_compiler(TOOLS, model=Other(said=[])).ainvoke({"messages": "?"}))["messages"]
    assert (made(messages), messages[-1].text) == (["search entry of K2"], "K2.")


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"finish_reason": "content_filter"}, " (content_filter)"),
        ({"finish_reason": "MAX_TOKENS"}, " (MAX_TOKENS)"),
        ({"stop_reason": "refusal"}, " (refusal)"),
        ({"stopReason": "guardrail_intervened"}, " (guardrail_intervened)"),
        ({"done_reason": "length"}, " (length)"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, " (max_output_tokens)"),
        ({"finish_reason": "STOP"}, ""),
        ({"stop_reason": "end_turn"}, ""),
        ({"incomplete_details": None}, ""),
    ],
)
async def test_of_a_model_that_says_nothing_it_is_told_why(metadata: dict[str, Any], why: str) -> None:
    model = Scripted(said=[AIMessage(PLAN), *(AIMessage("", response_metadata=metadata) for _ in range(2))])
    messages = (await create_llm_compiler(TOOLS, model=model).ainvoke({"messages": "?"}))["messages"]
    assert messages[-1].text.startswith(f"The model gave no answer{why}. What was found:\n1. search")


@pytest.mark.parametrize("responses", [True, False])
async def test_a_refusal_is_what_the_model_says(responses: bool, model_server: ModelServer) -> None:
    refusal = "I can't help."
    item = {"id": "1", "type": "message", "role": "assistant", "status": "completed"}
    item["content"] = [{"type": "refusal", "refusal": refusal}]  # type: ignore[assignment]
    body = {"id": "1", "object": "response", "created_at": 1, "status": "completed", "model": "m", "output": [item]}
    body |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    done = {"type": "response.refusal.done", "item_id": "1", "output_index": 0, "content_index": 0}
    chat = (pieces({"refusal": refusal[:5]}, {"refusal": refusal[5:]}), whole(None, refusal=refusal))
    event = Reply([Raw(json.dumps({**done, "sequence_number": 1, "refusal": refusal}))])
    model_server.script(*((event, Body(json.dumps(body))) if responses else chat))
    model = for_any_server(
        ChatOpenAI(base_url=model_server.base_url, api_key=SecretStr("x"), model="m", use_responses_api=responses)
    )
    assert "".join([str(piece.text) async for piece in model.astream("?")]) == refusal
    assert (await model.ainvoke("?")).text == refusal


# --- thoughts


@pytest.mark.parametrize(
    "form",
    [
        "<think>{}</think>\n",
        "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>",
        "So: {}\n</think>\n\n",
    ],
)
@pytest.mark.parametrize("split", [True, False])
async def test_thoughts_are_neither_carried_out_nor_shown(
    form: str, split: bool, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    thought = form.replace("{}", THOUGHT)
    planner = Reply(thought + PLAN if split else [thought + PLAN], split=split)
    joiner = Reply([form.replace("{}", 'Action: Finish("thought")') + "It is K2."], split=False)
    model_server.script(planner=[planner], joiner=[joiner])
    shown, messages = [], []
    stream = create_llm_compiler(TOOLS, model=chat_model).astream(
        {"messages": "Question?"}, stream_mode=["messages", "values"]
    )
    async for mode, chunk in stream:
        if mode == "messages" and isinstance(chunk[0], RemoveMessage):
            shown.clear()  # of a plan that turned out to be a thought
        elif mode == "messages" and isinstance(chunk[0], AIMessage):
            shown.append(str(chunk[0].text))
        elif mode == "values":
            messages = chunk["messages"]
    assert made(messages) == ["search entry of K2"]
    assert messages[-1].text == "".join(shown) == "It is K2."


async def test_a_thought_that_never_ends_is_no_answer(ask: Any) -> None:
    messages = await ask(f"<think>{THOUGHT}", "<think>Thought of.", "K2.")
    assert [m.text for m in messages] == ["Question?", "K2."]


@pytest.mark.parametrize("thought", [f"<think>{THOUGHT}</think>", f"So: {THOUGHT}\n</think>\n\n"])
async def test_thoughts_before_an_answer_of_a_planner_by_calls_are_left_out(thought: str, ask: Any) -> None:
    messages = await ask(f"{thought}Hi!", protocol="tools")
    assert [m.text for m in messages] == ["Question?", "Hi!"]


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
async def test_thoughts_beside_the_text_are_no_part_of_it(key: str, ask: Any) -> None:
    planner = pieces({key: THOUGHT}, {"content": PLAN})
    messages = await ask(planner, whole("K2.", **{key: "Thought of."}))
    assert (made(messages), messages[-1].text) == (["search entry of K2"], "K2.")


async def test_thoughts_in_blocks_are_no_part_of_the_text(ask: Any) -> None:
    planner = pieces(
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]}]}, {"content": PLAN}
    )
    assert made(await ask(planner, "K2.")) == ["search entry of K2"]


@pytest.mark.parametrize("text", ['1. search("<think> in </think>")\n2. join()', "1. search('</think>')\n2. join()"])
async def test_a_mark_in_an_argument_is_text(text: str, ask: Any) -> None:
    assert "think>" in made(await ask(text, "K2."))[0]


async def test_a_call_with_side_effects_waits_until_the_plan_is_no_thought(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    sent, gate = [], Gate()

    @tool(extras=None)
    async def send(text: str) -> str:
        """send"""
        sent.append(text)
        return text

    send.metadata = {"side_effects": True}
    plan = ['1. search("a")\n2. send("thought")\n3. join()', gate, '</think>1. send("right")\n2. join()']
    model_server.script(planner=[Reply(plan)], joiner=["Sent."])
    graph = create_llm_compiler([search, send], model=chat_model)
    async for event in graph.astream({"messages": "Question?"}, stream_mode="custom"):
        if event["type"] == "task_finished":
            gate.open()
    assert sent == ["right"]


@pytest.mark.parametrize(
    ("method", "reply"),
    [
        ("json_schema", '{"metres": 8611}'),
        ("json_mode", '{"metres": 8611}'),
        ("function_calling", Reply(tool_calls=[("Height", {"metres": 8611})])),
    ],
)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")  # of LangChain's streams of objects
async def test_tools_can_ask_the_model_for_objects(
    method: Any, reply: Answer, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(reply, reply, reply)
    model = for_any_server(chat_model).with_structured_output(Height, method=method)
    streamed = [piece async for piece in model.astream("?")]
    assert await model.ainvoke("?") == model.invoke("?") == streamed[-1] == Height(metres=8611)


async def test_half_a_character_in_a_question_is_mended(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(planner=["1. join()"], joiner=["Hi!"])
    graph = create_llm_compiler(TOOLS, model=chat_model)
    assert (await graph.ainvoke({"messages": "Hi \ud83d"}))["messages"][-1].text == "Hi!"
    assert model_server.requests[0].user == "Hi \ufffd"
