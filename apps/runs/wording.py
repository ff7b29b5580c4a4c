"""The words that every view uses for a run."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apps.runs.run import Run, TaskRun

NOTES: dict[str, str] = {
    "offline": "Offline demo model; for a real one set OPENAI_API_KEY, or use --model.",  # demo
}
"""What is said of a model, by its name, when it begins to answer."""

# demo
SIMULATED = "The latency of model and embedded search is simulated; DEMO_LATENCY=0: none."
# /demo

_CONTROLS = [*range(9), *range(11, 32), *range(127, 160), 0x2028, 0x2029]
_DIRECTIONS = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_INVISIBLE = dict.fromkeys([*_CONTROLS, *_DIRECTIONS])


def own_version() -> str:
    """The version of this program, where it is installed. Images have its code alone."""
    return version_of("llm-compiler") or "unknown"


def version_of(package: str) -> str | None:
    """The version of a package; None if it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def notes_on(model: str) -> list[str]:
    """The lines to say of a model when it begins to answer."""
    # demo
    if model in NOTES and os.environ.get("DEMO_LATENCY", "0") not in ("", "0"):
        return [NOTES[model], SIMULATED]
    # /demo
    return [NOTES[model]] if model in NOTES else []


def printable(text: str) -> str:
    """The text without what could deceive a terminal or a reader: control codes, except tabs and line ends, and codes
    that turn the direction of writing."""
    return text.replace("\r\n", "\n").translate(_INVISIBLE)


def in_short(text: str, most: int) -> str:
    """The text on one line of at most so many characters."""
    from agent.language.values import for_people  # it takes the whole agent along

    line = " ".join(printable(for_people(text[: 20 * most])).split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def call_of(task: "TaskRun") -> str:
    """The task's call, on one line."""
    from agent.language.values import for_people

    return printable(for_people(task.call)).replace("\n", " ")


def duration(seconds: float) -> str:
    """`45 ms`, `1.25 s`, `95.3 s`."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"


def numbers(values: Sequence[int]) -> str:
    """`1-3, 7` for 1, 2, 3, 7."""
    runs: list[list[int]] = []
    for value in sorted(set(values)):
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ", ".join(f"{r[0]}-{r[-1]}" if len(r) > 2 else ", ".join(map(str, r)) for r in runs)


def summary(run: "Run", width: int | None = None) -> str:
    """What it took and who answered, in one line; in a narrow one the model goes without its provider, and what the
    calls would have taken without its ratio. Of a graph that tells nothing of plans, or whose node the agent is, what
    came of them is not known."""
    seconds = {name: duration(value) for name, value in run.timings.items()}
    total, apart = run.timings["total"], run.timings["one_after_another"]
    count = len(run.tasks)
    known = bool(count or run.rounds[0].plan.started)
    planned = [f"{count or 'no'} task{'' if count == 1 else 's'}", f"plan {seconds['plan']}"] if known else []
    parts = [*planned, f"total {seconds['total']}"]
    in_turn = f"one after another {seconds['one_after_another']}" if run.compares else ""
    ratio = f" ({apart / total:.1f}×)" if in_turn and total and apart / total >= 1.05 else ""
    model = printable(run.model)
    short = model.partition(":")[2] or model
    lines = [
        " · ".join(filter(None, [*parts, *end]))
        for end in ((in_turn + ratio, model), (in_turn + ratio, short), (in_turn, short))
    ]
    return next((line for line in lines if width is None or len(line) <= width), lines[-1])
