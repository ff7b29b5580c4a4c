"""Debian's PostgreSQL and Redis, started for a while: what is in them is gone afterwards."""

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NO_PROGRAM = "{name} is not on this machine: sudo apt-get install {package}, or set {variable} to the URL of a server."

NO_NAME = (
    "PostgreSQL can't be run by user {user}, who has no name on this machine: set DATABASE_URL to the URL of a server."
)

INITDB_OPTIONS = ("--username", "test", "--auth", "trust", "--no-sync", "--no-locale", "--encoding", "UTF8")
"""Of no language: initdb refuses one that isn't installed here, as a shell on another machine may ask for."""

POSTGRES_KEEPER = """
"$0" start --timeout 600 --pgdata "$1/data" --log "$1/log" --options "$2" >&2 && started=yes && echo started && cat
"$0" stop --wait --mode immediate --pgdata "$1/data" >&2
[ "$started" ] && rm -rf "$1" 2>/dev/null
"""
KEEPER = '"$@" & trap "" TERM; cat; kill $!; wait $!; rm -rf "$0"'
"""Run a server until their standard input ends: when whoever started it is over, or has been killed. Then they remove
its folder."""

LONGEST_PLACE = 70
"""In bytes: the path of a socket may have 103."""


@contextmanager
def postgres(options: str = "") -> Iterator[str]:
    """A PostgreSQL server that is gone afterwards, with all that is in it. It listens on a Unix socket.

    Args:
        options: Further options of `postgres`, such as `-c work_mem=1GB`.

    Yields:
        Its URL, with `{database}` for the name of one; `postgres` is there.

    Raises:
        FileNotFoundError: PostgreSQL is not on this machine.
        LookupError: This process is run by a user without a name.
    """
    programs = programs_of_postgres()
    user = unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=place_for_sockets()))

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(programs / program), *arguments], check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL
        )

    try:
        shutil.chown(folder, user)
        folder.chmod(0o755)
        data = str(folder / "data")
        run("initdb", "--pgdata", data, *INITDB_OPTIONS)
        options += f" -c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off -c max_connections=300"
        with subprocess.Popen(
            ["sh", "-c", POSTGRES_KEEPER, str(programs / "pg_ctl"), str(folder), options],
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
    with tempfile.TemporaryDirectory(prefix="redis-", dir=place_for_sockets(), ignore_cleanup_errors=True) as folder:
        path = f"{folder}/socket"
        options = ["--port", "0", "--unixsocket", path, "--save", "", "--logfile", f"{folder}/log"]
        with running([program, *options], folder) as process:
            while not _listens(path):
                if process.poll() is not None:
                    raise RuntimeError(Path(folder, "log").read_text())
                time.sleep(0.05)
            yield f"unix://{path}"


@contextmanager
def running(command: Sequence[str], folder: str = "", **options: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that ends with this block, or with this process, however that ends; and its folder goes with it."""
    with subprocess.Popen(
        ["sh", "-c", KEEPER, folder, *command], stdin=subprocess.PIPE, start_new_session=True, **options
    ) as process:
        yield process


def place_for_sockets() -> str | None:
    """Where a folder with a socket can be made: `/tmp`, if the usual place has a path that is too long, or that
    PostgreSQL can't be told."""
    usual = tempfile.gettempdir()
    return None if len(usual) <= LONGEST_PLACE and re.fullmatch(r"[\w/.-]+", usual, re.ASCII) else "/tmp"


def programs_of_postgres() -> Path:
    """Where initdb and pg_ctl are; Debian has them outside of the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = str(debian[-1]) if debian else shutil.which("initdb")
    if not found:
        raise FileNotFoundError(NO_PROGRAM.format(name="PostgreSQL", package="postgresql", variable="DATABASE_URL"))
    return Path(found).parent


def unprivileged() -> str:
    """Who runs PostgreSQL: it refuses to be run by root.

    Raises:
        LookupError: This process is run by a user without a name, as in some containers.
    """
    if user := os.geteuid():
        try:
            return pwd.getpwuid(user).pw_name
        except KeyError:
            raise LookupError(NO_NAME.format(user=user)) from None
    users = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(path) == 0
