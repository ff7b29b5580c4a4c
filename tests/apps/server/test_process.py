"""The server as a process: what keeps it from starting, and how it stops."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from apps.server.__main__ import main
from tests.support import ROOT, free_port
from tests.support.model_server import Gate, ModelServer, Reply
from tests.support.prepared_python import prepared
from tests.support.prepared_python.server import UNUSED
from tests.support.serving import streaming
from tests.support.terminal import MOUNTAINS
from tests.support.waiting import until_said

QUESTION = {"question": "How tall is K2?"}
SERVER = prepared("-m", "apps.server")
IMPORTED_ANEW = [
    sys.executable,
    "-c",
    f"import runpy, sys; sys.modules[{UNUSED!r}] = None; runpy.run_module('apps.server', run_name='__main__')",
]
"""The same with imports of its own, which may give no warning either; but for one that is slow and not used."""


@asynccontextmanager
async def process(tmp_path: Path, command: list[str] = SERVER, **variables: str) -> AsyncIterator[Process]:
    """The server, with all that it prints on one stream."""
    keep = {"PATH", "HOME", "LANG"}
    environment = {name: os.environ[name] for name in keep & os.environ.keys()} | variables
    environment |= {"PYTHONWARNINGS": "error", "LANGSMITH_TRACING": "false"}
    environment |= MOUNTAINS
    streams: Any = {"stdout": PIPE, "stderr": STDOUT}
    running = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, env=environment, **streams)
    try:
        yield running
    finally:
        with suppress(ProcessLookupError):
            running.kill()
        await running.communicate()


async def all_said(running: Process) -> str:
    """What it prints until it ends."""
    return (await running.communicate())[0].decode()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"HOST": "0.0.0.0"}, "Set LLM_COMPILER_API_KEY"),
        ({"HOST": "::"}, "HOST=::"),
        ({"PORT": "http"}, "PORT='http'"),
        ({"LLM_COMPILER_MAX_RUNS": "0"}, "LLM_COMPILER_MAX_RUNS is '0'"),
        ({"LLM_COMPILER_MAX_TASKS": "x", "PORT": "0"}, "LLM_COMPILER_MAX_TASKS"),
        ({"CHECKPOINT_DB": "mysql://user:secret@host/x", "PORT": "0"}, "names no database"),
    ],
)
def test_a_server_that_may_not_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delattr("uvicorn.run")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main()
    assert said in str(ended.value)
    assert "secret" not in str(ended.value)


async def test_a_taken_port_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with process(tmp_path, PORT=str(port)) as running:
            (line,) = (await all_said(running)).splitlines()
    assert running.returncode == 1
    assert line.startswith(f"The server can't listen at 127.0.0.1:{port}: ")


@pytest.mark.parametrize("missing", ["fastapi", "langserve"])
async def test_without_its_packages_the_server_says_what_to_install(missing: str) -> None:
    code = f"""
import runpy, sys
sys.modules[{missing!r}] = None
sys.modules.pop("apps.server.langserve", None)
try:
    import apps.server.app
except ImportError as error:
    print(error, file=sys.stderr)
runpy.run_module("apps.server", run_name="__main__")
"""
    python = await asyncio.create_subprocess_exec(*prepared("-c", code), cwd=ROOT, stderr=PIPE)
    _, said = await python.communicate()
    assert python.returncode == 1
    assert said.decode() == 2 * "The server needs the extra 'serve': pip install -e '.[serve]'\n"


async def test_a_server_that_is_stopped_finishes_what_runs(model_server: ModelServer, tmp_path: Path) -> None:
    """Without warnings, which would be errors here, and without tracebacks."""
    joining = Gate()
    model_server.script(planner=["1. join()"], joiner=[Reply(["It is", joining, " 8611"])])
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    model = {"OPENAI_BASE_URL": model_server.base_url, "OPENAI_API_KEY": "sk-test-123456"}
    async with process(tmp_path, IMPORTED_ANEW, PORT=str(port), **model) as running:
        said = await until_said(running, "Uvicorn running")
        async with streaming(url, QUESTION) as events:
            await events.until("answer_text")
            running.send_signal(signal.SIGTERM)
            said += await until_said(running, "Shutting down")
            joining.open()
            assert (await events.until("result"))["answer"] == "It is 8611"
        said += await all_said(running)
    assert running.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in said
    assert "Warning" not in said


async def test_a_server_that_is_stopped_cancels_what_does_not_end(model_server: ModelServer, tmp_path: Path) -> None:
    model_server.script(planner=[Reply(["1. ", Gate()])])
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    model = {"OPENAI_BASE_URL": model_server.base_url, "OPENAI_API_KEY": "sk-test-123456"}
    settings = {"PORT": str(port), "LLM_COMPILER_SHUTDOWN_TIMEOUT": "0", **model}
    async with process(tmp_path, **settings) as running:
        said = await until_said(running, "Uvicorn running")
        async with streaming(url, QUESTION) as events:
            await events.until("plan_started")
            exchange = await model_server.exchange(0)
            running.send_signal(signal.SIGTERM)
            await exchange.until(lambda: exchange.state == "disconnected")
        said += await all_said(running)
    assert running.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in said
