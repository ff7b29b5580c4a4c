"""The Game of 24 (section 5.3 of the paper): Tree of Thoughts as plans, a level of the tree each.

A plan proposes steps from several states at once, has the new states judged, and keeps the best. The joiner answers
when one of them is 24, and asks for another plan otherwise: what is planned next depends on what was found. Four
numbers take three plans, two of them replans.
"""

import re
from contextlib import suppress
from fractions import Fraction
from itertools import permutations
from typing import Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs
from langchain_core.tools import BaseTool, ToolException, tool
from langgraph.constants import TAG_NOSTREAM
from typing_extensions import TypedDict

from agent import create_llm_compiler
from graphs.examples.game_of_24 import offline  # noqa: F401 — rules for the demo model
from graphs.examples.game_of_24.arithmetic import TARGET, take_step, value_of

PROPOSE = f"""\
Game of {TARGET}: propose steps. A step combines two of the numbers with +, -, * or /, and its result takes their \
place; the last number left is to be {TARGET}.
Reply with the steps that may lead there, at most ten, one a line, such as `10 - 4`, and nothing else."""

JUDGE = f"""\
Game of {TARGET}: judge states. From the numbers of each line, can +, -, * and / make {TARGET}, with each number used \
once?
Reply with a line for each, its number and your judgement: sure, likely or impossible, such as `1. sure`."""

VERDICTS = ("sure", "likely", "impossible")
MAX_NUMBERS = 5
"""Of a state; with more, looking at every game takes minutes."""

SIGNS = str.maketrans("×·÷−–", "**/--")

State = list[str]
"""What is left: expressions, such as `["10 - 4", "9", "13"]`."""


class Judged(TypedDict):
    """A state, and whether it leads to 24."""

    state: State
    verdict: Literal["sure", "likely", "impossible"]


class Selected(TypedDict):
    """The states to go on from, best first."""

    solution: str | None
    states: list[State]


@tool(description="the states that a step from this state may lead to; each step combines two of its numbers")
async def thought_proposer(state: State, config: RunnableConfig) -> list[State]:
    """Have the run's model propose steps, and take those that can be taken.

    Raises:
        ToolException: It is no state, or its end, or the model proposed nothing that can be done.
    """
    numbers = _numbers_of(state)
    if len(numbers) == 1:
        raise ToolException(f"There is nothing to combine in {state}.")
    reply = await _ask(PROPOSE, " ".join(map(str, numbers)), config)
    states = _read_steps(reply, state)
    if not states:
        raise ToolException(f"The model proposed no step that can be taken from {state}: {reply[:200]!r}")
    return states


@tool(description=f"judges whether states lead to {TARGET}")
async def state_evaluator(states: list[State], config: RunnableConfig) -> list[Judged]:
    """Have the run's model judge the states; those with one number left are judged by what it is.

    Raises:
        ToolException: One of them is no state.
    """
    numbers = [_numbers_of(state) for state in states]
    verdicts = {i: "sure" if left == [TARGET] else "impossible" for i, left in enumerate(numbers) if len(left) == 1}
    unknown = [i for i in range(len(states)) if i not in verdicts]
    if unknown:
        lines = [f"{line}. {' '.join(map(str, numbers[i]))}" for line, i in enumerate(unknown, 1)]
        reply = await _ask(JUDGE, "\n".join(lines), config)
        said = re.findall(rf"(?mi)^\W*(\d+)\b.*?\b({'|'.join(VERDICTS)})\b", reply)
        verdicts |= {unknown[int(line) - 1]: verdict.lower() for line, verdict in said if 0 < int(line) <= len(unknown)}
    return [Judged(state=state, verdict=verdicts.get(i, "likely")) for i, state in enumerate(states)]  # type: ignore[typeddict-item]


@tool(description="the k best of judged states: the solution if there is one, else the states to take a step from")
async def top_k_select(judged: list[list[Judged]], k: int = 5) -> Selected:
    """The best of the states of several evaluators; never one that is impossible."""
    possible = [one for several in judged for one in several if one["verdict"] != "impossible"]
    best = sorted(possible, key=lambda one: VERDICTS.index(one["verdict"]))[: max(k, 1)]
    solved = next((one["state"][0] for one in best if len(one["state"]) == 1), None)
    return Selected(solution=f"{solved} = {TARGET}" if solved else None, states=[one["state"] for one in best])


def _numbers_of(state: State) -> list[Fraction]:
    """What the expressions of a state are worth.

    Raises:
        ToolException: Something in it is no expression, or there are none, or too many.
    """
    if not 1 <= len(state) <= MAX_NUMBERS:
        raise ToolException(f"A state has 1 to {MAX_NUMBERS} numbers, not {len(state)}: {state}.")
    try:
        return [value_of(expression) for expression in state]
    except ValueError as error:
        raise ToolException(str(error)) from error


async def _ask(system: str, text: str, config: RunnableConfig) -> str:
    """The reply of the run's model."""
    model = config.get("configurable", {}).get("model")
    if not isinstance(model, BaseChatModel):
        raise ToolException("This tool needs a chat model, and config['configurable']['model'] holds none.")
    quiet = merge_configs(ensure_config(), {"tags": [TAG_NOSTREAM]})
    return str((await model.ainvoke([SystemMessage(system), HumanMessage(text)], quiet)).text)


def _read_steps(reply: str, state: State) -> list[State]:
    """The states after the steps in a reply, a line each; not those with numbers that are not there, or by zero."""
    values = _numbers_of(state)
    number = r"(-?\d+(?:/\d+)?)"
    states: list[State] = []
    for step in re.findall(rf"(?m)^\W*?(?:\d+[.)] )?{number} *([-+*/]) *{number}", reply.translate(SIGNS)):
        with suppress(ValueError, ZeroDivisionError, StopIteration):
            one, sign, other = Fraction(step[0]), step[1], Fraction(step[2])
            pairs = permutations(range(len(state)), 2)
            first, second = next(pair for pair in pairs if (values[pair[0]], values[pair[1]]) == (one, other))
            after = take_step(state, first, sign, second)
            value_of(after[0])
            if after not in states:
                states.append(after)
    return states


TOOLS: list[BaseTool] = [thought_proposer, state_evaluator, top_k_select]

EXAMPLES = """\
Question: Make 24 from 4, 9, 10 and 13.
1. thought_proposer(["4", "9", "10", "13"])
2. state_evaluator($1)
3. top_k_select([$2])
4. join()

The same question, when task 3 has selected states and there is no solution yet:
4. thought_proposer.map($3.states)
5. state_evaluator.map($4)
6. top_k_select($5)
7. join()
"""
"""A level of the tree is a plan: each selected state has a proposer and an evaluator of its own."""

graph = create_llm_compiler(TOOLS, examples=EXAMPLES, name="game_of_24")
