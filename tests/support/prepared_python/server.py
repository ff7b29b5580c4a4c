"""The process that forks: `python -m tests.support.prepared_python.server FILENO`, the number of a socket."""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

MODULES = (
    "anyio._backends._asyncio",
    "dotenv",
    "fastapi.staticfiles",
    "apps.evaluation.evaluation",
    "apps.evaluation.output",
    "apps.evaluation.plots",
    "apps.evaluation.table",
    "apps.cli.live_view",
    "graphs.offline.model",  # demo
    "apps.cli.plain_view",
    "graphs.react",
    "apps.server.agent",
    "apps.server.langserve",
    "apps.cli.ask",
    "apps.cli.threads",
    "httpcore2",
    "hypothesis.strategies",
    "langchain.agents",
    "langchain_community.retrievers.bm25",  # demo
    "langchain_core.messages.block_translators.langchain_v0",
    "langchain_core.tracers.stdout",
    "langchain_openai",
    "langgraph.checkpoint.postgres.aio",
    "langgraph.checkpoint.sqlite.aio",
    "mcp.server.fastmcp",
    "openai.resources.chat.chat",
    "playwright.async_api",
    "rank_bm25",  # demo
    "rich.status",
    "tests.support.mountains",
    "tools",
    "truststore",
    "uvicorn",
)
"""None of them looks at the environment or at a user's files when it is imported, but Matplotlib for its own."""

UNUSED = "rfc3987_syntax"
"""With it JSON Schema's package would check addresses of one kind, and be a quarter of all that is imported here."""


@dataclass
class Order:
    """What a process is to be."""

    arguments: list[str]
    folder: str
    environment: dict[str, str]


def wait(listener: socket.socket) -> None:
    """Waits for a client. Ends this process when standard input ends."""
    ready, _, _ = select.select([listener, sys.stdin], [], [])
    if sys.stdin in ready:
        os._exit(0)


def serve(listener: socket.socket) -> list[str]:
    """Forks for each client. Returns in the forked processes, with their arguments."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        wait(listener)
        client, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return start(client)
        client.close()


def start(client: socket.socket) -> list[str]:
    """Forks once more, stays behind to tell the client how the process ends, and returns in it."""
    message, streams, _, _ = socket.recv_fds(client, 65536, 3)
    while not message.endswith(b"\n"):
        message += client.recv(65536)
    order = Order(**json.loads(message))
    process = os.fork()
    if process == 0:
        client.close()
        become(order, streams)
        return order.arguments
    for stream in streams:
        os.close(stream)
    client.sendall(b"%d\n" % process)

    def follow_client() -> None:
        select.select([client, sys.stdin], [], [])  # until it has gone, or pytest
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)

    threading.Thread(target=follow_client, daemon=True).start()
    _, status = os.waitpid(process, 0)
    with suppress(BrokenPipeError):  # it was killed
        client.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def become(order: Order, streams: list[int]) -> None:
    """Take over what the client was given."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.environment)
    if path := order.environment.get("PYTHONPATH"):
        sys.path[1:1] = path.split(os.pathsep)


def run(arguments: list[str]) -> None:
    """Does what `python arguments…` does, with `-c`, `-m` or a script."""
    how, *rest = arguments
    if how == "-u":
        sys.stdout.reconfigure(write_through=True)
        how, *rest = rest
    if how == "-m":
        sys.path[0] = str(Path.cwd())
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif how == "-c":
        sys.path[0] = ""
        code, *others = rest
        sys.argv = ["-c", *others]
        main = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(code, "<string>", "exec"), main.__dict__)
    else:
        sys.path[0] = str(Path(how).parent.resolve())
        sys.argv = arguments
        runpy.run_path(how, run_name="__main__")


def run_and_leave(arguments: list[str]) -> None:
    """Runs them, and ends behind the last `atexit` function: to take down all that was imported takes three times as
    long as to start."""
    code = 0

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    atexit.register(leave)
    try:
        run(arguments)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise
    except KeyboardInterrupt:
        atexit.unregister(leave)  # Python ends itself by the signal
        raise
    except BaseException:
        code = 1
        raise


if __name__ == "__main__":
    listener = socket.socket(fileno=int(sys.argv[1]))
    wait(listener)  # many runs of a few tests start no process
    sys.modules[UNUSED] = None  # type: ignore[assignment]
    for name in MODULES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    run_and_leave(serve(listener))
