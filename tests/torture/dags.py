"""Random plans whose results tell which call they belong to."""

import hashlib
import json
import random
from dataclasses import dataclass
from typing import Any

TOOLS = ("work", "work", "work", "work_in_thread", "record", "fail", "effect")
"""As often as they are wanted."""


def value_of(label: str, inputs: list[Any]) -> str:
    """The result of a call. No other call, and no call with other inputs, has the same."""
    return f"{label}:{hashlib.sha1(json.dumps([label, inputs]).encode(), usedforsecurity=False).hexdigest()[:10]}"


@dataclass(frozen=True)
class Step:
    """A line of a plan."""

    kind: str
    """The tool; or `map` for one that is called with each of three labels; or `items`, whose result is a list of
    labels, and `map_items`, which is called with each of them."""

    label: str
    milliseconds: int
    needs: tuple[int, ...]
    """The numbers of the steps whose results it is given."""


def random_steps(chance: random.Random, *, names: str = "x") -> list[Step]:
    """Between 2 and 14 steps in the shape of one of: a chain, layers, a tree, a star, or anything."""
    count = chance.randint(2, 14)
    shape = chance.choice(["chain", "layers", "tree", "star", "any", "any"])
    steps: list[Step] = []
    for number in range(1, count + 1):
        before = range(1, number)
        match shape:
            case "chain":
                needs = {number - 1} & set(before)
            case "layers":
                layer = (number - 1) // 3 * 3
                needs = set(chance.sample(range(max(1, layer - 2), layer + 1), 2)) if layer else set()
            case "tree":
                needs = {number // 2} & set(before)
            case "star":
                needs = set(before) if number == count else set()
            case _:
                needs = set(chance.sample(before, min(len(before), chance.randint(0, 3))))
        kind = chance.choice([*TOOLS, "map", "items"])
        if number == count:
            kind = "work"  # with something to show at the end
        label, milliseconds = f"{names}{number}", chance.choice([0, 1, 3, 10, 25])
        mapped = {need for step in steps if step.kind == "map_items" for need in step.needs}
        made_lists = [need for need in before if steps[need - 1].kind == "items" and need not in mapped]
        if made_lists and chance.random() < 0.3:
            steps.append(Step("map_items", label, milliseconds, (chance.choice(made_lists),)))
        else:
            steps.append(Step(kind, label, milliseconds, tuple(sorted(needs))))
    return steps


def shape_of(steps: list[Step]) -> tuple[Any, ...]:
    """What makes two plans have the same shape: which step needs which."""
    return tuple((step.kind in ("map", "map_items"), step.needs) for step in steps)


def changed(steps: list[Step], chance: random.Random) -> list[Step]:
    """Another plan for the same question: some of the same calls in another order, some others, with the same words for
    other things: `$1` is another result now."""
    chosen = [step for step in steps if chance.random() < 0.8] or steps[:1]
    chance.shuffle(chosen)
    again: list[Step] = []
    for number, step in enumerate(chosen, start=1):
        kind = "work" if step.kind in ("map_items", "map") else step.kind
        needs = tuple(need for need in step.needs if need < number)
        again.append(Step(kind, step.label if chance.random() < 0.7 else f"y{number}", step.milliseconds, needs))
    return again


def write_plan(steps: list[Step]) -> str:
    """The plan as a model writes it."""
    lines = []
    for number, step in enumerate(steps, start=1):
        inputs = json.dumps([_reference(steps[need - 1], need) for need in step.needs])
        match step.kind:
            case "map":
                labels = json.dumps([f"{step.label}.{index}" for index in range(3)])
                lines.append(f"{number}. work.map({labels}, {step.milliseconds}, {_plain(steps, step)})")
            case "map_items":
                lines.append(f"{number}. work.map(${step.needs[0]}, {step.milliseconds}, [])")
            case tool:
                lines.append(f'{number}. {tool}("{step.label}", {step.milliseconds}, {inputs})')
    return "\n".join([*lines, f"{len(steps) + 1}. join()"])


def _reference(needed: Step, number: int) -> str:
    return f"${number}.value" if needed.kind == "record" else f"${number}"


def _plain(steps: list[Step], step: Step) -> str:
    """The inputs of a map: not of other maps, which would be taken element by element."""
    needs = [need for need in step.needs if steps[need - 1].kind not in ("map", "map_items", "items")]
    return json.dumps([_reference(steps[need - 1], need) for need in needs])
