"""Two servers on one database: each thread is run by one of them at a time, and by the other when that one has died."""

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from apps.runs.checkpoints import open_checkpointer
from tests.support import ROOT
from tests.support.model_server import Gate, ModelServer, Reply
from tests.support.prepared_python import prepared
from tests.support.serving import ask, post, streaming

SERVER = """
import asyncio, sys, types
from pathlib import Path
from langchain_core.tools import tool
from agent import create_llm_compiler

def note(text):
    with open("marks", "a") as marks:
        marks.write(text + "\\n")

@tool
async def book(flight: str) -> str:
    "Books a flight."
    note(flight)
    return "booked " + flight

@tool
async def hold(name: str) -> str:
    "Waits for a file of that name."
    note("holding " + name)
    while not Path(name).exists():
        await asyncio.sleep(0.01)
    return "held " + name

book.metadata = {"requires_approval": True}
graphs = types.ModuleType("graphs.llm_compiler")
graphs.graph = create_llm_compiler([book, hold])
sys.modules["graphs.llm_compiler"] = graphs

from apps.server.__main__ import main
main()
"""
"""The server over tools that leave marks."""

THREAD = {"thread_id": "t"}
APPROVE = {"decisions": [{"type": "approve"}], **THREAD}
RESUME = {"input": {"resume": True, **THREAD}}
QUESTION = {"question": "Question?", **THREAD}


@dataclass
class Server:
    """A server process."""

    process: "subprocess.Popen[bytes]"
    url: str
    log: Path

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def _run(folder: Path, environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        return subprocess.Popen(prepared("-c", SERVER), cwd=folder, env=environment, stdout=output, stderr=output)


Start = Callable[[], Any]


@pytest.fixture
def start(tmp_path: Path, model_server: ModelServer, database_url: str) -> Start:
    """Starts a server process on the database: `async with start() as server`."""
    numbers = itertools.count()

    @asynccontextmanager
    async def start() -> AsyncIterator[Server]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "PYTHONPATH": str(ROOT),
            "PORT": str(port),
            "OPENAI_BASE_URL": model_server.base_url,
            "OPENAI_API_KEY": "sk-test-123456",
            "CHECKPOINT_DB": database_url,
            "LANGSMITH_TRACING": "false",
        }
        log = tmp_path / f"log-{next(numbers)}"
        server = Server(_run(tmp_path, environment, log), f"http://127.0.0.1:{port}/", log)
        try:
            await until(lambda: "Uvicorn running" in log.read_text() or server.process.poll() is not None)
            assert server.process.poll() is None, log.read_text()
            yield server
        finally:
            server.kill()

    return start


@pytest.fixture
async def servers(start: Start) -> AsyncIterator[list[Server]]:
    """Two of them."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(start()) for _ in range(2)]


async def until(fact: Callable[[], bool]) -> None:
    """Wait for something that another process brings about."""
    while not fact():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def marks(folder: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return (folder / "marks").read_text().splitlines()
    return []


async def test_an_approved_call_is_made_once(servers: list[Server], model_server: ModelServer, tmp_path: Path) -> None:
    model_server.handler = lambda asked: '1. book("LH1")\n2. join()' if asked.is_planner else "It is booked LH1."
    await ask(servers[0].url, QUESTION)
    answers = await asyncio.gather(
        *(post(server.url, "invoke", {"input": APPROVE}) for server in servers for _ in range(3))
    )
    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses) == [200, 409, 409, 409, 409, 409]
    assert marks(tmp_path) == ["LH1"]
    assert answers[statuses.index(200)].json()["output"]["answer"] == "It is booked LH1."


async def test_of_two_questions_one_is_answered_and_none_is_lost(
    servers: list[Server], model_server: ModelServer, tmp_path: Path
) -> None:
    joining = Gate()
    model_server.script(planner=["1. join()"] * 2, joiner=[Reply([joining, "First."]), "Second."])
    first = asyncio.create_task(ask(servers[0].url, QUESTION))
    await until(lambda: len(model_server.requests) == 2)
    for path in ("invoke", "stream", "stream_events"):
        refused = await post(servers[1].url, path, {"input": {"question": "Another?", **THREAD}})
        assert refused.status_code == 409
        assert "'t'" in refused.json()["message"]
    joining.open()
    assert (await first)["answer"] == "First."
    assert (await ask(servers[1].url, {"question": "Another?", **THREAD}))["answer"] == "Second."
    said = [message["content"].split("\n")[0] for message in model_server.requests[-1].messages[1:]]
    assert said == ["Question?", "First.", "Another?"]


async def test_who_has_the_result_may_go_on_at_the_other_server(
    servers: list[Server], model_server: ModelServer
) -> None:
    model_server.handler = lambda _: '1. join("Yes.")'
    for turn in range(4):
        async with streaming(servers[turn % 2].url, QUESTION) as events:
            await events.until("result")
            other = await post(servers[1 - turn % 2].url, "invoke", {"input": QUESTION})
            assert other.status_code == 200, other.text


async def test_the_run_of_a_server_that_died_goes_on_at_another(
    start: Start, servers: list[Server], model_server: ModelServer, tmp_path: Path, database_url: str
) -> None:
    model_server.script(planner=['1. hold("door")\n2. join()'], joiner=["Done."])
    asking = asyncio.create_task(post(servers[0].url, "invoke", {"input": QUESTION}))
    await until(lambda: marks(tmp_path) == ["holding door"])
    await saved(database_url, "door")  # the plan, which is written on while its call is made
    assert (await post(servers[1].url, "invoke", RESUME)).status_code == 409
    servers[0].kill()
    with pytest.raises(httpx.HTTPError):
        await asking

    async with start() as third:
        said = third.log.read_text()
        assert "1 of the runs in this database died with their process: t. " in said
    (tmp_path / "door").touch()
    assert await resumed(servers[1]) == "Done."
    assert marks(tmp_path) == ["holding door"] * 2
    async with start() as fourth:
        assert "died" not in fourth.log.read_text()


async def test_an_approval_that_died_with_its_server_is_carried_out_at_another(
    servers: list[Server], model_server: ModelServer, tmp_path: Path, database_url: str
) -> None:
    model_server.script(planner=['1. book("LH1")\n2. hold("$1")\n3. join()'], joiner=["Done."])
    await ask(servers[0].url, QUESTION)
    approving = asyncio.create_task(post(servers[0].url, "invoke", {"input": APPROVE}))
    await until(lambda: marks(tmp_path) == ["LH1", "holding booked LH1"])
    await saved(database_url, "booked LH1")
    servers[0].kill()
    with pytest.raises(httpx.HTTPError):
        await approving
    (tmp_path / "booked LH1").touch()
    assert await resumed(servers[1]) == "Done."
    assert marks(tmp_path) == ["LH1", "holding booked LH1", "holding booked LH1"]


async def resumed(server: Server) -> str:
    """The answer of a run whose process died, as soon as the database has noticed that."""
    while (response := await post(server.url, "invoke", RESUME)).status_code == 409:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert response.status_code == 200, response.text
    return str(response.json()["output"]["answer"])


async def saved(database_url: str, words: str) -> None:
    """Wait for a result to be in the database, where a kill can't reach it."""
    async with open_checkpointer(database_url) as saver:
        while words not in str(await saver.aget_tuple({"configurable": THREAD})):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def end_lock_connections(url: str) -> None:
    """As a restart of PostgreSQL does."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def locks_held(url: str) -> int:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_database ON oid = database"
            " WHERE locktype = 'advisory' AND datname = current_database()"
        )
        row = await cursor.fetchone()
        assert row
        return int(row[0])


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_lock_whose_connection_was_cut_is_taken_again(
    servers: list[Server], model_server: ModelServer, tmp_path: Path, database_url: str
) -> None:
    model_server.script(planner=['1. hold("door")\n2. join()'], joiner=["Done."])
    asking = asyncio.create_task(ask(servers[0].url, QUESTION))
    await until(lambda: marks(tmp_path) == ["holding door"])
    for _ in range(3):
        await end_lock_connections(database_url)
        while not await locks_held(database_url):  # noqa: ASYNC110 — another process takes it
            await asyncio.sleep(0.01)
        refused = await post(servers[1].url, "invoke", {"input": QUESTION})
        assert refused.status_code == 409, refused.text
    (tmp_path / "door").touch()
    assert (await asking)["answer"] == "Done."
    assert marks(tmp_path) == ["holding door"]
