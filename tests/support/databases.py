"""Databases for threads: SQLite, and a PostgreSQL server of the tests' own."""

import getpass
import itertools
import os
import pwd
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AnyMessage
from langgraph.channels import BinaryOperatorAggregate
from langgraph.graph import add_messages

NO_POSTGRES = "PostgreSQL is not on this machine: apt-get install postgresql"

KEEPER = """
"$0" start --wait --pgdata "$1" --log "$2" --options "$3" >&2 && echo started && cat
"$0" stop --wait --mode immediate --pgdata "$1" >&2
"""
"""Runs the server until its standard input ends: when the tests are over, or have been killed."""

_numbers = itertools.count()


def postgres_programs() -> Path | None:
    """Where initdb and pg_ctl are; Debian has them outside of the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = str(debian[-1]) if debian else shutil.which("initdb")
    return Path(found).parent if found else None


def _unprivileged() -> str:
    """Who runs the server: it refuses to be run by root."""
    if os.geteuid():
        return getpass.getuser()
    users = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"


@contextmanager
def running_postgres(programs: Path) -> Iterator[str]:
    """A PostgreSQL server that is gone afterwards; its URL without a database. It listens on a Unix socket."""
    user = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(programs / program), *arguments],
            check=True,
            user=user,
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )

    try:
        shutil.chown(folder, user)
        folder.chmod(0o755)
        data = str(folder / "data")
        run("initdb", "--pgdata", data, "--username", "test", "--auth", "trust", "--no-sync", "--encoding", "UTF8")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        keeper = subprocess.Popen(
            ["sh", "-c", KEEPER, str(programs / "pg_ctl"), data, str(folder / "log"), options],
            user=user,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for pytest
        )
        assert keeper.stdout
        assert keeper.stdout.readline(), (folder / "log").read_text()
        yield f"postgresql://test@/{{database}}?host={folder}"
        keeper.communicate()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server that is gone after the tests; its URL without a database."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip(NO_POSTGRES)
    with running_postgres(programs) as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """The URL of a new, empty database."""
    import psycopg

    name = f"threads_{next(_numbers)}"
    with psycopg.connect(postgres_server.format(database="postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
    return postgres_server.format(database=name)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: Any, tmp_path: Path) -> str:
    """The URL of a new, empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'threads.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Puts the user's own threads into an empty folder; gives the names of the files in it."""
    folder = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    monkeypatch.delenv("CHECKPOINT_DB", raising=False)
    return lambda: sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def stored_bytes(url: str) -> int:
    """How many bytes of threads are in a database."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            (size,) = connection.execute(
                "SELECT (SELECT total(length(checkpoint) + length(metadata)) FROM checkpoints)"
                " + (SELECT total(length(value)) FROM writes)"
            ).fetchone()
            return int(size)
    import psycopg

    with psycopg.connect(url) as database:
        row = database.execute(
            "SELECT (SELECT sum(length(checkpoint::text) + length(metadata::text)) FROM checkpoints)"
            " + (SELECT sum(length(blob)) FROM checkpoint_blobs) + (SELECT sum(length(blob)) FROM checkpoint_writes)"
        ).fetchone()
    assert row
    return int(row[0])


def with_whole_lists(graph: Any) -> Any:
    """The agent as it was when each checkpoint had the whole conversation in it, as `MessagesState` has it."""
    whole: Any = BinaryOperatorAggregate(list[AnyMessage], add_messages)
    whole.key = "messages"
    return graph.copy(update={"channels": {**graph.channels, "messages": whole}})
