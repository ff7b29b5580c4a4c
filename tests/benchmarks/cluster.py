"""`make bench-cluster`: what one and two servers carry, what a turn costs in PostgreSQL, and what a call on Ray costs.

The servers have one worker each. The model and its 0.3 s for a first token are a process apart; a run has a plan of two
sums, of which the second needs the first, and an answer.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import ray
from langchain_core.tools import BaseTool, tool
from langgraph_sdk import get_client

from apps import cluster
from tests.benchmarks.load import running
from tests.cluster import free_port
from tests.support import ROOT
from tools.ray import on_ray

RUNS_AT_ONCE = 30
TURNS = (1, 10, 100)
SECOND = 1.0


@contextmanager
def servers(number: int, database: str, broker: str, model: str) -> Iterator[list[int]]:
    """Servers that are ready; their ports."""
    settings = {
        "OPENAI_BASE_URL": model,
        "OPENAI_API_KEY": "none",
        "WORKER_COUNT": "1",
        "N_JOBS_PER_WORKER": str(RUNS_AT_ONCE),
        "LOG_LEVEL": "ERROR",
    }
    with ExitStack() as stack:
        ports = [free_port() for _ in range(number)]
        for port in ports:
            command, environment = cluster.server(port, database, broker)
            process = stack.enter_context(cluster.running(command, env={**environment, **settings}, cwd=ROOT))
            cluster.wait_for(port, process)
        yield ports


async def runs_a_second(ports: list[int], number: int) -> float:
    """So many runs, each in a thread of its own, given to the servers in turn."""
    clients = [get_client(url=f"http://127.0.0.1:{port}") for port in ports]

    async def run(item: int) -> None:
        client = clients[item % len(clients)]
        state: Any = await client.runs.wait(None, "llm_compiler", input=question(item))
        assert str(item) in state["messages"][-1]["content"], state

    await asyncio.gather(*(run(item) for item in range(len(ports) * 4)))
    started = time.perf_counter()
    await asyncio.gather(*(run(item) for item in range(number)))
    taken = time.perf_counter() - started
    for client in clients:
        await client.aclose()
    return number / taken


async def turns_of_a_thread(port: int, database: str) -> dict[int, tuple[int, int, int]]:
    """What a turn of a thread costs in PostgreSQL: rows written, bytes written to its log, statements."""
    costs = {}
    client = get_client(url=f"http://127.0.0.1:{port}")
    thread = (await client.threads.create())["thread_id"]
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        for turn in range(1, max(TURNS) + 1):
            before = await counts(connection)
            await client.runs.wait(thread, "llm_compiler", input=question(turn))
            if turn in TURNS:
                after = await counts(connection)
                costs[turn] = tuple(new - old for old, new in zip(before, after, strict=True))
    await client.aclose()
    return costs


async def counts(connection: "psycopg.AsyncConnection[Any]") -> tuple[int, int, int]:
    cursor = await connection.execute(
        "SELECT (SELECT sum(rows) FROM pg_stat_statements WHERE query ~* '^\\s*(insert|update)'),"
        " pg_current_wal_insert_lsn() - '0/0'::pg_lsn, (SELECT sum(calls) FROM pg_stat_statements)"
    )
    rows, written, statements = await cursor.fetchone() or (0, 0, 0)
    return int(rows or 0), int(written), int(statements or 0)


def question(item: int) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": f"What is item {item}?"}]}


def measure_servers(number: int) -> None:
    with ExitStack() as stack:
        database = stack.enter_context(cluster.postgres("-c shared_preload_libraries=pg_stat_statements"))
        database = database.format(database="postgres")
        broker = stack.enter_context(cluster.redis())
        model = stack.enter_context(running("tests.benchmarks.load", "--model"))
        assert model.stdout
        address = model.stdout.readline().strip()
        figures = []
        for count in (1, 2):
            with servers(count, database, broker, address) as ports:
                figures.append(asyncio.run(runs_a_second(ports, number)))
                say(f"{count} server(s): {figures[-1]:.1f} runs a second")
        say(f"two against one: {figures[1] / figures[0]:.2f}")
        with servers(1, database, broker, address) as ports:
            for turn, (rows, written, statements) in asyncio.run(turns_of_a_thread(ports[0], database)).items():
                say(f"turn {turn}: {rows} rows, {written / 1000:.0f} kB, {statements} statements")


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


async def calls_of(made: BaseTool, number: int, arguments: dict[str, Any]) -> float:
    """Seconds that so many calls at once take."""
    await made.ainvoke(arguments)
    started = time.perf_counter()
    await asyncio.gather(*(made.ainvoke(arguments) for _ in range(number)))
    return time.perf_counter() - started


def measure_ray(calls: int) -> None:
    async def measure() -> None:
        warm = [compute.ainvoke({"seconds": 0.01}), *(on_ray(compute).ainvoke({"seconds": 0.5}) for _ in range(4))]
        await asyncio.gather(*warm)
        for made, where in ((answer, "here"), (on_ray(answer, num_cpus=0.1), "on Ray")):
            one_after_another = [await calls_of(made, 1, {"number": 1}) for _ in range(20)]
            say(f"a call {where}: {1000 * sorted(one_after_another)[10]:.2f} ms")
        here = await calls_of(compute, 8, {"seconds": SECOND})
        there = await calls_of(on_ray(compute), 8, {"seconds": SECOND})
        times = f"in threads {here:.2f} s, on Ray {there:.2f} s, {here / there:.2f} times as fast"
        say(f"eight calls of {SECOND:g} s of CPU: {times}")
        many = await calls_of(on_ray(answer, num_cpus=0.1), calls, {"number": 1})
        say(f"{calls} calls on Ray at once: {many:.2f} s")

    ray.init(num_cpus=os.cpu_count(), log_to_driver=False, include_dashboard=False)
    asyncio.run(measure())
    ray.shutdown()


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.cluster", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="how many runs servers are given")
    given = parser.parse_args()
    measure_ray(200)
    measure_servers(given.runs)


if __name__ == "__main__":
    main()
