"""`make load`: the server under 1, 10, 100 and 500 streams at once.

Three processes on the loopback: a scripted model, the server as `make serve` starts it, and this one, which asks. Each
question carries a number of its own, which must come back in the arguments and results of its tools, in each piece of
its answer put together, and in its result: so a stream that is lost, cut off or mixed up with another one is found.
The model answers with the results that it was shown, so that this holds for agents whose calls aren't told as events.
Nothing is tried again. The process ends with 1 if anything was lost, or if memory grew from round to round.

With several graphs each has a server of its own, and they take turns from round to round.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import psutil

from tests.support import ROOT, free_port
from tests.support.model_server import ChatRequest, ModelServer, Reply

TABLE = Path(__file__).parent / "load.md"
LEVELS = (1, 10, 100, 500)
ROUNDS = 3
MOST_GROWTH = 0.1
"""How much more memory the server may have after the last round of a level than after its first one."""

FIRST_TOKEN = 0.3
PER_TOKEN = 0.02
"""Seconds; 50 tokens a second."""

STREAM_TIMEOUT = 290.0
SETTLING = 3.0
"""Seconds after which memory is looked at: connections are closed then."""

KEY = "load"
SUMS = {
    "two": ("{item} * 2", "$1 + {item}"),
    "eight": tuple(f"{{item}} * {factor}" for factor in range(2, 10)),
}
"""What is calculated; the first result is twice the item's number, the second one three times, and so on."""

_QUESTION = re.compile(r"(\w+) sums of item (\d+)")
_SHOWN = re.compile(r" -> (\d+)$", re.MULTILINE)
"""A result, as the joiner is shown it."""


# --- the model


def answer(request: ChatRequest) -> Reply:
    """What the model says: a plan or the next calls, and at the end the results that it was shown."""
    asked = _QUESTION.search(request.user)
    assert asked, f"a question of somebody else: {request.user!r}"
    item = int(asked[2])
    sums = [each.format(item=item) for each in SUMS[asked[1]]]
    text, calls = "", []
    if request.is_planner:
        lines = [f'{number}. math("{each}")' for number, each in enumerate(sums, 1)]
        text = "\n".join([*lines, f"{len(sums) + 1}. join()"])
    elif request.is_joiner:
        text = answer_of(item, _SHOWN.findall("\n".join(str(message["content"]) for message in request.messages)))
    else:
        results = [str(message["content"]) for message in request.messages if message["role"] == "tool"]
        calls = next_calls(sums, results, parallel=request.body.get("parallel_tool_calls", True))
        text = "" if calls else answer_of(item, results)
    return Reply(text, [("math", {"problem": call}) for call in calls], "", FIRST_TOKEN, PER_TOKEN)


def question(sums: str, item: int) -> str:
    """What is asked."""
    return f"What are the {sums} sums of item {item}?"


def next_calls(sums: Sequence[str], results: Sequence[str], *, parallel: bool) -> list[str]:
    """The sums that a model calls for that sees results: all that can be had now, or the next one."""
    left = [each.replace("$1", results[0]) if results else each for each in sums[len(results) :]]
    ready = [each for each in left if "$" not in each]
    return ready if parallel else ready[:1]


def answer_of(item: int, results: Sequence[str]) -> str:
    """What is answered."""
    return f"Item {item} has {', '.join(results)}."


def serve_model() -> None:
    """The model's process: prints its address, and goes on until its standard input is closed."""
    with ModelServer(keep_alive=True) as server:
        server.handler = answer
        print(server.base_url, flush=True)  # noqa: T201
        while sys.stdin.readline():
            server.reset()
            server.handler = answer
            print("reset", flush=True)  # noqa: T201


# --- the client


@dataclass
class Streams:
    """What became of the streams of a round."""

    first: list[float] = field(default_factory=list)
    """Seconds until the first event."""

    complete: list[float] = field(default_factory=list)
    """Seconds until the result."""

    errors: list[str] = field(default_factory=list)


async def stream(port: int, sums: str, item: int, streams: Streams) -> None:
    """Ask one question, and look at everything that comes back."""
    started = time.perf_counter()
    body = json.dumps({"input": {"question": question(sums, item)}}).encode()
    try:
        async with asyncio.timeout(STREAM_TIMEOUT):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
            try:
                # HTTP/1.0: the body comes as it is, until the connection is closed. Without a key it would be refused.
                writer.write(
                    b"POST /agent/stream HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    b"X-API-Key: %s\r\nContent-Length: %d\r\n\r\n%s" % (KEY.encode(), len(body), body)
                )
                results = [str(times * item) for times in range(2, 2 + len(SUMS[sums]))]
                await _read(reader, answer_of(item, results), results, started, streams)
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError, AssertionError) as error:
        streams.errors.append(f"item {item}: {type(error).__name__}: {error}")


async def _read(reader: asyncio.StreamReader, right: str, results: list[str], started: float, streams: Streams) -> None:
    status = (await reader.readline()).decode()
    assert " 200 " in status, f"the server answered {status.strip()!r}"
    said, kind, result, first = "", "", None, None
    while line := await reader.readline():
        name, _, value = line.decode().strip().partition(": ")
        if name == "event":
            kind = value
            assert kind in ("metadata", "data", "end"), f"the run failed: {(await reader.readline()).decode()}"
        elif name == "data" and kind == "data":
            first = first or time.perf_counter() - started
            event = json.loads(value)
            if event["type"] == "task_finished":
                assert event["result"] == results[event["task"] - 1], f"mixed up: {event}"
            elif event["type"] == "answer_text":
                said += event["text"]
            elif event["type"] == "result":
                result = event
    assert kind == "end", "the stream broke off"
    assert result is not None, "there was no result"
    assert first is not None
    streams.first.append(first)
    streams.complete.append(time.perf_counter() - started)
    assert said == result["answer"] == right, f"mixed up: {said!r}, and not {right!r}"
    if result["plans"]:
        assert [task["result"] for task in result["tasks"]] == results, f"lost: {result['tasks']}"


# --- the measurement


@dataclass
class Level:
    """What was measured of a graph with so many streams at once, over all rounds."""

    graph: str
    sums: str
    streams: int
    seconds: float = 0.0
    cpu: float = 0.0
    """Seconds of a core that the server used."""

    asked: int = 0
    seen: Streams = field(default_factory=Streams)
    before: float = 0.0
    """Megabytes of the server before the first round."""

    after: list[float] = field(default_factory=list)
    """After each round."""

    @property
    def lost(self) -> int:
        """Streams that did not end as they should."""
        return len(self.seen.errors)


async def measure(level: Level, port: int, server: psutil.Process, numbers: Iterator[int]) -> None:
    """Run a round of a level."""
    used = cpu_seconds(server)
    level.before = level.before or megabytes(server)
    started = time.perf_counter()
    runs = [stream(port, level.sums, next(numbers), level.seen) for _ in range(level.streams)]
    await asyncio.gather(*runs)
    level.seconds += time.perf_counter() - started
    level.cpu += cpu_seconds(server) - used
    level.asked += len(runs)
    await asyncio.sleep(SETTLING)
    level.after.append(megabytes(server))


def cpu_seconds(process: "psutil.Process | subprocess.Popen[bytes]") -> float:
    """What a process has used of a core."""
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


def megabytes(process: psutil.Process) -> float:
    """The resident memory of a process."""
    return float(process.memory_info().rss) / 2**20


def quantile(values: Sequence[float], part: float) -> float:
    """The value that this part of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))] if values else float("nan")


# --- the processes


@contextmanager
def running(module: str, *arguments: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """A module as a process of its own, which ends with this block."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if arguments else subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


async def up(port: int, server: "subprocess.Popen[str]") -> None:
    """Wait until the server listens."""
    while True:
        if server.poll() is not None:
            raise RuntimeError("The server did not start; see above.")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return


@contextmanager
def serving(graph: str, model: str, runs: int) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    """A server of this graph: its port, and its process."""
    port = free_port()
    openai = {"OPENAI_BASE_URL": model, "OPENAI_API_KEY": "none", "LANGSMITH_TRACING": "false"}
    limits = {"LLM_COMPILER_MAX_RUNS": str(runs), "LLM_COMPILER_API_KEY": KEY, "CHECKPOINT_DB": ""}
    where = {"PORT": str(port), "HOST": "127.0.0.1", "LLM_COMPILER_GRAPH": graph}
    with running("apps.server", **openai, **limits, **where) as process:
        yield port, process


async def run(graphs: Sequence[str], sums: Sequence[str], sizes: Sequence[int]) -> list[Level]:
    """Start everything, and measure each level, the graphs in turn."""
    numbers = iter(range(1000, 10**9))
    measured = []
    with ExitStack() as stack:
        model = stack.enter_context(running("tests.benchmarks.load", "--model"))
        assert model.stdout
        assert model.stdin
        address = model.stdout.readline().strip()
        servers = [stack.enter_context(serving(graph, address, 2 * max(sizes))) for graph in graphs]
        for port, server in servers:
            await up(port, server)
            await asyncio.gather(*(stream(port, sums[0], next(numbers), Streams()) for _ in range(10)))
        await asyncio.sleep(SETTLING)
        for of_what, size in product(sums, sizes):
            levels = [Level(graph, of_what, size) for graph in graphs]
            for _ in range(ROUNDS):
                for level, (port, server) in zip(levels, servers, strict=True):
                    await measure(level, port, psutil.Process(server.pid), numbers)
            for error in [error for level in levels for error in level.seen.errors[:5]]:
                print(error, file=sys.stderr)  # noqa: T201
            measured += levels
            model.stdin.write("reset\n")
            model.stdin.flush()
            model.stdout.readline()
    return measured


# --- the report


def table(levels: Sequence[Level]) -> str:
    """What was measured, as Markdown."""
    lines = [
        "| graph | sums | streams at once | asked | lost or mixed up | a second | ms of a core each "
        "| first event p50 / p95 / p99 | complete p50 / p95 / p99 | memory before, and after each round |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for level in levels:
        first, complete = (
            " / ".join(f"{quantile(values, part):.2f}" for part in (0.5, 0.95, 0.99)) + " s"
            for values in (level.seen.first, level.seen.complete)
        )
        what = f"{level.graph} | {level.sums} | {level.streams} | {level.asked} | {level.lost}"
        counts = f"{what} | {level.asked / level.seconds:.1f} | {level.cpu / level.asked * 1000:.0f}"
        memory = f"{level.before:.0f}; {', '.join(f'{after:.0f}' for after in level.after)} MB"
        lines.append(f"| {counts} | {first} | {complete} | {memory} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write it down if asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.load", description=__doc__)
    parser.add_argument("--graph", nargs="+", default=["llm_compiler"], help="names in langgraph.json, such as react")
    parser.add_argument("--sums", nargs="+", default=["two"], choices=SUMS, help="what a question asks for")
    parser.add_argument("--streams", type=int, nargs="+", default=LEVELS, help="how many at once")
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.name}")
    parser.add_argument("--model", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.model:
        serve_model()
        return
    levels = asyncio.run(run(given.graph, given.sums, given.streams))
    measured = table(levels)
    print(measured)  # noqa: T201
    if given.write:
        about = f"Python {platform.python_version()}, {os.cpu_count()} cores for all three processes."
        TABLE.write_text(HEAD.format(about=about) + measured, "utf-8")
    if any(level.lost or level.after[-1] > level.after[0] * (1 + MOST_GROWTH) for level in levels):
        sys.exit(1)


HEAD = """\
# The server under load

Made by `make load ARGS=--write`; [load.py](load.py) says how. The model sends its first token after 300 ms, and 50
tokens a second; a run has a plan with two sums, of which the second needs the first, and an answer, so that it takes
about 1.4 s when nothing is in its way. What it takes of a core is mostly the model's client and LangGraph: with many
streams at once, that is what they wait for. Each level has three rounds, from one to the next of which memory does not
grow: what a busy moment has taken, Python keeps for the next one. {about}

"""

if __name__ == "__main__":
    main()
