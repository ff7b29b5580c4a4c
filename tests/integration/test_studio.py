"""`langgraph dev` serves the default graph, as Studio and every client of the LangGraph server use it."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(120)


class Server:
    """A running development server and what it has printed."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.log = log

    @asynccontextmanager
    async def client(self) -> AsyncIterator[LangGraphClient]:
        """A client of the server, when it is up."""
        await self._ready()
        async with get_client(url=self.url) as client:
            yield client

    async def _ready(self) -> None:
        """Wait until it answers; fails with what it printed when it died instead."""
        async with httpx.AsyncClient() as client:
            while True:
                assert self.process.poll() is None, self.log.read_text()
                try:
                    if (await client.get(f"{self.url}/ok")).is_success:
                        return
                except httpx.TransportError:
                    await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server, with the offline model."""
    folder = tmp_path_factory.mktemp("server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = folder / "log"
    command = ["dev", "--no-browser", "--no-reload", "--host", "127.0.0.1", "--port", str(port)]
    keep = {"PATH", "HOME", "LANG"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "langgraph", *command, "--config", ROOT / "langgraph.json"],
            cwd=ROOT,
            env={name: os.environ[name] for name in keep & os.environ.keys()} | {"LANGSMITH_TRACING": "false"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    yield Server(process, port, log)
    os.killpg(process.pid, signal.SIGTERM)
    process.wait()


async def test_a_question_is_answered_with_progress_on_the_way(server: Server) -> None:
    async with server.client() as client:
        thread = await client.threads.create()
        events: list[str] = []
        question = {"messages": [{"role": "user", "content": "How much taller is Mount Everest than K2?"}]}
        async for part in client.runs.stream(
            thread["thread_id"], "llm_compiler", input=question, stream_mode=["custom", "messages-tuple", "updates"]
        ):
            assert part.event != "error", part.data
            if part.event == "custom":
                events.append(part.data["type"])
        assert events.count("task_finished") == 3
        state: Any = await client.threads.get_state(thread["thread_id"])
        assert "238" in state["values"]["messages"][-1]["content"]


@pytest.mark.parametrize(("context", "named"), [({"max_tasks": "many"}, "max_tasks"), ({"model": "no:such"}, "'no'")])
async def test_a_wrong_context_is_refused_with_a_message(server: Server, context: dict[str, Any], named: str) -> None:
    """Unknown keys never reach the graph: the server itself drops them."""
    question = {"messages": [{"role": "user", "content": "How tall is K2?"}]}
    async with server.client() as client:
        stream = client.runs.stream(None, "llm_compiler", input=question, context=context)
        errors = [part.data for part in [part async for part in stream] if part.event == "error"]
    assert named in errors[0]["message"]


async def test_the_schemas_are_those_of_a_chat(server: Server) -> None:
    async with server.client() as client:
        (assistant,) = await client.assistants.search(graph_id="llm_compiler")
        schemas = await client.assistants.get_schemas(assistant["assistant_id"])
        assert list(schemas["input_schema"]["properties"]) == ["messages"]  # type: ignore[index]
        assert list(schemas["output_schema"]["properties"]) == ["messages"]  # type: ignore[index]
        fields = schemas["context_schema"]["properties"]  # type: ignore[index]
        assert all(field["description"] for field in fields.values())


async def test_nothing_blocks_the_event_loop(server: Server) -> None:
    async with server.client():
        pass
    assert "Blocking call" not in server.log.read_text()
