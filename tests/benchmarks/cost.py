"""What a question takes of a core, which is what a server pays.

The agents of the race over real HTTP, with tools of 10 ms and a model that writes fast, twenty questions at once (one
after another where a package can't do more). Each process tells what it used of a core: with the answer alone, and with
the streams that a user interface reads (`messages` and `custom`), where there are any.
"""

import statistics
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.ideal import Speed
from tests.benchmarks.peers import Contestant
from tests.benchmarks.race import all_started, model_server
from tests.benchmarks.workloads import WORKLOADS

TOOL_SECONDS = 0.01
SPEED = Speed(first_token=0.05, per_second=800.0)


@dataclass(frozen=True)
class Cost:
    """What a contestant's questions of a workload took."""

    contestant: str
    workload: str
    streamed: bool
    ms: float
    """Of a core, a question; the median of the rounds."""

    error: str = ""


def cost(
    contestants: Iterable[Contestant], workloads: Sequence[str], *, repeat: int, logs: Path, questions: int = 20
) -> list[dict[str, Any]]:
    """What each contestant's questions take; all in turn, again and again, after a first round that is not counted.

    Args:
        contestants: Whose packages are installed.
        workloads: Names of workloads.
        repeat: How many rounds count.
        logs: A folder for what the scripts print.
        questions: How many are put at once.
    """
    measured: dict[tuple[str, str, bool], list[dict[str, Any]]] = {}
    with ExitStack() as stack:
        _, address = stack.enter_context(model_server(SPEED, logs / "server.log"))
        scripts = all_started(stack, contestants, address, logs)
        for counts in (False, *[True] * repeat):
            for name, workload, streamed in _each(scripts, workloads):
                asked = {
                    "workload": workload,
                    "questions": questions,
                    "tool_seconds": TOOL_SECONDS,
                    "streamed": streamed,
                }
                done = scripts[name].ask(asked)
                if counts and done:
                    measured.setdefault((name, workload, streamed), []).append(done)
    return [asdict(_cost(*key, rounds, questions)) for key, rounds in measured.items()]


def _each(names: Iterable[str], workloads: Sequence[str]) -> Iterator[tuple[str, str, bool]]:
    for workload in workloads:
        for streamed in (False, True):
            for name in names:
                yield name, workload, streamed


def _cost(name: str, workload: str, streamed: bool, rounds: list[dict[str, Any]], questions: int) -> Cost:
    calls = questions * len(WORKLOADS[workload].calls)
    error = next((done["error"] for done in rounds if done["error"]), "")
    if not error and (wrong := [done for done in rounds if (done["right"], done["calls"]) != (questions, calls)]):
        error = f"{wrong[0]['right']} of {questions} right answers, {wrong[0]['calls']} of {calls} calls"
    ms = statistics.median(done["cpu"] for done in rounds) / questions * 1000
    return Cost(name, workload, streamed, ms, error)
