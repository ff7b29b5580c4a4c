"""The ReAct baselines with the offline model's stand-in."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from agent import PROVIDERS, create_llm_compiler
from graphs import react
from graphs.examples.game_of_24 import graph as game_of_24
from graphs.examples.movie_recommendation import graph as movie_recommendation
from graphs.examples.web_shop import graph as web_shop
from graphs.examples.web_shop.catalogue import all_goals
from graphs.examples.web_shop.reward import find_purchase, reward
from graphs.offline.model import OfflineChatModel
from graphs.react import create_react
from tests.graphs.test_react import ask, calls
from tools import TOOLS

EVEREST = "How much taller is Mount Everest than K2?"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The offline model, at full speed."""
    monkeypatch.setitem(PROVIDERS, "offline", lambda _: OfflineChatModel(delay=0))


async def test_offline_the_plans_calls_are_made_one_after_the_other() -> None:
    messages = await ask(react.graph, EVEREST)
    assert calls(messages) == [["search"], ["search"], ["math"]]
    assert "8,849" in messages[-3].tool_calls[0]["args"]["context"][0]
    assert messages[-1].text == "Mount Everest is 238 metres taller than K2."


async def test_offline_independent_calls_are_made_at_once_where_they_may() -> None:
    messages = await ask(react.parallel, EVEREST)
    assert calls(messages) == [["search", "search"], ["math"]]
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
    messages = await ask(create_react(web_shop.TOOLS, parallel=True), goal.instruction, approve_side_effects=False)
    assert calls(messages) == [["search"], ["click"] * 5, ["buy"]]
    assert reward(goal, find_purchase(messages)) > 0.5


async def test_offline_a_plan_that_can_not_be_carried_out_ends_in_an_answer() -> None:
    """Without the tool that buys, there is nothing more to call."""
    graph = create_react([web_shop.search, web_shop.click], parallel=True)
    messages = await ask(graph, all_goals()[0].instruction)
    assert calls(messages) == [["search"], ["click"] * 5]
    assert "there may be no further plan. Buy P" in messages[-1].text
