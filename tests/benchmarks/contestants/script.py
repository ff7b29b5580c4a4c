"""What the scripts of all contestants share: tools that take an exact time, and the way they are told what to run.

Only the standard library: it runs in every contestant's virtual environment. A script reads a line of JSON for each run
from standard input, `{"workload": …}`, and writes one when it is done: the seconds it took, when each call started in
Unix time, and the answer.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tests.benchmarks.workloads import WORKLOADS, Workload

BASE_URL = os.environ.get("BENCHMARK_BASE_URL", "")
SEARCH = "looks up a place and gives what is known of it"
ARGMAX = "the label of the largest value"
MATH = "calculates a value from a question in words and the results that it needs"

_workload: Workload = WORKLOADS["two"]
_started: list[tuple[str, float]] = []


def begin(query: str) -> float:
    """Note that a call has started; gives the seconds that it takes."""
    _started.append((query, time.time()))
    return _workload.seconds[query]


def found(query: str) -> str:
    """The result of a call."""
    return _workload.result(query)


async def search(query: str) -> str:
    """looks up a place and gives what is known of it"""
    await asyncio.sleep(begin(query))
    return found(query)


async def math(query: str, context: list[str]) -> str:
    """calculates a value from a question in words and the results that it needs"""
    await asyncio.sleep(begin(query))
    return found(query)


async def argmax(labels: list[str], values: list[float]) -> str:
    """the label of the largest value"""
    return max(zip(values, labels, strict=True))[1]


def serve(run: Callable[[str], str]) -> None:
    """Run what is asked for until standard input ends.

    Args:
        run: Answers a question.
    """
    out, sys.stdout = sys.stdout, sys.stderr  # what packages print
    for line in sys.stdin:
        print(json.dumps(_measure(json.loads(line)["workload"], run)), file=out, flush=True)


def serve_async(run: Callable[[str], Awaitable[str]]) -> None:
    """The same for an async agent, with one event loop for all runs."""
    with asyncio.Runner() as runner:
        serve(lambda question: runner.run(_await(run(question))))


async def _await(awaitable: Awaitable[str]) -> str:
    return await awaitable


def _measure(name: str, run: Callable[[str], str]) -> dict[str, Any]:
    global _workload
    _workload = WORKLOADS[name]
    _started.clear()
    began, before = time.time(), time.perf_counter()
    try:
        answer, error = run(_workload.question), ""
    except Exception as problem:  # noqa: BLE001 — a contestant's failure is a result
        answer, error = "", f"{type(problem).__name__}: {problem}"
    seconds = time.perf_counter() - before
    return {"began": began, "seconds": seconds, "started": _started, "answer": answer, "error": error}
