"""The ReAct baselines: with the real client of a scripted server, and with the offline model's stand-in."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import ValidationError

from agent import PROVIDERS, create_llm_compiler
from graphs import react
from graphs.examples.game_of_24 import graph as game_of_24
from graphs.examples.movie_recommendation import graph as movie_recommendation
from graphs.examples.web_shop import graph as web_shop
from graphs.examples.web_shop.catalogue import all_goals
from graphs.examples.web_shop.reward import find_purchase, reward
from graphs.offline.model import OfflineChatModel
from graphs.react import create_react
from tests.support.model_server import ModelServer, Reply
from tools import TOOLS

EVEREST = "How much taller is Mount Everest than K2?"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The offline model, at full speed."""
    monkeypatch.setitem(PROVIDERS, "offline", lambda _: OfflineChatModel(delay=0))


def lookup(thing: str) -> str:
    """Looks a thing up."""
    if thing == "nothing":
        raise ValueError("There is no entry.")
    return f"entry of {thing}"


def call(*things: str) -> Reply:
    return Reply(tool_calls=[("lookup", {"thing": thing}) for thing in things])


async def ask(graph: Any, question: str, config: RunnableConfig | None = None, **context: Any) -> list[Any]:
    return list((await graph.ainvoke({"messages": question}, config, context=context))["messages"])


def calls(messages: Sequence[Any]) -> list[list[str]]:
    """The tools that each message of the model calls."""
    found = [message.tool_calls for message in messages if isinstance(message, AIMessage) and message.tool_calls]
    return [[call["name"] for call in calls] for calls in found]


# --- with a model


async def test_the_model_calls_a_tool_and_sees_its_result(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(call("K2"), call("Fuji"), "Both are mountains.")
    messages = await ask(create_react([lookup], model=chat_model), "What are K2 and Fuji?")
    assert [message.type for message in messages] == ["human", "ai", "tool", "ai", "tool", "ai"]
    assert [message.text for message in messages[2::2]] == ["entry of K2", "entry of Fuji"]
    assert messages[-1].text == "Both are mountains."
    first, _, last = model_server.requests
    assert first.system.startswith("Answer the user's question.")
    assert first.tool_names == ["lookup"]
    assert [message["role"] for message in last.messages[-2:]] == ["assistant", "tool"]


@pytest.mark.parametrize("parallel", [False, True])
async def test_the_model_is_told_whether_it_may_call_several_tools_at_once(
    model_server: ModelServer, chat_model: ChatOpenAI, parallel: bool
) -> None:
    model_server.script(call("K2", "Fuji"), "Done.")
    messages = await ask(create_react([lookup], model=chat_model, parallel=parallel), "What are K2 and Fuji?")
    assert model_server.requests[0].body["parallel_tool_calls"] is parallel
    assert calls(messages) == [["lookup", "lookup"] if parallel else ["lookup"]]
    assert len(messages) == (5 if parallel else 4)


async def test_a_provider_that_can_not_be_told_is_not() -> None:
    class Model(OfflineChatModel):
        def bind_tools(self, tools: Sequence[Any]) -> Any:
            return self.bind(tools=tools)

    assert react.bind(Model(), {}, parallel=True)


async def test_an_error_is_the_result_of_its_call(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(call("nothing"), Reply(tool_calls=[("lookup", {"word": "K2"})]), "I can't tell.")
    messages = await ask(create_react([lookup], model=chat_model), "What is nothing?")
    failed = [message for message in messages if isinstance(message, ToolMessage)]
    assert [message.status for message in failed] == ["error", "error"]
    assert failed[0].text == "ValueError: There is no entry."
    assert "thing" in failed[1].text


async def test_after_the_last_step_the_model_answers_with_what_there_is(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(call("a"), call("b"), joiner=["As far as I know, a and b."])
    messages = await ask(create_react([lookup], model=chat_model, max_steps=2), "What is there?")
    assert calls(messages) == [["lookup"], ["lookup"]]
    assert messages[-1].text == "As far as I know, a and b."
    assert model_server.requests[-1].tools == []
    assert "entry of b" in model_server.requests[-1].user


async def test_the_recursion_limit_ends_in_an_answer_too(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.handler = lambda request: "Enough." if request.is_joiner else call("more")
    messages = await ask(create_react([lookup], model=chat_model), "What is there?", {"recursion_limit": 8})
    assert messages[-1].text == "Enough."
    assert len(calls(messages)) == 3


async def test_steps_are_counted_for_each_question(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    graph = create_react([lookup], model=chat_model, max_steps=1, checkpointer=InMemorySaver())
    thread: RunnableConfig = {"configurable": {"thread_id": "1"}}
    model_server.script(call("a"), call("b"), joiner=["First.", "Second."])
    await ask(graph, "One?", thread)
    messages = await ask(graph, "Two?", thread)
    assert calls(messages) == [["lookup"], ["lookup"]]
    assert messages[-1].text == "Second."


async def test_tools_find_the_models_of_the_run(
    model_server: ModelServer, make_chat_model: Callable[..., ChatOpenAI], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", model_server.base_url)
    problem = Reply(tool_calls=[("math", {"problem": "twice the height", "context": ["It is 12 m high."]})])
    model_server.script(problem, "24 metres.", math=["2 * 12"])
    messages = await ask(react.graph, "How high?", model="openai:other-model")
    assert [message.text for message in messages if message.type == "tool"] == ["24"]
    assert {request.model for request in model_server.requests} == {"other-model"}


async def test_a_context_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match="max_replans"):
        await ask(react.graph, "Hello", max_replans="many")


def test_what_is_no_tool_is_refused() -> None:
    with pytest.raises(TypeError, match="neither a LangChain tool nor a function"):
        create_react([3])  # type: ignore[list-item]


# --- offline


async def test_offline_the_plans_calls_are_made_one_after_the_other() -> None:
    messages = await ask(react.graph, EVEREST)
    assert calls(messages) == [["search"], ["search"], ["math"]]
    assert "8,849" in messages[-3].tool_calls[0]["args"]["context"][0]
    assert messages[-1].text == "Mount Everest is 238 metres taller than K2."


async def test_offline_independent_calls_are_made_at_once_where_they_may() -> None:
    messages = await ask(react.parallel, EVEREST)
    assert calls(messages) == [["search", "search"], ["math"]]
    assert messages[-1].text == "Mount Everest is 238 metres taller than K2."


def test_the_baseline_runs_from_sync_code() -> None:
    messages = react.graph.invoke({"messages": EVEREST})["messages"]
    assert messages[-1].text == "Mount Everest is 238 metres taller than K2."


async def test_the_plain_offline_model_can_be_given() -> None:
    graph = create_react(TOOLS, model=OfflineChatModel(delay=0), parallel=True)
    assert (await ask(graph, EVEREST))[-1].text == "Mount Everest is 238 metres taller than K2."


async def test_offline_usage_is_counted() -> None:
    messages = await ask(react.graph, EVEREST)
    replies = [message for message in messages if isinstance(message, AIMessage)]
    assert all(reply.usage_metadata and reply.usage_metadata["output_tokens"] > 0 for reply in replies)


@pytest.mark.parametrize("parallel", [False, True])
async def test_offline_a_failure_is_told(parallel: bool) -> None:
    messages = await ask(create_react(TOOLS, parallel=parallel), "How much taller is Mount Zorbo than K2?")
    assert [message.status for message in messages if message.type == "tool"] == ["error", "success"]
    assert 'search("Mount Zorbo") failed' in messages[-1].text


async def test_offline_a_second_question_has_results_of_its_own() -> None:
    graph = create_react(TOOLS, parallel=True, checkpointer=InMemorySaver())
    thread: RunnableConfig = {"configurable": {"thread_id": "1"}}
    await ask(graph, EVEREST, thread)
    messages = await ask(graph, "How much taller is K2 than Mount Fuji?", thread)
    assert calls(messages)[2:] == [["search", "search"], ["math"]]
    assert "K2 is 4835 metres taller than Mount Fuji" in messages[-1].text


@pytest.mark.parametrize(
    ("tools", "question"),
    [
        (TOOLS, EVEREST),
        (movie_recommendation.TOOLS, "Find a movie similar to Alien, Aliens\nOptions:\nSabrina\nTerminator"),
        (game_of_24.TOOLS, "Make 24 from 3, 3, 8 and 8."),
        (game_of_24.TOOLS, "Make 24 from 1, 1, 1 and 1."),
    ],
)
async def test_offline_all_agents_answer_the_same(tools: Any, question: str) -> None:
    graph = create_llm_compiler(tools)
    answers = {
        (await ask(one, question))[-1].text for one in (graph, create_react(tools), create_react(tools, parallel=True))
    }
    assert len(answers) == 1


async def test_offline_the_shopper_replans() -> None:
    goal = all_goals()[0]
    messages = await ask(create_react(web_shop.TOOLS, parallel=True), goal.instruction)
    assert calls(messages) == [["search"], ["click"] * 5, ["buy"]]
    assert reward(goal, find_purchase(messages)) > 0.5


async def test_offline_a_plan_that_can_not_be_carried_out_ends_in_an_answer() -> None:
    """Without the tool that buys, there is nothing more to call."""
    graph = create_react([web_shop.search, web_shop.click], parallel=True)
    messages = await ask(graph, all_goals()[0].instruction)
    assert calls(messages) == [["search"], ["click"] * 5]
    assert "there may be no further plan. Buy P" in messages[-1].text
