"""`make cluster`: several servers of the Agent Protocol (Aegra, https://github.com/aegra/aegra) for the graphs of
`langgraph.json`, which share one PostgreSQL and one Redis.

    SERVERS=2 PORT=2026 python -m apps.cluster

A run goes to any of them, is followed and decided about at any other, and is taken up by another when its server dies.
PostgreSQL and Redis are those that `DATABASE_URL` and `REDIS_URL` name. Without these, Debian's are started, and what
is in them is gone with the command.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from importlib.util import find_spec

import httpx
import typer
from dotenv import load_dotenv

from apps.cluster.databases import postgres, redis, running

WRONG_NUMBERS = "PORT={port!r} and SERVERS={servers!r}: set the first server's port, and how many there are."
NOT_INSTALLED = "make cluster needs the extra `cluster`, which takes Python 3.12: make cluster PYTHON=python3.12"


def server(port: int, database: str, broker: str) -> tuple[list[str], dict[str, str]]:
    """A server's command and environment: the settings of https://docs.aegra.dev that servers share."""
    command = [sys.executable, "-m", "uvicorn", "apps.cluster.app:app", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--timeout-graceful-shutdown", "3"]  # not until runs end for which clients wait: others take them up
    usual = {"AEGRA_CONFIG": "langgraph.json", "LOG_LEVEL": "WARNING", "LANGGRAPH_STRICT_MSGPACK": "true"}
    shared = {"DATABASE_URL": database, "REDIS_URL": broker, "REDIS_BROKER_ENABLED": "true"}
    return command, {**usual, **os.environ, **shared}


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Return when a server answers.

    Raises:
        RuntimeError: It ended instead.
    """
    with httpx.Client(trust_env=False) as client:  # no proxy leads here
        while process.poll() is None:
            with suppress(httpx.TransportError):
                if client.get(f"http://127.0.0.1:{port}/health").is_success:
                    return
            time.sleep(0.1)
    raise RuntimeError(f"The server at port {port} ended with {process.returncode}; see above.")


def main() -> None:
    """Serve until the process is told to stop."""
    if find_spec("aegra_api") is None:
        sys.exit(NOT_INSTALLED)
    load_dotenv(".env")
    first, number = os.environ.get("PORT") or "2026", os.environ.get("SERVERS") or "2"
    ports = range(int(first), int(first) + int(number)) if (first + number).isdecimal() else range(0)
    if not ports or ports[-1] > 65535:
        sys.exit(WRONG_NUMBERS.format(port=first, servers=number))
    for end in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(end) != signal.SIG_IGN:  # as nohup has it
            signal.signal(end, signal.default_int_handler)
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        try:
            database = os.environ.get("DATABASE_URL") or stack.enter_context(postgres()).format(database="postgres")
            broker = os.environ.get("REDIS_URL") or stack.enter_context(redis())
            for port in ports:
                command, environment = server(port, database, broker)
                process = stack.enter_context(running(command, env=environment))
                wait_for(port, process)  # the first one prepares the database
                typer.echo(f"The graphs of {environment['AEGRA_CONFIG']} are at http://127.0.0.1:{port}")
        except (FileNotFoundError, LookupError, RuntimeError, subprocess.CalledProcessError) as error:
            sys.exit(str(error))
        process.wait()


if __name__ == "__main__":
    main()
