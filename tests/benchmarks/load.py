"""`make load`: the server under 1, 10, 100 and 500 streams at once.

Three processes on the loopback: a scripted model, the server as `make serve` starts it, and this one, which asks. Each
question carries a number of its own, which must come back in the arguments and results of its tools, in each piece of
its answer put together, and in its result: so a stream that is lost, cut off or mixed up with another one is found.
Nothing is tried again. The process ends with 1 if anything was lost, or if memory grew from round to round.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import ROOT
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

_ITEM = re.compile(r"item (\d+)")


# --- the model


def answer(request: ChatRequest) -> Reply:
    """What the model says: two sums, and an answer with the number of the question."""
    item = _ITEM.search(request.user)
    number = item[1] if item else "?"
    if request.is_planner:
        text = f'1. math("{number} * 2")\n2. math("$1 + {number}")\n3. join()'
    else:
        text = f"This is about item {number}, and nothing else."
    return Reply(text, first_token=FIRST_TOKEN, per_token=PER_TOKEN)


def serve_model() -> None:
    """The model's process: prints its address, and goes on until its standard input is closed."""
    with ModelServer() as server:
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


async def stream(port: int, item: int, streams: Streams) -> None:
    """Ask one question, and look at everything that comes back."""
    started = time.perf_counter()
    body = json.dumps({"input": {"question": f"What is item {item}?"}}).encode()
    try:
        async with asyncio.timeout(STREAM_TIMEOUT):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
            try:
                # HTTP/1.0: the body comes as it is, until the connection is closed.
                writer.write(
                    b"POST /agent/stream HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
                )
                await _read(reader, item, started, streams)
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError, AssertionError) as error:
        streams.errors.append(f"item {item}: {type(error).__name__}: {error}")


async def _read(reader: asyncio.StreamReader, item: int, started: float, streams: Streams) -> None:
    status = (await reader.readline()).decode()
    assert " 200 " in status, f"the server answered {status.strip()!r}"
    said, kind, result = "", "", None
    while line := await reader.readline():
        name, _, value = line.decode().strip().partition(": ")
        if name == "event":
            kind = value
            assert kind in ("metadata", "data", "end"), f"the run failed: {(await reader.readline()).decode()}"
        elif name == "data" and kind == "data":
            event = json.loads(value)
            if event["type"] == "plan_started":
                streams.first.append(time.perf_counter() - started)
            elif event["type"] == "task_finished":
                assert event["result"] == str((event["task"] + 1) * item), f"mixed up: {event}"
            elif event["type"] == "answer_text":
                said += event["text"]
            elif event["type"] == "result":
                result = event
    streams.complete.append(time.perf_counter() - started)
    assert kind == "end", "the stream broke off"
    assert result is not None, "there was no result"
    assert said == result["answer"] == f"This is about item {item}, and nothing else.", f"mixed up: {said!r}"
    assert [task["result"] for task in result["tasks"]] == [str(2 * item), str(3 * item)], f"lost: {result['tasks']}"


# --- the measurement


@dataclass
class Level:
    """What was measured with so many streams at once, over all rounds."""

    streams: int
    seconds: float = 0.0
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


async def measure(level: Level, port: int, server: int, numbers: Iterator[int]) -> None:
    """Run the rounds of a level."""
    level.before = await settled(server)
    for _ in range(ROUNDS):
        started = time.perf_counter()
        runs = [asyncio.create_task(stream(port, next(numbers), level.seen)) for _ in range(level.streams)]
        await asyncio.gather(*runs)
        level.seconds += time.perf_counter() - started
        level.asked += len(runs)
        level.after.append(await settled(server))


async def settled(server: int) -> float:
    """The server's memory, a while after the last request."""
    await asyncio.sleep(SETTLING)
    return await asyncio.to_thread(megabytes, server)


def megabytes(process: int) -> float:
    """The resident memory of a process."""
    kilobytes = subprocess.run(["ps", "-o", "rss=", "-p", str(process)], capture_output=True, text=True, check=True)
    return int(kilobytes.stdout) / 1024


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


async def run(sizes: Sequence[int]) -> list[Level]:
    """Start everything, and measure each level."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    limits = {"LLM_COMPILER_MAX_RUNS": str(2 * max(sizes)), "LLM_COMPILER_API_KEY": "", "CHECKPOINT_DB": ""}
    numbers = iter(range(1000, 10**9))
    levels = [Level(size) for size in sizes]
    with running("tests.benchmarks.load", "--model") as model:
        assert model.stdout
        assert model.stdin
        address = model.stdout.readline().strip()
        openai = {"OPENAI_BASE_URL": address, "OPENAI_API_KEY": "none", "LANGSMITH_TRACING": "false"}
        with running("apps.server", PORT=str(port), HOST="127.0.0.1", **openai, **limits) as server:
            await up(port, server)
            warm = Streams()
            await asyncio.gather(*(stream(port, next(numbers), warm) for _ in range(10)))
            for level in levels:
                await measure(level, port, server.pid, numbers)
                for error in level.seen.errors[:5]:
                    print(error, file=sys.stderr)  # noqa: T201
                model.stdin.write("reset\n")
                model.stdin.flush()
                model.stdout.readline()
    return levels


# --- the report


def table(levels: Sequence[Level]) -> str:
    """What was measured, as Markdown."""
    lines = [
        "| streams at once | asked | lost or mixed up | a second | first event p50 / p95 / p99 "
        "| complete p50 / p95 / p99 | memory before, and after each round |",
        "|---|---|---|---|---|---|---|",
    ]
    for level in levels:
        first, complete = (
            " / ".join(f"{quantile(values, part):.2f}" for part in (0.5, 0.95, 0.99)) + " s"
            for values in (level.seen.first, level.seen.complete)
        )
        counts = f"{level.streams} | {level.asked} | {level.lost} | {level.asked / level.seconds:.1f}"
        memory = f"{level.before:.0f}; {', '.join(f'{after:.0f}' for after in level.after)} MB"
        lines.append(f"| {counts} | {first} | {complete} | {memory} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write it down if asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.load", description=__doc__)
    parser.add_argument("--streams", type=int, nargs="*", default=LEVELS, help="how many at once")
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.name}")
    parser.add_argument("--model", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.model:
        serve_model()
        return
    levels = asyncio.run(run(given.streams))
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
about 1.4 s when nothing is in its way. A run costs the server 30 ms of CPU, most of it in the model's client and in
LangGraph: with many streams at once, that is what they wait for. Each level has three rounds, from one to the next of
which memory does not grow: what a busy moment has taken, Python keeps for the next one. {about}

"""

if __name__ == "__main__":
    main()
