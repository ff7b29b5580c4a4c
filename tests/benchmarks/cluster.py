"""`make bench-cluster`: what one and two servers carry, what a turn costs in PostgreSQL, and what a call on Ray costs.

    make bench-cluster ARGS=servers    # or turns, or ray; all of them without

The model is a process apart, which says at once what it has to say; a run has a plan of two sums, of which the second
needs the first, and an answer. Where two things are compared they are measured in turn, ROUNDS times, and the median is
told. What others do on the machine changes seconds, and CPU time hardly: both are told.
"""

import argparse
import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import psutil
import psycopg
import ray
from langchain_core.tools import BaseTool, tool
from langgraph_sdk import get_client

from apps.cluster.__main__ import server, wait_for
from apps.cluster.databases import postgres, redis
from tests.benchmarks import load
from tests.benchmarks.load import cpu_seconds
from tests.cluster import free_port, patient_ray
from tests.support import ROOT
from tests.support.model_server import ChatRequest, ModelServer, Reply
from tools.ray import on_ray

ROUNDS = 3
RUNS_AT_ONCE = 10
"""Of a server: what a worker of Aegra takes, if nothing else is set."""

TURNS = (1, 10, 99, 100)
SECOND = 1.0
MEGABYTES = 50


# --- servers


@dataclass
class Servers:
    """Servers that share a database and a broker of their own."""

    database: str
    ports: list[int] = field(default_factory=list)
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    speeds: list[float] = field(default_factory=list)
    """Runs a second, of each round."""

    costs: list[float] = field(default_factory=list)
    """CPU seconds of the servers for a run, of each round."""


@contextmanager
def servers(number: int, database: str, model: str) -> Iterator[Servers]:
    """Servers that are ready, with one worker each."""
    settings = {
        "OPENAI_BASE_URL": model,
        "OPENAI_API_KEY": "none",
        "LLM_COMPILER_MODEL": "openai:test-model",
        "WORKER_COUNT": "1",
        "N_JOBS_PER_WORKER": str(RUNS_AT_ONCE),
        "LOG_LEVEL": "ERROR",
    }
    with ExitStack() as stack:
        broker = stack.enter_context(redis())
        made = Servers(database)
        for _ in range(number):
            port = free_port()
            command, environment = server(port, database, broker)
            process = stack.enter_context(subprocess.Popen(command, env={**environment, **settings}, cwd=ROOT))
            stack.callback(process.terminate)
            wait_for(port, process)
            made.ports.append(port)
            made.processes.append(process)
        yield made


async def give(to: Servers, runs: int) -> None:
    """So many runs, each in a thread of its own, given to the servers in turn."""
    clients = [get_client(url=f"http://127.0.0.1:{port}") for port in to.ports]
    numbers = iter(range(runs))

    async def ask() -> None:
        for item in numbers:
            client = clients[item % len(clients)]
            state: Any = await client.runs.wait(None, "llm_compiler", input=question(item))
            assert str(item) in state["messages"][-1]["content"], state

    await asyncio.gather(*(ask() for _ in range(RUNS_AT_ONCE * len(clients))))
    for client in clients:
        await client.aclose()


def measure_round(of: Servers, runs: int) -> None:
    before, started = sum(map(cpu_seconds, of.processes)), time.perf_counter()
    asyncio.run(give(of, runs))
    of.speeds.append(runs / (time.perf_counter() - started))
    of.costs.append((sum(map(cpu_seconds, of.processes)) - before) / runs)


def cpu_of_postgres(database: str) -> float:
    """What a PostgreSQL server has used, with its connections that have ended."""
    with psycopg.connect(database) as connection:
        server = psutil.Process(connection.info.backend_pid).parent()
    assert server
    processes = [server, *server.children()]
    return sum(sum(process.cpu_times()[:4]) for process in processes)


def question(item: int) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": load.question("two", item)}]}


def say_at_once(request: ChatRequest) -> Reply:
    return Reply(load.answer(request).text)


def serve_model() -> None:
    """The model's process: prints its address, and goes on until its standard input is closed."""
    with ModelServer() as server:
        server.handler = say_at_once
        say(server.base_url)
        sys.stdin.read()


@contextmanager
def model_and_databases(*names: str) -> Iterator[tuple[Any, str, list[str]]]:
    """The model's process, its address, and empty databases of one PostgreSQL."""
    options = "-c shared_preload_libraries=pg_stat_statements -c full_page_writes=off"
    with postgres(options) as url, load.running("tests.benchmarks.cluster", "--model") as model:
        with psycopg.connect(url.format(database="postgres"), autocommit=True) as connection:
            for name in names:
                connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        assert model.stdout
        yield model, model.stdout.readline().strip(), [url.format(database=name) for name in names]


def measure_servers(runs: int) -> None:
    with model_and_databases("one", "two") as (model, address, databases), ExitStack() as stack:
        one, two = (
            stack.enter_context(servers(number, database, address)) for number, database in enumerate(databases, 1)
        )
        for each in (one, two):
            asyncio.run(give(each, 2 * RUNS_AT_ONCE))  # warm
        others = (cpu_seconds(model), cpu_of_postgres(one.database), cpu_seconds(psutil.Process()))
        for _ in range(ROUNDS):
            for each in (one, two):
                measure_round(each, runs)
        after = (cpu_seconds(model), cpu_of_postgres(one.database), cpu_seconds(psutil.Process()))
        for each in (one, two):
            cost = f"{1000 * median(each.costs):.0f} ms of the servers' CPU a run"
            say(f"{len(each.ports)} server(s): {median(each.speeds):.1f} runs a second, {cost}")
        ratios = [of_two / of_one for of_one, of_two in zip(one.speeds, two.speeds, strict=True)]
        say(f"two against one: {median(ratios):.2f} ({', '.join(f'{ratio:.2f}' for ratio in ratios)})")
        total = 2 * ROUNDS * runs
        model_s, postgres_s, client = (1000 * (end - start) / total for start, end in zip(others, after, strict=True))
        say(f"beside them, a run costs: PostgreSQL {postgres_s:.0f} ms, model {model_s:.0f} ms, client {client:.0f} ms")


# --- a thread that grows


COUNTS = """
SELECT (SELECT coalesce(sum(rows), 0) FROM pg_stat_statements WHERE query ~* '^\\s*(insert|update)'),
       (SELECT coalesce(sum(calls), 0) FROM pg_stat_statements),
       pg_current_wal_insert_lsn() - '0/0'::pg_lsn,
       (SELECT coalesce(sum(pg_column_size(c)), 0) FROM checkpoints c WHERE thread_id = %(thread)s)
       + (SELECT coalesce(sum(pg_column_size(b)), 0) FROM checkpoint_blobs b WHERE thread_id = %(thread)s)
       + (SELECT coalesce(sum(pg_column_size(w)), 0) FROM checkpoint_writes w WHERE thread_id = %(thread)s),
       (SELECT coalesce(sum(pg_column_size(r)), 0) FROM runs r WHERE thread_id = %(thread)s)
"""


def measure_turns(modes: tuple[str, ...] = ("values", "updates")) -> None:
    """What a turn of a thread costs in PostgreSQL, for a client that reads whole states, and one that reads steps."""
    with model_and_databases("turns") as (_, address, (database,)), servers(1, database, address) as server:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION pg_stat_statements")
        for mode in modes:
            say(f"stream_mode={mode!r}:")
            asyncio.run(measure_turns_read_as(mode, server))


async def measure_turns_read_as(mode: Any, server: Servers) -> None:
    async with (
        get_client(url=f"http://127.0.0.1:{server.ports[0]}") as client,
        await psycopg.AsyncConnection.connect(server.database, autocommit=True) as connection,
    ):
        thread = (await client.threads.create())["thread_id"]

        async def counts() -> tuple[int, ...]:
            cursor = await connection.execute(COUNTS, {"thread": thread})
            return tuple(map(int, await cursor.fetchone() or ()))

        for turn in range(1, max(TURNS) + 1):
            before = await counts() if turn in TURNS else ()
            async for part in client.runs.stream(thread, "llm_compiler", input=question(turn), stream_mode=mode):
                assert part.event != "error", part
            if turn in TURNS:
                differences = [new - old for old, new in zip(before, await counts(), strict=True)]
                rows, statements, log, checkpoints, run = differences
                stored = f"{checkpoints / 1000:.1f} kB of checkpoints, {run / 1000:.1f} kB of the run's record"
                say(f"  turn {turn}: {rows} rows, {statements} statements, {log / 1000:.0f} kB of log; {stored}")


# --- Ray


@tool
def compute(seconds: float) -> int:
    """counts for so much CPU time"""
    number, until = 0, time.thread_time() + seconds
    while time.thread_time() < until:
        number += 1
    return number


@tool
async def answer(number: int) -> int:
    """the number"""
    return number


@tool
def array(megabytes: int) -> Any:
    """so many megabytes"""
    import numpy

    return numpy.zeros(megabytes * 1_000_000, dtype="uint8")


@tool
def size_of(data: Any) -> int:
    """its length"""
    return len(data)


async def seconds_of(made: BaseTool, number: int, arguments: dict[str, Any]) -> float:
    """Seconds that so many calls at once take."""
    started = time.perf_counter()
    await asyncio.gather(*(made.ainvoke(arguments) for _ in range(number)))
    return time.perf_counter() - started


async def through_the_driver() -> float:
    """Seconds that a big result takes from one tool on Ray to the next."""
    started = time.perf_counter()
    data = await on_ray(array).ainvoke({"megabytes": MEGABYTES})
    assert await on_ray(size_of).ainvoke({"data": data}) == MEGABYTES * 1_000_000
    return time.perf_counter() - started


async def in_the_object_store() -> float:
    """The same without the driver: what it would take if results stayed where they are."""
    remote = ray.remote
    started = time.perf_counter()
    data = remote(array.func).remote(MEGABYTES)  # type: ignore[attr-defined]
    assert await remote(size_of.func).remote(data) == MEGABYTES * 1_000_000  # type: ignore[attr-defined]
    return time.perf_counter() - started


def measure_ray() -> None:
    async def measure() -> None:
        quick, remote = on_ray(answer, num_cpus=0.1), on_ray(compute)
        await seconds_of(remote, 4, {"seconds": 0.5})  # until workers are there
        for made, where in ((answer, "here"), (quick, "on Ray")):
            times = [await seconds_of(made, 1, {"number": 1}) for _ in range(30)]
            say(f"a call {where}: {1000 * median(times):.2f} ms")
        work, ratios = {"seconds": SECOND}, []
        for _ in range(ROUNDS):
            here, there = await seconds_of(compute, 8, work), await seconds_of(remote, 8, work)
            ratios.append(here / there)
            say(f"eight calls of {SECOND:g} s of CPU: in threads {here:.1f} s, on Ray {there:.1f} s")
        say(f"on Ray {median(ratios):.2f} times as fast")
        say(f"200 calls on Ray at once: {await seconds_of(quick, 200, {'number': 1}):.2f} s")
        driver = median([await through_the_driver() for _ in range(2 * ROUNDS)])
        store = median([await in_the_object_store() for _ in range(2 * ROUNDS)])
        sizes = f"{1000 * driver:.0f} ms through the driver, {1000 * store:.0f} ms in the object store"
        say(f"{MEGABYTES} MB from one tool to the next: {sizes}")

    with patient_ray():
        ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
        asyncio.run(measure())
        ray.shutdown()


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.cluster", description=__doc__)
    parser.add_argument("what", nargs="*", default=["ray", "servers", "turns"], help="servers, turns, ray")
    parser.add_argument("--runs", type=int, default=200, help="how many runs servers are given in a round")
    parser.add_argument("--model", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.model:
        serve_model()
        return
    if "ray" in given.what:
        measure_ray()
    if "servers" in given.what:
        measure_servers(given.runs)
    if "turns" in given.what:
        measure_turns()


if __name__ == "__main__":
    main()
