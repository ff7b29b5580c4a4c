"""What the scripts of all contestants share: tools that take an exact time, and the way they are told what to run.

Only the standard library: it runs in every contestant's virtual environment. A script reads a line of JSON for each run
from standard input, `{"workload": …}`, and writes one when it is done: the seconds it took, when each call started in
Unix time, and the answer. If `"questions"` says how many, they are run at once where that can be, and the seconds of a
core that they took are written.
"""

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tests.benchmarks.workloads import WORKLOADS, Workload

BASE_URL = os.environ.get("BENCHMARK_BASE_URL", "")
SEARCH = "looks up a place and gives what is known of it"
ARGMAX = "the label of the largest value"
MATH = "calculates a value from a question in words and the results that it needs"

_workload: Workload = WORKLOADS["two"]
_started: list[tuple[str, float]] = []
_tool_seconds: float | None = None
"""What each call takes, if it isn't what the workload says."""


def begin(query: str) -> float:
    """Note that a call has started; gives the seconds that it takes."""
    _started.append((query, time.time()))
    return _workload.seconds[query] if _tool_seconds is None else _tool_seconds


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


async def words(events: AsyncIterator[Any]) -> str:
    """What a graph's models say in a stream of the modes `messages` and `custom`."""
    return "".join([content[0].text async for mode, content in events if mode == "messages"])


Run = Callable[[str], str]
"""Answers a question."""

RunAsync = Callable[[str], Awaitable[str]]


def serve(run: Run) -> None:
    """Run what is asked for until standard input ends."""
    _serve(run, lambda question, count: [run(question) for _ in range(count)])


def serve_async(run: RunAsync, stream: RunAsync | None = None, *, at_once: bool = True) -> None:
    """The same for an async agent, with one event loop for all runs.

    Args:
        run: Answers a question.
        stream: The same, with what a user interface reads on the way.
        at_once: It can answer several questions at once.
    """

    async def answers(run: RunAsync, question: str, count: int) -> list[str]:
        if at_once:
            return list(await asyncio.gather(*(run(question) for _ in range(count))))
        return [await run(question) for _ in range(count)]

    with asyncio.Runner() as runner:
        _serve(
            lambda question: runner.run(_await(run(question))),
            lambda question, count: runner.run(answers(run, question, count)),
            stream and (lambda question, count: runner.run(answers(stream, question, count))),
        )


async def _await(awaitable: Awaitable[str]) -> str:
    return await awaitable


RunMany = Callable[[str, int], list[str]]


def _serve(run: Run, run_many: RunMany, stream_many: RunMany | None = None) -> None:
    global _workload, _tool_seconds
    out, sys.stdout = sys.stdout, sys.stderr  # what packages print
    for line in sys.stdin:
        asked = json.loads(line)
        _workload, _tool_seconds = WORKLOADS[asked["workload"]], asked.get("tool_seconds")
        _started.clear()
        if count := asked.get("questions"):
            many = stream_many if asked["streamed"] else run_many
            done = many and _count(many, count)
        else:
            done = _measure(run)
        print(json.dumps(done), file=out, flush=True)


def _count(run: RunMany, count: int) -> dict[str, Any]:
    gc.collect()
    before = time.process_time()
    try:
        answers, error = run(_workload.question, count), ""
    except Exception as problem:  # noqa: BLE001 — a contestant's failure is a result
        answers, error = [], f"{type(problem).__name__}: {problem}"
    cpu = time.process_time() - before
    right = sum(_workload.answer.removesuffix(".") in answer for answer in answers)
    return {"cpu": cpu, "calls": len(_started), "right": right, "error": error}


def _measure(run: Run) -> dict[str, Any]:
    began, before = time.time(), time.perf_counter()
    try:
        answer, error = run(_workload.question), ""
    except Exception as problem:  # noqa: BLE001 — a contestant's failure is a result
        answer, error = "", f"{type(problem).__name__}: {problem}"
    seconds = time.perf_counter() - before
    return {"began": began, "seconds": seconds, "started": _started, "answer": answer, "error": error}
