"""What the agents are raced on: DAGs of tool calls with exact durations, and the words that each agent has for them.

Only the standard library: the scripts of all contestants import this, in their own virtual environments.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

SHORTEST, LONGEST = 0.05, 1.0
"""Seconds that a tool call takes."""

BY_NAME = "The place with the greatest value is {answer}."
BY_VALUE = "The value comes to {answer} metres in the end."
FOUND = (
    "{place} lies in the north of the country, two hours by train from the capital. It was first seen by a merchant "
    "who passed it on his way to the coast, and drawn on maps from 1640 on. Its greatest value was measured in 1998 at "
    "{value} metres; older books have a little less, because they count from another point. Every year about 200,000 "
    "people come to see it, most of them in June. There is a small museum, which tells how it was measured."
)
"""What a search finds: a paragraph, with the place's name and value beside it."""
_FIRST = ("Silver", "Old", "Upper", "Red", "Long", "Crystal", "Northern", "Hidden", "Stone", "Little")
_SECOND = ("River", "Tower", "Lake", "Bridge", "Glacier", "Valley", "Island", "Castle", "Canal", "Mountain")


@dataclass(frozen=True)
class Call:
    """One tool call of a workload."""

    number: int
    tool: str
    """`search` or `math`."""

    text: str
    """Its first argument, by which the tools know how long to take; no two calls of a workload have the same."""

    needs: tuple[int, ...]
    """The calls whose results it takes."""

    seconds: float


@dataclass(frozen=True)
class Workload:
    """A question with the calls that answer it."""

    name: str
    calls: tuple[Call, ...]

    @property
    def question(self) -> str:
        if self.only_searches:
            return f"Workload {self.name}: which of the places has the greatest value?"
        return f"Workload {self.name}: what does the value come to in the end?"

    @property
    def only_searches(self) -> bool:
        return all(call.tool == "search" for call in self.calls)

    @property
    def answer(self) -> str:
        last = self.calls[-1]
        return BY_NAME.format(answer=last.text) if self.only_searches else BY_VALUE.format(answer=_value(last))

    def result(self, text: str) -> str:
        """What the call with this text gives."""
        call = next(call for call in self.calls if call.text == text)
        if call.tool == "math":
            return str(_value(call))
        found = FOUND.format(place=text, value=_value(call))
        return json.dumps({"place": text, "value": _value(call), "text": found})

    @cached_property
    def seconds(self) -> dict[str, float]:
        """How long each call takes, by its text."""
        return {call.text: call.seconds for call in self.calls}

    def steps(self) -> Iterator[list[Call]]:
        """The calls in steps: each as early as its needs allow, as an agent can make them that sees results first."""
        done: set[int] = set()
        while step := [call for call in self.calls if call.number not in done and done.issuperset(call.needs)]:
            yield step
            done |= {call.number for call in step}


def _value(call: Call) -> int:
    return 1000 + 7 * call.number


def _workload(name: str, needs: Sequence[Sequence[int]]) -> Workload:
    """A workload of as many calls as there are needs; those that need nothing search, the others calculate."""
    dice = random.Random(name)
    places = [f"{first} {second}" for second in _SECOND for first in _FIRST]
    dice.shuffle(places)
    calls = []
    for number, needed in enumerate(needs, 1):
        text = (
            places[number - 1]
            if not needed
            else f"value of {places[number - 1]} in metres, {dice.randint(2, 99)}% more"
        )
        seconds = round(dice.uniform(SHORTEST, LONGEST), 3)
        calls.append(Call(number, "math" if needed else "search", text, tuple(needed), seconds))
    return Workload(name, tuple(calls))


def _random_needs(count: int, seed: int) -> list[list[int]]:
    dice = random.Random(seed)
    needs: list[list[int]] = []
    for number in range(1, count + 1):
        most = min(number - 1, dice.choice((0, 1, 1, 2, 3)))
        needs.append(sorted(dice.sample(range(max(1, number - 25), number), most)))
    return needs


WORKLOADS = {
    workload.name: workload
    for workload in (
        _workload("two", [[]] * 2),
        _workload("eight", [[]] * 8),
        _workload("diamond", [[], [], [], [1], [2], [3], [4, 5, 6]]),
        _workload("fifty", [[]] * 50),
        _workload("chain", [[number] if number else [] for number in range(10)]),
        _workload("random", _random_needs(100, seed=24)),
    )
}


# --- plans and answers in each agent's form, as short as the form allows


def _arguments(call: Call) -> tuple[str, str]:
    """A call's first argument and its context, as Python literals."""
    return json.dumps(call.text), json.dumps([f"${number}" for number in call.needs]) if call.needs else ""


def our_plan(workload: Workload) -> str:
    """In the paper's syntax, with keyword arguments."""
    lines = []
    for call in workload.calls:
        text, context = _arguments(call)
        lines.append(f"{call.number}. {call.tool}({text}{f', context={context}' if context else ''})")
    return "\n".join([*lines, f"{len(lines) + 1}. join()"])


def map_plan(workload: Workload) -> str:
    """With a map for each step whose calls do the same; as `our_plan` where steps are not like that."""
    lines, before = [], []
    for number, step in enumerate(workload.steps(), 1):
        texts, needs = [call.text for call in step], [call.needs for call in step]
        made = [call.number for call in before]
        zipped, whole = needs == [(call,) for call in made], needs == [tuple(made)]
        if len({call.tool for call in step}) > 1 or not (zipped or whole or not any(needs)):
            return our_plan(workload)
        context = f", context=${number - 1}" if any(needs) else ""
        what = f".map({json.dumps(texts)}{context})" if len(step) > 1 else f"({json.dumps(texts[0])}{context})"
        lines.append(f"{number}. {step[0].tool}{what}")
        before = step
    return our_plan(workload) if len(lines) == len(workload.calls) else "\n".join([*lines, f"{len(lines) + 1}. join()"])


def direct_plan(workload: Workload) -> str:
    """As `map_plan`, with the answer's words, so that no model reads the results."""
    *lines, _ = map_plan(workload).splitlines()
    last = len(lines)
    if not workload.only_searches:
        return "\n".join([*lines, f'{last + 1}. join("{BY_VALUE.format(answer=f"${last}")}")'])
    lines += ["2. argmax($1.place, $1.value)", f'3. join("{BY_NAME.format(answer="$2")}")']
    return "\n".join(lines)


def llama_index_plan(workload: Workload) -> str:
    """With positional arguments only, which `llama-index-agent-llm-compiler` demands."""
    lines = []
    for call in workload.calls:
        text, context = _arguments(call)
        lines.append(f"{call.number}. {call.tool}({text}{f', {context}' if context else ''})")
    return "\n".join([*lines, f"{len(lines) + 1}. join()<END_OF_PLAN>"])


def llmcompiler_plan(workload: Workload) -> str:
    """With keyword arguments only, which the package `llmcompiler` demands."""
    lines = []
    for call in workload.calls:
        text, context = _arguments(call)
        lines.append(f"{call.number}. {call.tool}(query={text}{f', context={context}' if context else ''})")
    return "\n".join([*lines, f"{len(lines) + 1}. join() <END_OF_PLAN>"])


PLANS: dict[str, Callable[[Workload], str]] = {
    "paper": our_plan,
    "maps": map_plan,
    "direct": direct_plan,
    "llama_index": llama_index_plan,
    "llmcompiler": llmcompiler_plan,
}
JOINS: dict[str, str] = {
    "paper": "{answer}",
    "maps": "{answer}",
    "direct": "{answer}",
    "llama_index": "Thought: The results answer the question.\nAction: finish({answer})",
    "llmcompiler": '```json\n{{"_thought_": "The results answer the question.", "_finish_": "{answer}"}}\n```',
}
