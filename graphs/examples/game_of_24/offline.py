"""What the offline demo model stands in with for a model that plays: proposals and judgements, which are exact."""

import json
import re

from graphs.examples.game_of_24.arithmetic import TARGET, leads_to_target, steps_from
from graphs.offline.model import REPLIES, RULES, Replan, Rules
from graphs.offline.prompt import Prompt, Result


def propose(numbers: str) -> str:
    """Every step from a state."""
    state = numbers.split()
    return "\n".join(f"{state[first]} {sign} {state[second]}" for first, sign, second in steps_from(state))


def judge(lines: str) -> str:
    """Whether states lead to 24."""
    states = [line.partition(". ")[2].split() for line in lines.splitlines()]
    verdicts = ["sure" if leads_to_target(state) else "impossible" for state in states]
    return "\n".join(f"{line}. {verdict}" for line, verdict in enumerate(verdicts, 1))


def plan(prompt: Prompt) -> str:
    """A level of the tree: from the question's numbers, or from the states that were selected last."""
    first, numbers = prompt.number, _numbers_of(prompt.question)
    if not numbers:
        return f"{first}. join()"
    if selected := _selected(prompt):
        states = [f"${selected.number}.states[{i}]" for i in range(len(selected.value["states"]))]
        calls = [f"thought_proposer.map({json.dumps(states)})", f"state_evaluator.map(${first})"]
        calls.append(f"top_k_select(${first + 1})")
    else:
        calls = [f"thought_proposer({json.dumps(numbers)})", f"state_evaluator(${first})"]
        calls.append(f"top_k_select([${first + 1}])")
    return "\n".join(f"{number}. {call}" for number, call in enumerate([*calls, "join()"], first))


def join(prompt: Prompt) -> str | Replan:
    """The solution; or the next level, if there is anything to go on from."""
    selected = _selected(prompt)
    if selected is None:
        return "The states could not be judged."
    found = selected.value
    if found["solution"]:
        return f"{found['solution']}."
    if not found["states"]:
        return f"{', '.join(_numbers_of(prompt.question))} can't make {TARGET}."
    return Replan(f"No solution yet. Take a step from each state that task {selected.number} selected.")


def _selected(prompt: Prompt) -> Result | None:
    """What was selected last, unless it was too long to be shown as a whole."""
    selected = [one for one in prompt.results if one.tool == "top_k_select" and isinstance(one.value, dict)]
    return selected[-1] if selected else None


def _numbers_of(question: str) -> list[str]:
    return re.findall(r"\d+", re.sub(rf"(?i)game of {TARGET}|\b(?:make|get|reach|be|=|is) *{TARGET}\b", "", question))


RULES["thought_proposer"] = Rules(plan, join)
REPLIES["Game of 24: propose"] = propose
REPLIES["Game of 24: judge"] = judge
