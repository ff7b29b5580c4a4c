"""The plan of a run as a graph: its tasks, what they wait for, and the chain that the time went into."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from agent.language.references import find_references
from apps.runs.palette import LIGHT
from apps.runs.run import Round, Run, Span, TaskRun
from apps.runs.wording import call_of, duration, in_short, printable

SAME_MOMENT = 0.001
"""Seconds by which clocks of different threads and rounding may disagree."""

_ELEMENT = re.compile(r"\[(\d+)\]")
_NOT_PLAIN = re.compile(r"[^\w .,:+*/=()\[\]{}'$-]")


@dataclass(frozen=True)
class Step:
    """A node of the graph: a tool call, or the joiner's call after a plan."""

    id: str
    title: str
    detail: str
    """The arguments of a task, or why there is a further plan."""

    span: Span
    state: str
    """As in `apps.runs.run.TaskState`."""

    critical: bool
    """Whether the run would have been shorter, had this step been."""


def needs_of(task: TaskRun, tasks: list[TaskRun]) -> list[TaskRun]:
    """The tasks whose results the task uses: `$1[0]` of a map is one element of it, `$1` is all of them."""
    needs: list[TaskRun] = []
    for number in task.dependencies:
        found = [other for other in tasks if other.number == number and other is not task]
        if any(other.element is not None for other in found):
            paths = [_ELEMENT.match(ref.path) for ref in find_references(task.planned_arguments) if ref.task == number]
            if paths and all(paths):
                wanted = {int(path[1]) for path in paths if path}
                found = [other for other in found if other.element in wanted] or found
        needs += found
    return needs


def critical_path(round_: Round) -> list[Span]:
    """The chain of steps that a round took its time for: had one of them been shorter, so had the round.

    Returns:
        The plan, as many tasks as there are in the chain, and the join; without what hasn't happened.
    """
    chain: list[Span] = [round_.join] if round_.join.started else []
    task = max((task for task in round_.tasks if task.started), key=_end, default=None)
    if task and round_.plan.finished and round_.plan.finished > _end(task) + SAME_MOMENT:
        task = None  # the tools were done before the plan was
    while task:
        chain.append(task)
        started = task.started or 0.0
        before = [
            need
            for need in needs_of(task, round_.tasks)
            if need.started and need.finished and need.started < started and need.finished <= started + SAME_MOMENT
        ]
        last = max(before, key=_end, default=None)
        task = None if last and task.planned and task.planned > _end(last) else last
    if round_.plan.started:
        chain.append(round_.plan)
    return chain[::-1]


def _end(span: Span) -> float:
    return span.finished or float("inf")


def steps_of(run: Run) -> tuple[list[Step], dict[tuple[str, str], bool]]:
    """The steps of every round; and the edges, from the id of a step to that of one that waits for it, with whether
    that wait is what the time went into."""
    tasks = run.tasks
    steps: list[Step] = []
    edges: dict[tuple[str, str], bool] = {}
    before = ""
    for number, round_ in enumerate(run.rounds):
        join = f"join{number}"
        ids = {id(round_.join): join, **{id(task): _id_of(task) for task in round_.tasks}}
        chain = [ids[id(step)] for step in critical_path(round_) if id(step) in ids]
        critical = set(pairwise([before, *chain]))
        used = {id(need) for task in round_.tasks for need in needs_of(task, tasks)}
        waits = [(_id_of(need), _id_of(task)) for task in round_.tasks for need in needs_of(task, tasks)]
        if before:
            waiting = {end for start, end in waits if start in ids.values()}
            waits += [(before, _id_of(task)) for task in round_.tasks if _id_of(task) not in waiting]
        waits += [(_id_of(task), join) for task in round_.tasks if id(task) not in used]
        if before and not round_.tasks:
            waits.append((before, join))
        edges |= {edge: edge in critical for edge in waits}
        steps += [_step_of(run, task, _id_of(task) in chain) for task in round_.tasks]
        steps.append(_join_of(run, number, join))
        before = join
    return steps, edges


def _id_of(task: TaskRun) -> str:
    return f"task{task.number}" if task.element is None else f"task{task.number}_{task.element}"


def _step_of(run: Run, task: TaskRun, critical: bool) -> Step:
    call = call_of(task)
    detail = call[len(task.tool) + 1 : -1] if call.startswith(f"{task.tool}(") else call
    return Step(_id_of(task), f"{task.name}. {printable(task.tool)}", detail, task, run.state_of(task), critical)


def _join_of(run: Run, number: int, join: str) -> Step:
    span = run.rounds[number].join
    state = "done" if span.finished else "running" if span.started else "waiting"
    replan = number + 1 < len(run.rounds)
    detail = run.rounds[number + 1].reason if replan else ""
    return Step(join, "join: replan" if replan else "join", in_short(detail, 200), span, state, bool(span.started))


def mermaid(run: Run) -> str:
    """The plan's graph as Mermaid text, which GitHub, notebooks and many editors draw."""
    return "".join(f"{line}\n" for line in _mermaid_lines(run))


def _mermaid_lines(run: Run) -> Iterator[str]:
    steps, edges = steps_of(run)
    yield "graph TD"
    for step in steps:
        left, right = ("([", "])") if step.id.startswith("join") else ("[", "]")
        notes = [_escaped(note) for note in (in_short(step.detail, 60), spent_on(step)) if note]
        yield f'    {step.id}{left}"{"<br/>".join([_escaped(step.title), *notes])}"{right}'
    for start, end in edges:
        yield f"    {start} --> {end}"
    surface, failed, skipped = LIGHT.surface, LIGHT.failed, LIGHT.skipped
    yield f"    classDef critical stroke:{LIGHT.text},stroke-width:3px"
    yield f"    classDef failed fill:{surface},stroke:{failed},stroke-width:2px,color:{failed}"
    yield f"    classDef skipped fill:{surface},stroke:{skipped},stroke-dasharray:4 3,color:{skipped}"
    for name in ("critical", "failed", "skipped"):
        if ids := [step.id for step in steps if name == step.state or (name == "critical" and step.critical)]:
            yield f"    class {','.join(ids)} {name}"


def spent_on(step: Step) -> str:
    """The time that a step took, and its state where it isn't just done."""
    spent = duration(step.span.seconds()) if step.span.started and step.span.finished else ""
    return " ".join(part for part in ("" if step.state == "done" else step.state, spent) if part)


def _escaped(text: str) -> str:
    """The text as Mermaid has it in quotes."""
    return _NOT_PLAIN.sub(lambda match: f"#{ord(match[0])};", text)
