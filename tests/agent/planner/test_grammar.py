"""Plans that can't be malformed: the grammar of a planning request, held against a real grammar engine."""

import itertools
import os
import random
import re
from collections.abc import Callable
from enum import Enum
from typing import Any, Literal

import llguidance.numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, StructuredTool
from langchain_openai import ChatOpenAI
from llguidance import LLMatcher, LLTokenizer
from llguidance.gbnf_to_lark import gbnf_to_lark
from pydantic import BaseModel

from agent import create_llm_compiler
from agent.language.parser import PlanParser
from agent.language.plan import Plan
from agent.language.references import find_references
from agent.language.tasks import Call, Element, Join, Task
from agent.models import ModelError
from agent.planner.grammar import plan_grammar, text_of
from agent.tooling.describe import as_tools, signature_of
from agent.tooling.fit import fit
from tests.support.model_server import ChatRequest, HttpError, ModelServer, Reply

TOKENIZER = LLTokenizer("byte")
CLOSING = b'")]},</\nj'
LONGEST = 300
PLANS = int(os.environ.get("RANDOM_PLANS", 0)) or 4


class Size(Enum):
    SMALL = "small"
    LARGE = 'extra "large"'


class Address(BaseModel):
    street: str
    number: int
    floor: int | None = None


def search(query: str) -> str:
    """Looks up."""
    return query


def math(problem: str, context: list[str] | None = None) -> float:
    """Evaluates."""
    return 0.0


def order(item: str, size: Size, to: Address, *, amount: int = 1, express: bool = False) -> str:
    """Orders."""
    return item


def measure(values: list[list[float]], unit: Literal["m", "ft", 3] = "m", notes: dict[str, int] | None = None) -> Any:
    """Measures."""


def anything(value: Any = None, **_: Any) -> Any:
    """Takes anything."""


def now() -> str:
    """Takes nothing."""
    return ""


FOREIGN = StructuredTool(
    name="items.list",
    description="Lists.",
    args_schema={
        "type": "object",
        "properties": {"user-id": {"type": "string"}, "$top": {"type": "integer"}},
        "required": ["user-id"],
    },
    func=lambda **_: "",
)
TOOLS = as_tools([search, math, order, measure, anything, now, FOREIGN])
SIGNATURES = {name: signature_of(tool) for name, tool in TOOLS.items()}
GRAMMAR = plan_grammar(TOOLS.values())
SYNTAXES = {"gbnf": gbnf_to_lark(GRAMMAR.gbnf()), "lark": GRAMMAR.lark()}


def draw(grammar: str, seed: int) -> str:
    """A random text of the grammar: each byte one of those that may follow. A long one is brought to its end."""
    matcher, chance = LLMatcher(TOKENIZER, grammar), random.Random(seed)
    mask = llguidance.numpy.allocate_token_bitmask(1, TOKENIZER.vocab_size)
    text = bytearray()
    while not matcher.is_stopped():
        assert not matcher.is_error(), matcher.get_error()
        llguidance.numpy.fill_next_token_bitmask(matcher, mask, 0)
        possible = [token for token in range(TOKENIZER.vocab_size) if mask[0, token >> 5] >> (token & 31) & 1]
        if len(text) > LONGEST:
            possible = [token for token in possible if token in CLOSING or token > 255] or possible
        token = chance.choice(possible)
        matcher.consume_token(token)
        text += bytes([token]) if token < 256 else b""
    return text.decode()


def accepts(grammar: str, text: str) -> bool:
    matcher = LLMatcher(TOKENIZER, grammar)
    given = text.encode()
    return matcher.try_consume_tokens(list(given)) == len(given) and matcher.is_accepting()


def tasks_of(text: str) -> list[Task]:
    """The tasks of a plan, of which nothing is unread."""
    parser, plan, tasks = PlanParser(SIGNATURES), Plan(SIGNATURES, []), []
    items = [*parser.feed(text), *parser.close()]
    assert isinstance(items[-1], Join), text
    for item in items:
        if isinstance(item, Call | Element):
            tasks += plan.add(item)
    plan_text = text.partition("</think>")[2] if text.startswith("<think>") else text
    calls = re.findall(r"^\d+\. (?!join\()", plan_text, re.MULTILINE)
    assert sum(isinstance(item, Call) for item in items) == len(calls), text
    return tasks


@pytest.mark.parametrize("syntax", SYNTAXES)
@settings(max_examples=settings.default.max_examples // 5)
@given(seed=st.integers(0, 2**32))
def test_whatever_the_grammar_allows_is_a_plan_with_arguments_that_fit(syntax: str, seed: int) -> None:
    text = draw(SYNTAXES[syntax], seed)
    for task in tasks_of(text):
        # What is wrong with a reference, such as a circle, is no matter of form.
        assert not task.error or "$" in text, (task, text)
        if task.is_call and not task.error and task.over is None and not any(find_references(task.arguments)):
            fit(TOOLS[task.tool], task.arguments)


def test_plans_of_large_models_are_accepted() -> None:
    for text in (
        '1. search("Mount Everest")\n2. search(query="K2")\n3. math("$1 - $2", context=["$1", $2])\n4. join()',
        '1. search.map(["Nile", "Amazon"])\n2. math.map(["a", "b"], context=$1)\n3. join("It is $2[0] \\"m\\".")',
        'Thought: two of them.\n3. order("lamp", "small", {"street": "Weg", "number": 3}, amount=2)\n4. join()',
        "<think>No call < needed.</think>\n1. join()",
        '1. order(item="x", size="extra \\"large\\"", to=$1.address)\n2. join()',
        '1. items.list("a", "$top"=5)\n2. now()\n3. anything({"a": [1.5, None, True]})\n4. join()',
        "1. measure([[1, 2.5], [-3]], 3)\n2. join()",
    ):
        for syntax, grammar in SYNTAXES.items():
            assert accepts(grammar, text), (syntax, text)


@pytest.mark.parametrize(
    "text",
    [
        "The Nile is longer.",
        '1. find("K2")\n2. join()',
        '1. search("K2", limit=3)\n2. join()',
        "1. search(3)\n2. join()",
        "1. math(context=[])\n2. join()",
        '1. order("lamp", "medium", {"street": "Weg", "number": 3})\n2. join()',
        '1. search("K2")',
    ],
)
def test_what_is_no_plan_is_not_accepted(text: str) -> None:
    assert not any(accepts(grammar, text) for grammar in SYNTAXES.values())


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_plans_texts_and_lists_have_an_end(syntax: str) -> None:
    def line(argument: str) -> str:
        return f"1. {argument}\n2. join()"

    grammar = SYNTAXES[syntax]
    for most, longer in (
        (line(f'search("{"x" * 2000}")'), line(f'search("{"x" * 2001}")')),
        (line(f"search.map([{', '.join(['$1'] * 100)}])"), line(f"search.map([{', '.join(['$1'] * 101)}])")),
        ("1. now()\n" * 100 + "2. join()", "1. now()\n" * 101 + "2. join()"),
    ):
        assert accepts(grammar, most)
        assert not accepts(grammar, longer)


def many_tools() -> list[BaseTool]:
    functions = []
    for number in range(50):
        scope: dict[str, Any] = {}
        exec(f"def tool_{number}(a: str, b: int, c: list[str] = [], d: float = 1.0, e: bool = False): 'Works.'", scope)
        functions.append(scope[f"tool_{number}"])
    return list(as_tools(functions).values())


def test_a_grammar_of_fifty_tools_is_small() -> None:
    tools = many_tools()
    grammar = plan_grammar(tools)
    assert accepts(gbnf_to_lark(grammar.gbnf()), '1. tool_49("x", 3, e=True)\n2. join()')
    assert len(grammar.gbnf()) < 60_000


# --- over HTTP


async def ask(model_server: ModelServer, model: ChatOpenAI, dialect: str) -> ChatRequest:
    """What the planner's server was sent."""
    model_server.script(planner=[Reply('1. search("K2")\n2. join("It is $1.")')])
    graph = create_llm_compiler([search], model=model, planner_protocol="grammar")
    result = await graph.ainvoke({"messages": "What is K2?"}, context={"grammar_dialect": dialect})
    assert result["messages"][-1].text == "It is K2."
    return model_server.exchanges[0].request


@pytest.mark.parametrize(
    ("dialect", "path"),
    [("llama.cpp", ["grammar"]), ("vllm", ["structured_outputs", "grammar"]), ("sglang", ["ebnf"])],
)
async def test_each_server_is_sent_the_grammar_where_it_looks_for_it(
    model_server: ModelServer, make_chat_model: Callable[..., ChatOpenAI], dialect: str, path: list[str]
) -> None:
    found: Any = (await ask(model_server, make_chat_model(), dialect)).body
    for name in path:
        found = found[name]
    assert accepts(gbnf_to_lark(found), '7. search.map(["K2", $1])\n8. join()')


async def test_a_plan_has_half_as_many_lines_as_it_may_have_tasks_for_maps_have_several(
    model_server: ModelServer, make_chat_model: Callable[..., ChatOpenAI]
) -> None:
    model_server.script(planner=["1. join()"], joiner=["Hi."])
    graph = create_llm_compiler([search], model=make_chat_model(), planner_protocol="grammar")
    await graph.ainvoke({"messages": "Hi!"}, context={"max_tasks": 2})
    grammar = gbnf_to_lark(model_server.requests[0].body["grammar"])
    assert accepts(grammar, '1. search("a")\n2. join()')
    assert not accepts(grammar, '1. search("a")\n2. search("b")\n3. join()')


@pytest.mark.parametrize("status", [400, 422])
async def test_where_a_server_takes_no_grammar_it_is_said_what_to_set(
    status: int, model_server: ModelServer, make_chat_model: Callable[..., ChatOpenAI]
) -> None:
    model_server.script(planner=[HttpError(status, "Unrecognized request argument supplied: ebnf")])
    graph = create_llm_compiler([search], model=make_chat_model(), planner_protocol="grammar")
    with pytest.raises(
        ModelError, match=r"the form that sglang takes\. Set grammar_dialect .* or planner_protocol to .*: ebnf"
    ):
        await graph.ainvoke({"messages": "Hi!"}, context={"grammar_dialect": "sglang"})


async def test_plans_of_a_server_that_enforces_the_grammar_are_read_whole(
    model_server: ModelServer, make_chat_model: Callable[..., ChatOpenAI]
) -> None:
    seeds = itertools.count()

    def reply(request: ChatRequest) -> Reply:
        if not request.is_planner:
            return Reply("Done.")
        return Reply(draw(gbnf_to_lark(request.body["grammar"]), next(seeds)))

    model_server.handler = reply
    graph = create_llm_compiler(list(TOOLS.values()), model=make_chat_model(), planner_protocol="grammar")
    for _ in range(PLANS):
        events = graph.astream({"messages": "Go."}, context={"max_replans": 0}, stream_mode="custom")
        failed = [event async for event in events if event["type"] == "task_failed"]
        # What is wrong with a reference, such as a circle, is no matter of form.
        assert all("$" in str(event["arguments"]) for event in failed), failed


def test_openais_custom_tool_takes_the_plan(make_chat_model: Callable[..., ChatOpenAI]) -> None:
    bound = plan_grammar([TOOLS["search"]]).bind(make_chat_model(), "openai")
    asked = bound.bound._get_request_payload("Go.", **bound.kwargs)
    (tool,) = asked["tools"]
    assert accepts(tool["format"]["definition"], '1. search("K2")\n2. join()')
    call = {"name": "plan", "args": {"__arg1": "1. join()"}, "id": "1"}
    assert text_of(AIMessage("", tool_calls=[call])) == "1. join()"


def test_a_model_of_another_protocol_is_refused() -> None:
    with pytest.raises(ModelError, match="needs a model of OpenAI's protocol, and FakeListChatModel is none"):
        plan_grammar([]).bind(FakeListChatModel(responses=[]), "llama.cpp")
