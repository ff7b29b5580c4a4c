"""The kill test: a run that is killed up to three times ends as if nothing had happened."""

import json
import random
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage

from apps.runs.checkpoints import Serializer
from tests.support import PATIENCE
from tests.torture.child import Orders, start
from tests.torture.dags import Step, changed, random_steps, shape_of, write_plan

_SERIALIZER = Serializer()


@dataclass
class Report:
    """What came of one case."""

    seed: int
    kills: int = 0
    replanned: bool = False
    """Whether the resumed run went by another plan than the first one."""

    shape: Any = None
    problems: list[str] = field(default_factory=list)


@dataclass
class _Saved:
    """What the database had when the process was killed."""

    labels: set[str] = field(default_factory=set)
    """Of the calls whose results it had."""

    plan: bool = False


def torture(seed: int, with_changed_plan: bool = False) -> Report:
    """One case: a random plan, run undisturbed, and then with up to three kills."""
    chance = random.Random(seed)
    steps = random_steps(chance)
    plans = [write_plan(steps)]
    if with_changed_plan:
        plans.append(write_plan(changed(steps, chance)))
    report = Report(seed, shape=shape_of(steps))
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    try:
        expected, seconds = {}, 0.0
        for number, plan in enumerate(plans):
            orders = Orders(folder / f"undisturbed{number}", plan, seed)
            orders.folder.mkdir()
            began = time.monotonic()
            expected[plan] = _finish(orders, report)
            seconds = max(seconds, time.monotonic() - began)
        _check_order(folder / "undisturbed0", steps, report)
        if not report.problems:
            orders = Orders(folder / "killed", plans[0], seed)
            orders.folder.mkdir()
            _kill_and_resume(orders, plans[-1], expected, seconds, chance, report)
            if not with_changed_plan:
                _check_order(orders.folder, steps, report)
    finally:
        shutil.rmtree(folder)
    return report


def _kill_and_resume(
    orders: Orders, later_plan: str, expected: dict[str, Any], seconds: float, chance: random.Random, report: Report
) -> None:
    same_plan = later_plan == orders.plan
    saved = _Saved()
    logged = 0
    for _ in range(chance.randint(1, 3)):
        if not _kill(orders, seconds, chance):
            break
        report.kills += 1
        logged = _check_log(orders.folder, logged, saved, same_plan, report)
        saved = _read_saved(orders.folder)
        orders = replace(orders, plan=later_plan)
    result = _finish(orders, report)
    _check_log(orders.folder, logged, saved, same_plan, report)
    if report.problems:
        return
    if result["plan"] not in expected:
        report.problems.append(f"a plan that nobody wrote: {result['plan']!r}")
    elif result != (wanted := expected[result["plan"]]):
        report.problems.append(f"another result: {result} instead of {wanted}")
    report.replanned = not same_plan and result["plan"] == later_plan


def _kill(orders: Orders, seconds: float, chance: random.Random) -> bool:
    """Start a run and kill it: at some moment, or just before or after something is saved.

    Returns:
        Whether it was killed, and had not ended before.
    """
    if chance.random() < 0.5:
        writes = chance.randint(0, 3 * orders.plan.count("\n") + 12)
        child = start(replace(orders, writes_before_death=writes), "killed")
        child.join(PATIENCE)
    else:
        child = start(orders, "killed")
        child.join(chance.uniform(0, 1.1 * seconds))
    child.kill()
    child.join()
    return child.exitcode == -signal.SIGKILL


def _finish(orders: Orders, report: Report) -> dict[str, Any]:
    """What the run gives when nobody kills it."""
    child = start(orders, "result")
    child.join(PATIENCE)
    if child.exitcode is None:
        child.kill()
        child.join()
        report.problems.append(f"hangs: {orders}")
        return {}
    result: dict[str, Any] = json.loads((orders.folder / "result.json").read_text())
    if "error" in result:
        report.problems.append(result["error"])
    return result


def _check_log(folder: Path, logged: int, saved: _Saved, same_plan: bool, report: Report) -> int:
    """See that nothing was run again that had been saved.

    Returns:
        How many lines the log has.
    """
    log = folder / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    for event, label in map(json.loads, lines[logged:]):
        if event == "plan" and saved.plan:
            report.problems.append("the plan was paid for again")
        if event == "start" and label in saved.labels and same_plan:
            report.problems.append(f"{label} was run again")
    return len(lines)


def _check_order(folder: Path, steps: list[Step], report: Report) -> None:
    """See that what is written after a call with side effects began after that had ended."""
    events = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    first: dict[tuple[str, str], int] = {}
    for place, (event, label) in enumerate(events):
        first.setdefault((event, label.split(".")[0]), place)
    for number, step in enumerate(steps):
        ended = first.get(("end", step.label))
        if step.kind == "effect" and ended is not None:
            later = [one.label for one in steps[number + 1 :] if first.get(("start", one.label), ended) < ended]
            report.problems += [f"{label} overtook {step.label}" for label in later]


def _read_saved(folder: Path) -> _Saved:
    """What the database has."""
    saved = _Saved()
    if not (database := folder / "threads.db").exists():
        return saved
    with closing(sqlite3.connect(database)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        for table, column in (("writes", "value"), ("checkpoints", "checkpoint")):
            rows = connection.execute(f"SELECT type, {column} FROM {table}") if table in tables else []
            for row in rows:
                for message in _messages_in(_SERIALIZER.loads_typed(row)):
                    saved.plan |= isinstance(message, AIMessage) and bool(message.tool_calls)
                    arguments = message.response_metadata.get("arguments")
                    if isinstance(message, ToolMessage) and arguments and "finished" in message.response_metadata:
                        saved.labels.add(str(arguments["label"]))
    return saved


def _messages_in(value: Any) -> Iterator[AIMessage | ToolMessage]:
    if isinstance(value, AIMessage | ToolMessage):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _messages_in(item)
