"""`make cluster`: several servers of the Agent Protocol (Aegra, https://github.com/aegra/aegra) for the graphs of
`langgraph.json`, which share one PostgreSQL and one Redis.

    SERVERS=2 PORT=2026 python -m apps.cluster

A run goes to any of them, is followed and decided about at any other, and is taken up by another when its server dies.
PostgreSQL and Redis are those that `DATABASE_URL` and `REDIS_URL` name. Without these, Debian's are started, and what
is in them is gone with the command.
"""

import getpass
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import typer
from dotenv import load_dotenv

NOT_INSTALLED = "make cluster needs the extra `cluster`, which takes Python 3.12: make cluster PYTHON=python3.12"
NO_PROGRAM = "{name} is not on this machine: sudo apt-get install {package}, or set {variable} to the URL of a server."

KEEPER = """
"$0" start --wait --pgdata "$1" --log "$2" --options "$3" >&2 && echo started && cat
"$0" stop --wait --mode immediate --pgdata "$1" >&2
"""
"""Runs the server until its standard input ends: when whoever started it is over, or has been killed."""


@contextmanager
def postgres(options: str = "") -> Iterator[str]:
    """A PostgreSQL server that is gone afterwards, with all that is in it. It listens on a Unix socket.

    Args:
        options: Further options of `postgres`, such as `-c work_mem=1GB`.

    Yields:
        Its URL, with `{database}` for the name of one; `postgres` is there.

    Raises:
        FileNotFoundError: PostgreSQL is not on this machine.
    """
    programs = programs_of_postgres()
    user = unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(programs / program), *arguments], check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL
        )

    try:
        shutil.chown(folder, user)
        folder.chmod(0o755)
        data = str(folder / "data")
        run("initdb", "--pgdata", data, "--username", "test", "--auth", "trust", "--no-sync", "--encoding", "UTF8")
        options += f" -c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off -c max_connections=300"
        with subprocess.Popen(
            ["sh", "-c", KEEPER, str(programs / "pg_ctl"), data, str(folder / "log"), options],
            user=user,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for whoever started it
        ) as keeper:
            assert keeper.stdout
            if not keeper.stdout.readline():
                raise RuntimeError((folder / "log").read_text())
            yield f"postgresql://test@/{{database}}?host={folder}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def redis() -> Iterator[str]:
    """A Redis server that is gone afterwards, with all that is in it; its URL. It listens on a Unix socket.

    Raises:
        FileNotFoundError: Redis is not on this machine.
    """
    program = shutil.which("redis-server")
    if not program:
        raise FileNotFoundError(NO_PROGRAM.format(name="Redis", package="redis-server", variable="REDIS_URL"))
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        path = f"{folder}/socket"
        options = ["--port", "0", "--unixsocket", path, "--save", "", "--logfile", f"{folder}/log"]
        with running([program, *options]) as process:
            while not _listens(path):
                if process.poll() is not None:
                    raise RuntimeError(Path(folder, "log").read_text())
                time.sleep(0.05)
            yield f"unix://{path}"


@contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that ends with this block, or with this process, however that ends."""
    keeper = ["sh", "-c", '"$@" & trap "" TERM; cat; kill $!; wait $!', "sh", *command]
    with subprocess.Popen(keeper, stdin=subprocess.PIPE, start_new_session=True, **options) as process:
        yield process


def server(port: int, database: str, broker: str) -> tuple[list[str], dict[str, str]]:
    """A server's command and environment: the settings of https://docs.aegra.dev that servers share."""
    command = [sys.executable, "-m", "uvicorn", "apps.cluster.app:app", "--host", "127.0.0.1", "--port", str(port)]
    usual = {"AEGRA_CONFIG": "langgraph.json", "LOG_LEVEL": "WARNING", "LANGGRAPH_STRICT_MSGPACK": "true"}
    shared = {"DATABASE_URL": database, "REDIS_URL": broker, "REDIS_BROKER_ENABLED": "true"}
    return command, {**usual, **os.environ, **shared}


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Return when a server answers.

    Raises:
        RuntimeError: It ended instead.
    """
    with httpx.Client() as client:
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
    first, number = int(os.environ.get("PORT") or 2026), int(os.environ.get("SERVERS") or 2)
    with ExitStack() as stack:
        try:
            database = os.environ.get("DATABASE_URL") or stack.enter_context(postgres()).format(database="postgres")
            broker = os.environ.get("REDIS_URL") or stack.enter_context(redis())
        except FileNotFoundError as error:
            sys.exit(str(error))
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            for port in range(first, first + number):
                command, environment = server(port, database, broker)
                process = stack.enter_context(running(command, env=environment))
                wait_for(port, process)  # the first one prepares the database
                typer.echo(f"The graphs of {environment['AEGRA_CONFIG']} are at http://127.0.0.1:{port}")
            process.wait()


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(path) == 0


def programs_of_postgres() -> Path:
    """Where initdb and pg_ctl are; Debian has them outside of the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = str(debian[-1]) if debian else shutil.which("initdb")
    if not found:
        raise FileNotFoundError(NO_PROGRAM.format(name="PostgreSQL", package="postgresql", variable="DATABASE_URL"))
    return Path(found).parent


def unprivileged() -> str:
    """Who runs PostgreSQL: it refuses to be run by root."""
    if os.geteuid():
        return getpass.getuser()
    users = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"


if __name__ == "__main__":
    main()
