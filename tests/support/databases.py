"""Databases for threads: SQLite, and a PostgreSQL server of the tests' own."""

import asyncio
import sqlite3
from asyncio.subprocess import DEVNULL
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from apps.cluster.databases import postgres, programs_of_postgres, unprivileged
from tests.support import PATIENCE


def skip_without_postgres() -> None:
    """Skips a test where PostgreSQL is not on this machine, or can't be run."""
    try:
        programs_of_postgres()
        unprivileged()
    except (FileNotFoundError, LookupError) as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server that is gone after the tests; its URL without a database."""
    skip_without_postgres()
    with postgres() as url:
        yield url


@pytest.fixture(scope="session")
def _postgres_database(postgres_server: str) -> str:
    import psycopg

    with psycopg.connect(postgres_server.format(database="postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE threads")
    return postgres_server.format(database="threads")


@pytest.fixture
def postgres_url(_postgres_database: str) -> Iterator[str]:
    """The URL of an empty database. It is emptied again afterwards: a new one takes longer, and many fill the disk."""
    import psycopg

    yield _postgres_database
    with psycopg.connect(_postgres_database, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE datname = 'threads' AND pid != pg_backend_pid()"
        )
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


@pytest.fixture
def restart_postgres(postgres_server: str) -> Callable[[str], Awaitable[None]]:
    """Restarts the PostgreSQL server: `await restart_postgres("fast")`, or "immediate", which is as after a crash."""

    folder = postgres_server.partition("host=")[2]
    patiently = ["--wait", f"--timeout={PATIENCE:.0f}"]
    command = [str(programs_of_postgres() / "pg_ctl"), "restart", *patiently, "--pgdata", f"{folder}/data"]

    async def restart(mode: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *command, "--mode", mode, "--log", f"{folder}/log", user=unprivileged(), cwd=folder, stdout=DEVNULL
        )
        assert await process.wait() == 0

    return restart


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: Any, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'threads.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Puts the user's own threads into an empty folder; gives the names of the files in it."""
    folder = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
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
    from langchain_core.messages import AnyMessage
    from langgraph.channels import BinaryOperatorAggregate
    from langgraph.graph import add_messages

    whole: Any = BinaryOperatorAggregate(list[AnyMessage], add_messages)
    whole.key = "messages"
    return graph.copy(update={"channels": {**graph.channels, "messages": whole}})
