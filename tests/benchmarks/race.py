"""Races the agents over the workloads: same model server, same tools, in turn."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.benchmarks.ideal import Speed, first_call_sent, ideal
from tests.benchmarks.peers import ROOT, Contestant
from tests.benchmarks.workloads import PLANS, WORKLOADS, our_plan

ENOUGH_SECONDS = 30.0
"""Of a contestant on a workload: what has taken longer isn't repeated."""

_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE")


@dataclass(frozen=True)
class Result:
    """One run of a contestant."""

    contestant: str
    workload: str
    seconds: float
    ratio: float
    """To the ideal."""

    calls: int
    """Of the model."""

    input: int
    """Tokens."""

    output: int
    first_start: float | None
    """Seconds from the moment that the first call was due to be written, to the start of the call."""

    late: float
    """Seconds by which the server was late at most."""

    error: str = ""


@dataclass
class Process:
    """A script that answers a line of JSON with one."""

    popen: subprocess.Popen[str]

    def ask(self, question: Any) -> Any:
        """What the script answers.

        Raises:
            RuntimeError: It has ended.
        """
        stdin, stdout = _pipe(self.popen.stdin), _pipe(self.popen.stdout)
        with suppress(BrokenPipeError):
            print(json.dumps(question), file=stdin, flush=True)
        if not (line := stdout.readline()):
            raise RuntimeError(f"{self.popen.args} ended with {self.popen.wait()}.")
        return json.loads(line)


@contextmanager
def started(command: Sequence[str], log: Path, **environment: str) -> Iterator[Process]:
    """A script, ended with the block; what it prints beside its answers goes to a file."""
    variables = {name: os.environ[name] for name in _KEPT if name in os.environ}
    variables |= {"PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1", **environment}
    with log.open("w") as errors:
        popen = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=variables, cwd=ROOT
        )
    try:
        yield Process(popen)
    finally:
        _pipe(popen.stdin).close()
        try:
            popen.wait(10)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()
        _pipe(popen.stdout).close()


@contextmanager
def model_server(speed: Speed, log: Path) -> Iterator[tuple[Process, str]]:
    """The model server, and its address."""
    command = [sys.executable, "-m", "tests.benchmarks.server", str(speed.first_token), str(speed.per_second)]
    with started(command, log) as server:
        yield server, _pipe(server.popen.stdout).readline().strip()


def all_started(stack: ExitStack, contestants: Iterable[Contestant], address: str, logs: Path) -> dict[str, Process]:
    """The contestants' scripts by their names, with the model server at this address; ended with the stack."""
    return {
        contestant.name: stack.enter_context(
            started(contestant.command, logs / f"{contestant.name}.log", BENCHMARK_BASE_URL=address)
        )
        for contestant in contestants
    }


def race(
    contestants: Iterable[Contestant], workloads: Sequence[str], *, repeat: int, speed: Speed, logs: Path
) -> Iterator[Result]:
    """Run every contestant on every workload, one after the other, again and again.

    Args:
        contestants: Whose packages are installed.
        workloads: Names of workloads.
        repeat: How often.
        speed: The model's.
        logs: A folder for what the scripts print.

    Yields:
        Each run when it has ended. A contestant's first run is not counted: it makes connections and imports.
    """
    with ExitStack() as stack:
        server, address = stack.enter_context(model_server(speed, logs / "server.log"))
        scripts = all_started(stack, contestants, address, logs)
        spent: dict[tuple[str, str], float] = {}
        for script in scripts.values():
            script.ask({"workload": "two"})
        server.ask(None)
        for _ in range(repeat):
            for workload in workloads:
                for name, script in scripts.items():
                    if spent.get((name, workload), 0.0) > ENOUGH_SECONDS:
                        continue
                    result = _result(name, workload, script.ask({"workload": workload}), server.ask(None), speed)
                    spent[name, workload] = spent.get((name, workload), 0.0) + result.seconds
                    yield result


def _result(name: str, workload: str, run: dict[str, Any], server: dict[str, Any], speed: Speed) -> Result:
    best = ideal(WORKLOADS[workload], speed)
    calls = server["calls"]
    error = run["error"] or server["problem"]
    if not error and WORKLOADS[workload].answer.removesuffix(".") not in run["answer"]:
        error = f"another answer: {run['answer'][:200]}"
    if not error and len(run["started"]) != len(WORKLOADS[workload].calls):
        error = f"{len(run['started'])} tool calls instead of {len(WORKLOADS[workload].calls)}"
    late = [time for call in calls for time in (call["first_late"], call["last_late"]) if time is not None]
    return Result(
        name,
        workload,
        run["seconds"],
        run["seconds"] / best.total,
        len(calls),
        sum(call["input"] for call in calls),
        sum(call["output"] for call in calls),
        _first_start(name, workload, run, calls, speed),
        max(late, default=0.0),
        error,
    )


def _first_start(
    name: str, workload: str, run: dict[str, Any], calls: list[dict[str, Any]], speed: Speed
) -> float | None:
    plan = PLANS.get(name.removeprefix("llm-compiler-"), our_plan)(WORKLOADS[workload])
    first = dict(run["started"]).get(WORKLOADS[workload].calls[0].text)
    return first - calls[0]["received"] - first_call_sent(plan, speed) if first and calls else None


@dataclass(frozen=True)
class Summary:
    """A contestant's runs of a workload: medians, and the spread of the ratio."""

    contestant: str
    workload: str
    runs: int
    ideal: float
    seconds: float
    ratio: float
    ratios: tuple[float, float]
    calls: int
    input: int
    output: int
    first_start: float | None
    late: float
    errors: list[str] = field(default_factory=list)


def summaries(results: Sequence[Result], speed: Speed) -> list[dict[str, Any]]:
    """The results of each contestant on each workload."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.contestant, result.workload), []).append(result)
    return [asdict(_summary(runs, speed)) for runs in groups.values()]


def _summary(runs: list[Result], speed: Speed) -> Summary:
    first = runs[0]
    ratios = [run.ratio for run in runs]
    starts = [run.first_start for run in runs if run.first_start is not None]
    return Summary(
        first.contestant,
        first.workload,
        len(runs),
        ideal(WORKLOADS[first.workload], speed).total,
        statistics.median(run.seconds for run in runs),
        statistics.median(ratios),
        (min(ratios), max(ratios)),
        first.calls,
        first.input,
        first.output,
        statistics.median(starts) if starts else None,
        max(run.late for run in runs),
        sorted({run.error for run in runs if run.error}),
    )


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
