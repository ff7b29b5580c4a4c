"""The Game of 24: its arithmetic, its tools with a scripted model, and the exact rules that stand in offline."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import ToolException
from langchain_openai import ChatOpenAI

from graphs.examples.game_of_24.arithmetic import combine, leads_to_target, steps_from, take_step, value_of
from graphs.examples.game_of_24.graph import state_evaluator, thought_proposer, top_k_select
from graphs.offline.model import OfflineChatModel
from tests.support.model_server import ModelServer

OFFLINE: RunnableConfig = {"configurable": {"model": OfflineChatModel(delay=0)}}
NUMBERS = st.lists(st.integers(1, 13), min_size=2, max_size=4)


def hosted(model: ChatOpenAI) -> RunnableConfig:
    return {"configurable": {"model": model}}


# --- arithmetic


@pytest.mark.parametrize(
    ("expression", "value"),
    [("7", 7), ("8 / (3 - (8 / 3))", 24), ("2 / 3", Fraction(2, 3)), ("-(4 - 6)", 2), ("(13 - 9) * (10 - 4)", 24)],
)
def test_expressions_are_worth_exactly(expression: str, value: Fraction) -> None:
    assert value_of(expression) == value


@pytest.mark.parametrize("text", ["", "2 +", "1 / 0", "2 ** 9", "2.5", "True", "exec('')", "x", "(" * 300, "9" * 201])
def test_what_is_no_such_expression_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an expression of whole numbers"):
        value_of(text)


@given(NUMBERS)
def test_a_step_leaves_one_less_and_is_worth_what_it_says(numbers: list[int]) -> None:
    state = [str(number) for number in numbers]
    for first, sign, second in steps_from(state):
        after = take_step(state, first, sign, second)
        assert len(after) == len(state) - 1
        assert value_of(after[0]) == value_of(combine(state[first], sign, state[second])) >= 0


@given(NUMBERS)
def test_a_state_leads_to_24_just_when_one_of_its_steps_does(numbers: list[int]) -> None:
    state = [str(number) for number in numbers]
    assert leads_to_target(state) == any(leads_to_target(take_step(state, *step)) for step in steps_from(state))


def test_of_the_games_with_four_numbers_up_to_10_it_is_known_how_many_can_be_won() -> None:
    cards = range(1, 11)
    games = [(a, b, c, d) for a in cards for b in cards[a - 1 :] for c in cards[b - 1 :] for d in cards[c - 1 :]]
    assert len(games) == 715
    assert sum(leads_to_target([str(card) for card in game]) for game in games) == 566


# --- the tools, with a model's words


async def test_steps_are_taken_as_far_as_they_can_be(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(
        "Possible steps:\n10 - 4 = 6 (left: 6 9 13)\n1. 13 − 9\n1/0 + 4\n- 4 × 9 = 35\n9 - 4\n9 - 4\n7 + 4\n9 + 9\nEnd."
    )
    states = await thought_proposer.ainvoke({"state": ["4", "9", "10", "13"]}, hosted(chat_model))
    assert states == [
        ["10 - 4", "9", "13"],
        ["13 - 9", "4", "10"],
        ["4 * 9", "10", "13"],
        ["9 - 4", "10", "13"],
    ]
    assert model_server.requests[0].user == "4 9 10 13"


async def test_a_step_with_a_fraction(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script("<think>8 / 3 is left</think>\n3 - 8/3\n8/3")
    states = await thought_proposer.ainvoke({"state": ["8 / 3", "3", "8"]}, hosted(chat_model))
    assert states == [["3 - (8 / 3)", "8"], ["8 / 3", "8 / 3"]]
    assert model_server.requests[0].user == "8/3 3 8"


@pytest.mark.parametrize("reply", ["I don't know.", "5 + 5", "4 / 0"])
async def test_a_proposal_that_can_not_be_taken_is_an_error(
    model_server: ModelServer, chat_model: ChatOpenAI, reply: str
) -> None:
    model_server.script(reply)
    with pytest.raises(ToolException, match="no step that can be taken"):
        await thought_proposer.ainvoke({"state": ["4", "0"]}, hosted(chat_model))


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (["24"], "nothing to combine"),
        ([], "1 to 5 numbers, not 0"),
        (["1"] * 6, "1 to 5 numbers, not 6"),
        (["1", "two"], "'two' is not an expression"),
    ],
)
async def test_a_state_that_is_none_is_refused_before_the_model_is_asked(state: list[str], why: str) -> None:
    with pytest.raises(ToolException, match=why):
        await thought_proposer.ainvoke({"state": state}, OFFLINE)
    if state != ["24"]:
        with pytest.raises(ToolException, match=why):
            await state_evaluator.ainvoke({"states": [["1", "2"], state]}, OFFLINE)


async def test_states_are_judged_by_the_model_and_ends_by_their_value(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script("1. sure\n2) 4 * 6 is more: Impossible\n9. sure")
    states = [["10 - 4", "4"], ["4 * 6"], ["1", "2"], ["4 + 6"], ["12", "2"]]
    judged = await state_evaluator.ainvoke({"states": states}, hosted(chat_model))
    assert [one["verdict"] for one in judged] == ["sure", "sure", "impossible", "impossible", "likely"]
    assert [one["state"] for one in judged] == states
    assert model_server.requests[0].user == "1. 6 4\n2. 1 2\n3. 12 2"


async def test_ends_need_no_model() -> None:
    judged = await state_evaluator.ainvoke({"states": [["4 * 6"], ["5 * 5"]]})
    assert [one["verdict"] for one in judged] == ["sure", "impossible"]


async def test_without_a_model_the_tools_say_so() -> None:
    with pytest.raises(ToolException, match="needs a chat model"):
        await thought_proposer.ainvoke({"state": ["1", "2"]})


def judged(*pairs: tuple[str, list[str]]) -> list[dict[str, Any]]:
    return [{"state": state, "verdict": verdict} for verdict, state in pairs]


async def test_the_best_of_several_evaluators_are_selected() -> None:
    first = judged(("likely", ["1", "2"]), ("impossible", ["3", "4"]))
    second = judged(("sure", ["5", "6"]), ("likely", ["7", "8"]))
    selected = await top_k_select.ainvoke({"judged": [first, second], "k": 2})
    assert selected == {"solution": None, "states": [["5", "6"], ["1", "2"]]}


async def test_a_selected_end_is_the_solution() -> None:
    selected = await top_k_select.ainvoke({"judged": [judged(("likely", ["1", "2"]), ("sure", ["4 * 6"]))]})
    assert selected["solution"] == "4 * 6 = 24"


# --- offline


@given(NUMBERS)
def test_the_offline_judge_is_exact(numbers: list[int]) -> None:
    model = OfflineChatModel(delay=0)
    text = " ".join(map(str, numbers))
    said = model.invoke([("system", "Game of 24: judge states."), ("human", f"1. {text}\n2. 24")]).text
    assert said == f"1. {'sure' if leads_to_target(text.split()) else 'impossible'}\n2. sure"


async def test_the_offline_proposer_gives_every_step() -> None:
    states = await thought_proposer.ainvoke({"state": ["4", "9", "10", "13"]}, OFFLINE)
    assert len(states) == len(list(steps_from(["4", "9", "10", "13"])))
