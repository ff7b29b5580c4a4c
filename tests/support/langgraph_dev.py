"""`langgraph dev`, as a process that tests use over HTTP."""

import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from tests.support import PATIENCE, ROOT, free_port
from tests.support.model_server import ModelServer
from tests.support.prepared_python import prepared
from tests.support.waiting import until


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

        async def answers() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            try:
                return (await client.get(f"{self.url}/ok")).is_success
            except httpx.TransportError:
                return False

        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            await until(answers)


@contextmanager
def running(graphs: Mapping[str, Any], folder: Path, models: ModelServer) -> Iterator[Server]:
    """A server of its own.

    Args:
        graphs: What it serves, as in a langgraph.json.
        folder: Where its files are.
        models: Where its graphs find their model, `openai:test-model`.
    """
    (folder / "langgraph.json").write_text(json.dumps({"dependencies": [str(ROOT)], "graphs": graphs}))
    port = free_port()
    log = folder / "log"
    command = ["dev", "--no-browser", "--no-reload", "--host", "127.0.0.1", "--port", str(port)]
    keep = {"PATH", "HOME", "LANG"}
    environment = {name: os.environ[name] for name in keep & os.environ.keys()}
    environment |= {"LANGSMITH_TRACING": "false", "OPENAI_BASE_URL": models.base_url}
    environment |= {"LLM_COMPILER_MODEL": "openai:test-model", "OPENAI_API_KEY": "any"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            prepared("-m", "langgraph_cli", *command),
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Server(process, port, log)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()
