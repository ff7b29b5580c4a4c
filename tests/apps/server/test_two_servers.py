"""Two servers on one database: each thread is run by one of them at a time, and by the other when that one has died."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from apps.runs.checkpoints import open_checkpointer
from apps.runs.locks import open_locks
from tests.support import PATIENCE, ROOT, free_port
from tests.support.model_server import Gate, ModelServer, Reply
from tests.support.prepared_python import prepared
from tests.support.serving import Serve, Tools, ask, post, streaming
from tests.support.waiting import until

AGENT = '''
import asyncio
from langchain_core.tools import tool
from agent import create_llm_compiler

@tool
async def search(query: str) -> str:
    """looks for ever"""
    return await asyncio.Event().wait()

@tool
async def book(flight: str) -> str:
    """books a flight"""
    return f"booked {flight}"

book.metadata = {"requires_approval": True}
graph = create_llm_compiler([search, book])
'''
"""The agent of a server that dies: its searches are in flight then."""

THREAD = {"thread_id": "t"}
APPROVE = {"decisions": [{"type": "approve"}], **THREAD}
RESUME = {"resume": True, **THREAD}
QUESTION = {"question": "Question?", **THREAD}


@pytest.fixture
async def urls(serve: Serve, database_url: str) -> AsyncIterator[list[str]]:
    """Of the two servers."""
    async with serve(database_url) as one, serve(database_url) as other:
        yield [one, other]


async def test_an_approved_call_is_made_once(urls: list[str], model_server: ModelServer, tools: Tools) -> None:
    model_server.script(planner=['1. book("LH1")\n2. join()'], joiner=["It is booked."])
    await ask(urls[0], QUESTION)
    answers = await asyncio.gather(*(post(url, "invoke", {"input": APPROVE}) for url in urls for _ in range(3)))
    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses) == [200, 409, 409, 409, 409, 409]
    assert tools.called == ["LH1"]
    assert answers[statuses.index(200)].json()["output"]["answer"] == "It is booked."


async def test_of_two_questions_one_is_answered_and_none_is_lost(urls: list[str], model_server: ModelServer) -> None:
    joining = Gate()
    model_server.script(planner=["1. join()"] * 2, joiner=[Reply([joining, "First."]), "Second."])
    first = asyncio.create_task(ask(urls[0], QUESTION))
    await model_server.exchange(0, "joiner")
    for path in ("invoke", "stream", "stream_events"):
        refused = await post(urls[1], path, {"input": {"question": "Another?", **THREAD}})
        assert refused.status_code == 409
        assert "'t'" in refused.json()["message"]
    joining.open()
    assert (await first)["answer"] == "First."
    assert (await ask(urls[1], {"question": "Another?", **THREAD}))["answer"] == "Second."
    said = [message["content"].split("\n")[0] for message in model_server.requests[-1].messages[1:]]
    assert said == ["Question?", "First.", "Another?"]


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_who_has_the_result_may_go_on_at_the_other_server(
    urls: list[str], model_server: ModelServer, database_url: str
) -> None:
    planning = Gate()
    model_server.script(planner=[Reply([planning, "1. join()"]), "1. join()"], joiner=["First.", "Second."])
    with psycopg.connect(database_url) as database:
        async with streaming(urls[0], QUESTION) as events:
            await events.until("plan_started")
            database.execute("LOCK TABLE llm_compiler_runs")  # the thread can't be given back now
            planning.open()
            result = asyncio.create_task(events.until("result"))
            waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'llm_compiler_runs'::regclass AND NOT granted"
            await until(lambda: database.execute(waiting).fetchone() == (1,))
            async with httpx.AsyncClient(timeout=PATIENCE) as client:
                await client.get(f"{urls[0]}healthz")  # in which time a result that was sent would have come
            assert not result.done()
            database.rollback()
            assert (await result)["answer"] == "First."
            assert (await ask(urls[1], QUESTION))["answer"] == "Second."


@dataclass
class Server:
    """A server process."""

    process: "subprocess.Popen[bytes]"
    url: str

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def _start(folder: Path, environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        command = prepared("-m", "apps.server")
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)


@pytest.fixture
async def dying(tmp_path: Path, model_server: ModelServer, database_url: str) -> AsyncIterator[Server]:
    """A server of its own process on the database."""
    (tmp_path / "my_agent.py").write_text(AGENT)
    port = free_port()
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "PYTHONPATH": str(ROOT),
        "PORT": str(port),
        "OPENAI_BASE_URL": model_server.base_url,
        "OPENAI_API_KEY": "sk-test-123456",
        "CHECKPOINT_DB": database_url,
        "LLM_COMPILER_GRAPH": "my_agent",
        "LANGSMITH_TRACING": "false",
    }
    log = tmp_path / "log"
    server = Server(_start(tmp_path, environment, log), f"http://127.0.0.1:{port}/")
    try:
        await until(lambda: "Uvicorn running" in log.read_text() or server.process.poll() is not None)
        assert server.process.poll() is None, log.read_text()
        yield server
    finally:
        server.kill()


async def saved(database_url: str, words: str) -> None:
    """Wait for words to be in the database, where a kill can't reach them."""
    async with open_checkpointer(database_url) as saver:

        async def are_there() -> bool:
            return words in str(await saver.aget_tuple({"configurable": THREAD}))

        await until(are_there)


async def noticed(database_url: str) -> None:
    """Wait for the database to have noticed that who ran a thread has died."""
    async with open_locks(database_url) as locks:
        await until(locks.left)


async def test_the_run_of_a_server_that_died_goes_on_at_another(
    dying: Server,
    serve: Serve,
    tools: Tools,
    model_server: ModelServer,
    database_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model_server.script(planner=['1. search("K2")\n2. join()'], joiner=["Done."])
    async with serve(database_url) as url:
        async with streaming(dying.url, QUESTION) as events:
            await events.until("task_started")
            await saved(database_url, "K2")  # the plan, which is written on while its call is made
            assert (await post(url, "invoke", {"input": RESUME})).status_code == 409
            dying.kill()
            with pytest.raises(httpx.HTTPError):
                await events.until("result")
        await noticed(database_url)

        async with serve(database_url):
            assert "1 of the runs in this database died with their process: t. " in caplog.text
        assert (await ask(url, RESUME))["answer"] == "Done."
        assert tools.called == ["K2"]
        caplog.clear()
        async with serve(database_url):
            assert "died" not in caplog.text


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_an_approval_that_died_with_its_server_is_carried_out_at_another(
    dying: Server, serve: Serve, tools: Tools, model_server: ModelServer, database_url: str
) -> None:
    model_server.script(planner=['1. book("LH1")\n2. search("$1")\n3. join()'], joiner=["Done."])
    await ask(dying.url, QUESTION)
    async with streaming(dying.url, APPROVE) as events:
        await events.until("task_finished")
        await events.until("task_started")
        await saved(database_url, "booked LH1")
        dying.kill()
        with pytest.raises(httpx.HTTPError):
            await events.until("result")
    await noticed(database_url)
    async with serve(database_url) as url:
        assert (await ask(url, RESUME))["answer"] == "Done."
    assert tools.called == ["booked LH1"]  # it is looked for again, and not booked again
