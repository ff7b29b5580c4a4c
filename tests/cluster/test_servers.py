"""Two servers that share graphs, PostgreSQL and Redis: real processes, asked by LangGraph's own client."""

import asyncio
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError
from langgraph_sdk.schema import Run

from apps.cluster.__main__ import server, wait_for
from apps.cluster.databases import postgres, redis
from tests.support import PATIENCE, ROOT, free_port
from tests.support.model_server import ModelServer

pytestmark = pytest.mark.timeout(600)  # the first one starts the servers

RUNS_OF_A_SERVER = 4
APPROVE: Any = {"resume": {"decisions": [{"type": "approve"}]}}
TWO_TURNS = ["One?", "First.", "Two?", "Second."]
PLAN = '1. work("a")\n2. work("$1b")\n3. work("$2c")\n4. join()'
SETTINGS = {
    "AEGRA_CONFIG": "tests/cluster/langgraph.json",
    "LLM_COMPILER_MODEL": "openai:test-model",
    "OPENAI_API_KEY": "test",
    "WORKER_COUNT": "1",
    "N_JOBS_PER_WORKER": str(RUNS_OF_A_SERVER),
    "LEASE_DURATION_SECONDS": "600",  # none runs out by itself, however slow the machine is
    "REAPER_INTERVAL_SECONDS": "1",
    "WORKER_DRAIN_TIMEOUT": "0.1",
}


@dataclass
class Servers:
    """Two servers, and what they share."""

    database: str
    broker: str
    model: str
    gate: Path
    ports: list[int] = field(default_factory=lambda: [free_port(), free_port()])
    processes: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self, which: int) -> None:
        command, environment = server(self.ports[which], self.database, self.broker)
        settings = {**SETTINGS, "OPENAI_BASE_URL": self.model, "GATE": str(self.gate)}
        self.processes[which] = subprocess.Popen(command, env={**environment, **settings}, cwd=ROOT)
        wait_for(self.ports[which], self.processes[which])

    def kill(self, which: int) -> int:
        """Kill a server; its process id."""
        process = self.processes.pop(which)
        process.kill()
        process.wait()
        return process.pid

    async def stop(self, which: int) -> None:
        """Tell a server to stop, and wait until it has."""
        process = self.processes.pop(which)
        process.terminate()
        async with asyncio.timeout(PATIENCE):
            await asyncio.to_thread(process.wait)

    def let_leases_run_out(self, threads: list[str]) -> None:
        """The time passes after which the runs of a server that died are taken up by others."""
        with psycopg.connect(self.database) as connection:
            connection.execute("UPDATE runs SET lease_expires_at = now() WHERE thread_id = ANY(%s)", [threads])

    def have_died(self, run: str) -> None:
        """The server that had this run died before it said how the run had ended."""
        with psycopg.connect(self.database) as connection:
            query = (
                "UPDATE runs SET status = 'running', claimed_by = 'dead', lease_expires_at = now() WHERE run_id = %s"
            )
            connection.execute(query, [run])

    def end_connections(self) -> None:
        """What happens to the servers when PostgreSQL is restarted."""
        with psycopg.connect(self.database) as connection:
            query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IS NOT NULL AND pid <> %s"
            connection.execute(query, [connection.info.backend_pid])

    def let_steps_expire(self, thread: str) -> None:
        """The time passes after which Aegra deletes the thread's old steps."""
        with psycopg.connect(self.database) as connection:
            connection.execute("UPDATE thread_ttl SET expires_at = now() WHERE thread_id = %s", [thread])


@pytest.fixture(scope="module")
def servers(_running_model_server: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with ExitStack() as shared:
        database = shared.enter_context(postgres()).format(database="postgres")
        gate = tmp_path_factory.mktemp("gate") / "socket"
        both = Servers(database, shared.enter_context(redis()), _running_model_server.base_url, gate)
        try:
            both.start(0)
            both.start(1)
            yield both
        finally:
            for which in list(both.processes):
                both.kill(which)


@pytest.fixture
async def clients(servers: Servers) -> AsyncIterator[list[LangGraphClient]]:
    both = [get_client(url=f"http://127.0.0.1:{port}") for port in servers.ports]
    yield both
    for client in both:
        await client.aclose()


@dataclass
class Gate:
    """Where the tools arrive, and wait until they are let through."""

    arrived: list[tuple[str, int, str]] = field(default_factory=list)
    """Of each call, its thread, its process and its argument."""

    opened: dict[str, asyncio.Event] = field(default_factory=dict)
    """For each argument."""

    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        thread, process, name = (await reader.readline()).decode().split()
        async with self.changed:
            self.arrived.append((thread, int(process), name))
            self.changed.notify_all()
        await self.of(name).wait()
        writer.write(b"\n")
        writer.close()

    def of(self, name: str) -> asyncio.Event:
        return self.opened.setdefault(name, asyncio.Event())

    def open(self, *names: str) -> None:
        for name in names:
            self.of(name).set()

    async def until(self, name: str, number: int = 1) -> list[tuple[str, int]]:
        """Wait for so many calls with this argument: their threads and processes."""
        async with asyncio.timeout(PATIENCE), self.changed:
            await self.changed.wait_for(lambda: len(self.at(name)) >= number)
        return self.at(name)

    def at(self, name: str) -> list[tuple[str, int]]:
        return [(thread, process) for thread, process, argument in self.arrived if argument == name]


@pytest.fixture
async def gate(servers: Servers) -> AsyncIterator[Gate]:
    gate = Gate()
    listening = await asyncio.start_unix_server(gate.serve, servers.gate)
    yield gate
    gate.open("a", "ab", "abc")
    listening.close()


def question(text: str = "Go.") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


async def new_thread(client: LangGraphClient) -> str:
    return (await client.threads.create())["thread_id"]


def answer_of(state: Any) -> str:
    return str(state["messages"][-1]["content"])


def said(state: Any) -> list[str]:
    """What the user and the agent said, without plans and results."""
    texts = [message["content"] for message in state["messages"] if message["type"] in ("human", "ai")]
    return [text for text in texts if text]


async def test_a_run_is_followed_at_the_other_server(
    clients: list[LangGraphClient], gate: Gate, model_server: ModelServer
) -> None:
    model_server.script(planner=[PLAN], joiner=["Done."])
    gate.open("a", "ab")
    thread = await new_thread(clients[0])
    run = await clients[0].runs.create(thread, "chain", input=question(), stream_mode=["custom", "values"])
    await gate.until("abc")
    events = [
        part.data
        async for part in open_after(clients[1].runs.join_stream(thread, run["run_id"]), gate, "abc")
        if part.event == "custom"
    ]
    finished = [event["task"] for event in events if event["type"] == "task_finished"]
    assert finished[-1] == 3


async def open_after(stream: AsyncIterator[Any], gate: Gate, name: str) -> AsyncIterator[Any]:
    """The stream; the gate opens when its first part is there."""
    async for part in stream:
        gate.open(name)
        yield part


def paid(state: Any) -> list[str]:
    return [message["content"] for message in state["messages"] if message["type"] == "tool"]


async def test_an_approval_is_given_at_the_other_server(
    clients: list[LangGraphClient], model_server: ModelServer
) -> None:
    model_server.script(planner=['1. pay("ann")\n2. join()'], joiner=["It is paid."])
    thread = await new_thread(clients[0])
    await clients[0].runs.wait(thread, "payment", input=question())
    (interrupt,) = (await clients[1].threads.get_state(thread))["interrupts"]
    assert interrupt["value"]["action_requests"][0]["args"] == {"to": "ann"}
    assert paid(await clients[1].runs.wait(thread, "payment", command=APPROVE)) == ["paid to ann"]


async def streamed(client: LangGraphClient, thread: str, **given: Any) -> list[Any]:
    """The parts of a run of the graph that pays, to its end."""
    return [part async for part in client.runs.stream(thread, "payment", **given)]


async def test_a_decision_counts_for_the_pause_that_it_was_given_for(
    servers: Servers, clients: list[LangGraphClient], model_server: ModelServer
) -> None:
    """A server dies when its run has paused again: the other one is given the run, with the decision."""
    model_server.script(planner=['1. pay("ann")\n2. pay($1)\n3. join()'])
    thread = await new_thread(clients[0])
    await streamed(clients[0], thread, input=question())
    await streamed(clients[0], thread, command=APPROVE)
    (run,) = await clients[0].runs.list(thread, limit=1)
    servers.have_died(run["run_id"])
    await until_ended(clients[1], run)
    (interrupt,) = (await clients[1].threads.get_state(thread))["interrupts"]
    assert interrupt["value"]["action_requests"][0]["args"] == {"to": "paid to ann"}


async def until_ended(client: LangGraphClient, run: Run) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if (await client.runs.get(run["thread_id"], run["run_id"]))["status"] not in ("pending", "running"):
                return
            await asyncio.sleep(0.05)


async def test_a_pause_is_decided_about_after_a_run_that_failed(
    clients: list[LangGraphClient], model_server: ModelServer
) -> None:
    model_server.script(planner=['1. pay("ann")\n2. join()'], joiner=["It is paid."])
    thread = await new_thread(clients[0])
    await streamed(clients[0], thread, input=question())
    failed = await streamed(clients[0], thread, command=APPROVE, context={"max_tasks": "many"})
    assert "error" in [part.event for part in failed]
    await streamed(clients[1], thread, command=APPROVE)
    assert paid((await clients[1].threads.get_state(thread))["values"]) == ["paid to ann"]


async def test_a_thread_goes_on_at_the_other_server(
    clients: list[LangGraphClient], gate: Gate, model_server: ModelServer
) -> None:
    model_server.script(planner=[PLAN, "4. join()"], joiner=["First.", "Second."])
    gate.open("a", "ab", "abc")
    thread = await new_thread(clients[0])
    await clients[0].runs.wait(thread, "chain", input=question("One?"))
    assert said(await clients[1].runs.wait(thread, "chain", input=question("Two?"))) == TWO_TURNS


async def test_a_conversation_outlives_the_expiry_of_its_steps(
    servers: Servers, clients: list[LangGraphClient], gate: Gate, model_server: ModelServer
) -> None:
    model_server.script(planner=[PLAN, "4. join()"], joiner=["First.", "Second."])
    gate.open("a", "ab", "abc")
    thread = (await clients[0].threads.create(ttl={"strategy": "keep_latest", "ttl": 60}))["thread_id"]  # type: ignore[typeddict-item]
    await clients[0].runs.wait(thread, "chain", input=question("One?"))
    servers.let_steps_expire(thread)
    assert await clients[0].http.post("/threads/prune", json=None) == {"deleted": 0, "pruned": 1}
    assert said(await clients[0].runs.wait(thread, "chain", input=question("Two?"))) == TWO_TURNS


async def test_a_thread_has_one_run_at_a_time_whichever_server_is_asked(
    clients: list[LangGraphClient], gate: Gate, model_server: ModelServer
) -> None:
    model_server.script(planner=[PLAN, "4. join()"], joiner=["First.", "Second."])
    gate.open("a", "ab")
    thread = await new_thread(clients[0])
    first = await clients[0].runs.create(thread, "chain", input=question("One?"))
    await gate.until("abc")
    for client in clients:
        with pytest.raises(httpx.HTTPStatusError, match="409 Conflict"):
            await client.runs.wait(thread, "chain", input=question("Two?"))
    gate.open("abc")
    await clients[0].runs.join(thread, first["run_id"])
    assert said(await clients[1].runs.wait(thread, "chain", input=question("Two?"))) == TWO_TURNS


async def test_who_makes_a_thread_at_the_same_time_as_another_is_refused(
    servers: Servers, clients: list[LangGraphClient]
) -> None:
    thread = str(uuid4())
    async with await psycopg.AsyncConnection.connect(servers.database) as other:
        query = "INSERT INTO thread (thread_id, status, metadata_json, user_id) VALUES (%s, 'idle', '{}', 'anonymous')"
        await other.execute(query, [thread])
        run = asyncio.create_task(clients[0].runs.create(thread, "chain", input=question()))
        await until_one_waits_for(other)
    with pytest.raises(ConflictError, match="just made this thread"):
        await run


async def run_that_waits(client: LangGraphClient, gate: Gate, model_server: ModelServer) -> tuple[str, str, int]:
    """A run whose third call waits at the gate: its thread, its id, and the process that has it."""
    model_server.script(planner=[PLAN], joiner=["Done."])
    gate.open("a", "ab")
    thread = await new_thread(client)
    run = await client.runs.create(thread, "chain", input=question())
    ((_, process),) = await gate.until("abc")
    return thread, run["run_id"], process


async def test_a_run_goes_on_when_postgresql_has_been_restarted(
    servers: Servers, clients: list[LangGraphClient], gate: Gate, model_server: ModelServer
) -> None:
    thread, run, _ = await run_that_waits(clients[0], gate, model_server)
    servers.end_connections()
    gate.open("abc")
    assert answer_of(await clients[1].runs.join(thread, run)) == "Done."


async def test_a_server_that_stops_hands_its_runs_over_though_clients_wait_for_them(
    servers: Servers, clients: list[LangGraphClient], gate: Gate, model_server: ModelServer
) -> None:
    thread, run, process = await run_that_waits(clients[0], gate, model_server)
    which = next(number for number, server in servers.processes.items() if server.pid == process)
    join = f"http://127.0.0.1:{servers.ports[which]}/threads/{thread}/runs/{run}/join"
    async with httpx.AsyncClient() as client, client.stream("GET", join):
        await servers.stop(which)
    await gate.until("abc", 2)
    gate.open("abc")
    assert answer_of(await clients[1 - which].runs.join(thread, run)) == "Done."
    await asyncio.to_thread(servers.start, which)


async def test_runs_of_a_server_that_is_killed_are_finished_by_the_other(
    servers: Servers, clients: list[LangGraphClient], gate: Gate, model_server: ModelServer
) -> None:
    """No plan is paid for twice, and no call that had finished is made again."""
    number = 2 * RUNS_OF_A_SERVER
    model_server.script(planner=[PLAN] * number, joiner=["Done."] * number)
    gate.open("a", "ab")
    threads = [await new_thread(clients[1]) for _ in range(number)]
    runs = [await clients[1].runs.create(thread, "chain", input=question()) for thread in threads]
    processes = Counter(process for _, process in await gate.until("abc", number))
    assert list(processes.values()) == [RUNS_OF_A_SERVER] * 2
    await until_saved(servers.database, threads, results=4)
    killed = servers.kill(0)
    gate.open("abc")
    servers.let_leases_run_out([thread for thread, process in gate.at("abc") if process == killed])
    states = [await clients[1].runs.join(thread, run["run_id"]) for thread, run in zip(threads, runs, strict=True)]
    assert [answer_of(state) for state in states] == ["Done."] * number
    assert sorted(gate.at("a") + gate.at("ab")) == sorted((thread, process) for thread, process in gate.at("a") * 2)
    again = Counter(thread for thread, _ in gate.at("abc"))
    assert again == {thread: 2 if process == killed else 1 for thread, process in gate.at("a")}


async def until_one_waits_for(connection: "psycopg.AsyncConnection[Any]") -> None:
    """Wait until another connection waits for the end of this one's transaction."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
    async with asyncio.timeout(PATIENCE):
        while True:
            row = await (await connection.execute(query, [connection.info.backend_pid])).fetchone()
            if row and row[0]:
                return
            await asyncio.sleep(0.05)


async def until_saved(database: str, threads: list[str], results: int) -> None:
    """Wait until so many results of each thread are in the database: the plan, the planner's, and those of calls."""
    query = "SELECT count(*) FROM checkpoint_writes WHERE channel = '__return__' AND thread_id = ANY(%s)"
    async with (
        asyncio.timeout(PATIENCE),
        await psycopg.AsyncConnection.connect(database, autocommit=True) as connection,
    ):
        while True:
            row = await (await connection.execute(query, [threads])).fetchone()
            if row and row[0] >= results * len(threads):
                return
            await asyncio.sleep(0.05)
