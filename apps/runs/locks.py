"""One run of a thread at a time, in all processes that share a database.

Who runs a thread holds a lock: in PostgreSQL an advisory lock of a connection that is kept for this, beside an SQLite
file a locked file. The death of the process releases both, and leaves a row or the file behind, which tell what died.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any

from agent.language.values import digest
from apps.runs.cancelled import to_its_end
from apps.runs.checkpoints import (
    CONNECT_SECONDS,
    cant_open,
    connect,
    default_url,
    file_of,
    setting_up,
)

BUSY = "The thread {thread!r} is running already, here or in another process. Wait for it, or use another thread."
LOST = (
    "The run in thread {thread!r} was stopped: the database that keeps it from running twice could not be reached, or "
    "has given the thread to another process. What was saved is kept."
)

_TABLE = "CREATE TABLE IF NOT EXISTS llm_compiler_runs (thread_id text PRIMARY KEY)"
_KEY = "hashtextextended(%(thread)s, 231204511)"
_TAKE = f"""
WITH lock AS MATERIALIZED (SELECT pg_try_advisory_lock({_KEY}) AS taken),
noted AS (INSERT INTO llm_compiler_runs SELECT %(thread)s FROM lock WHERE taken ON CONFLICT DO NOTHING)
SELECT taken FROM lock
"""
_GIVE = f"""
WITH noted AS (DELETE FROM llm_compiler_runs WHERE thread_id = %(thread)s)
SELECT pg_advisory_unlock({_KEY})
"""
_FREE = "hashtextextended(thread_id, 231204511)"
_LEFT = f"""
SELECT thread_id FROM llm_compiler_runs WHERE
CASE WHEN pg_try_advisory_lock_shared({_FREE}) THEN pg_advisory_unlock_shared({_FREE}) ELSE false END
"""
_KEEPALIVE = """
SELECT set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false),
set_config('tcp_keepalives_count', '3', false)
"""
"""Has PostgreSQL notice in half a minute that a machine has gone."""


class BusyError(RuntimeError):
    """Another run has the thread."""

    def __init__(self, thread: str) -> None:
        super().__init__(BUSY.format(thread=thread))


class LostError(RuntimeError):
    """The run was stopped, because it no longer had its thread for itself."""

    def __init__(self, thread: str) -> None:
        super().__init__(LOST.format(thread=thread))


class Locks:
    """The locks of this process; this base class's hold only here."""

    def __init__(self) -> None:
        self._runs: dict[str, asyncio.Task[Any]] = {}
        self._lost: set[str] = set()

    @asynccontextmanager
    async def held(self, thread: str) -> AsyncIterator[None]:
        """Have the thread for oneself, in one task.

        Raises:
            BusyError: Another run has it.
            LostError: It was lost on the way; the task has been cancelled.
        """
        run = asyncio.current_task()
        assert run
        if thread in self._runs:
            raise BusyError(thread)
        self._runs[thread] = run
        taken = True  # as far as is known while it is asked for
        try:
            taken = await self._take(thread)
            if not taken:
                raise BusyError(thread)
            yield
        except asyncio.CancelledError:
            if thread not in self._lost:
                raise
            run.uncancel()
            raise LostError(thread) from None
        finally:
            await to_its_end(self._end(thread, taken=taken))

    async def _end(self, thread: str, *, taken: bool) -> None:
        try:
            if taken:
                await self._give(thread)
        finally:
            self._lost.discard(thread)
            del self._runs[thread]

    async def left(self) -> list[str]:
        """The threads whose runs died with their process."""
        return []

    async def _take(self, thread: str) -> bool:  # noqa: ARG002
        """Whether the lock could be had."""
        return True

    async def _give(self, thread: str) -> None:
        """Release the lock."""


@asynccontextmanager
async def open_locks(url: str | None = None) -> AsyncIterator[Locks]:
    """The locks of a database's threads.

    Args:
        url: The database, see `apps.runs.checkpoints`. Without one, its `default_url()`.

    Raises:
        CheckpointError: The URL names no database, or it can't be had.
    """
    url = url or default_url()
    if path := file_of(url):
        yield _FileLocks(path)
        return
    locks = _PostgresLocks(url)
    await locks.open()
    try:
        yield locks
    finally:
        await locks.close()


class _FileLocks(Locks):
    """A file for each thread that runs, with its name in it."""

    def __init__(self, database: Path) -> None:
        super().__init__()
        self._database = database.resolve()
        self._files: dict[str, int] = {}

    async def left(self) -> list[str]:
        names = []
        for path in self._database.parent.glob(f"{escape(self._database.name)}.*.lock"):
            if (file := _locked(path)) is not None:
                if name := os.pread(file, os.fstat(file).st_size, 0):
                    names.append(name.decode(errors="surrogatepass"))
                os.close(file)
        return names

    async def _take(self, thread: str) -> bool:
        file = _locked(self._path(thread))
        if file is None:
            return False
        self._files[thread] = file
        os.ftruncate(file, 0)
        os.pwrite(file, thread.encode(errors="surrogatepass"), 0)
        return True

    async def _give(self, thread: str) -> None:
        if (file := self._files.pop(thread, None)) is not None:
            self._path(thread).unlink(missing_ok=True)
            _unlock(file)

    def _path(self, thread: str) -> Path:
        return self._database.with_name(f"{self._database.name}.{digest(thread)}.lock")


def _locked(path: Path) -> int | None:
    """The file, open and locked; None if another one has it."""
    import fcntl

    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        with suppress(FileNotFoundError):  # who had it before has deleted it
            if os.path.samestat(os.fstat(file), path.stat()):
                return file
        os.close(file)


def _unlock(file: int) -> None:
    import fcntl

    fcntl.flock(file, fcntl.LOCK_UN)  # a child process that was forked may have the file open
    os.close(file)


class _PostgresLocks(Locks):
    """Advisory locks of one connection. When it is lost, so are they: it is made anew at once, and they are taken
    again. A run whose lock can't be had again is stopped."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._turn = asyncio.Lock()
        self._taken: set[str] = set()
        self._connection: Any = None
        self._mending: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """
        Raises:
            CheckpointError: The database can't be had.
        """
        async with self._explained():
            await self._connect()
            async with setting_up(self._connection):
                await self._connection.execute(_TABLE)
        self._watch()

    async def close(self) -> None:
        """Give all of them back."""
        if self._mending:
            self._mending.cancel()
            await asyncio.wait([self._mending])
        self._unwatch()
        await self._connection.close()

    async def left(self) -> list[str]:
        async with self._turn, self._explained():
            names = [str(row["thread_id"]) for row in await self._query(_LEFT)]
            return [name for name in names if name not in self._taken]  # of its own locks a connection can have more

    async def _take(self, thread: str) -> bool:
        import psycopg

        async with self._explained():
            with suppress(psycopg.OperationalError):
                return await self._try_to_take(thread)
            await asyncio.shield(self._mend())
            return await self._try_to_take(thread)

    async def _try_to_take(self, thread: str) -> bool:
        async with self._turn:
            (row,) = await self._query(_TAKE, thread)
            if row["taken"]:
                self._taken.add(thread)
            return bool(row["taken"])

    async def _give(self, thread: str) -> None:
        import psycopg

        self._taken.discard(thread)  # if it is lost from here on, nobody need be stopped
        async with self._turn:
            if thread not in self._lost:
                with suppress(psycopg.OperationalError):  # then it has been given back
                    await self._query(_GIVE, thread)

    async def _query(self, statement: str, thread: str = "") -> list[dict[str, Any]]:
        self._unwatch()
        try:
            cursor = await self._connection.execute(statement, {"thread": thread})
            return list(await cursor.fetchall())
        finally:
            self._watch()

    @asynccontextmanager
    async def _explained(self) -> AsyncIterator[None]:
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            raise cant_open(self._url, error) from error

    # --- the connection

    async def _connect(self) -> None:
        self._connection = await connect(self._url)
        await self._connection.execute(_KEEPALIVE)

    def _watch(self) -> None:
        """Between queries nothing comes from the database, but that it ends the connection."""
        if not self._connection.closed:
            asyncio.get_running_loop().add_reader(self._connection.fileno(), self._see)

    def _unwatch(self) -> None:
        if not self._connection.closed:
            asyncio.get_running_loop().remove_reader(self._connection.fileno())

    def _see(self) -> None:
        self._unwatch()
        self._mend()

    def _mend(self) -> "asyncio.Task[None]":
        """Have the connection, and the locks that it had."""
        if self._mending is None or self._mending.done():
            self._mending = asyncio.create_task(self._connect_again())
        return self._mending

    async def _connect_again(self) -> None:
        import psycopg

        clock = asyncio.get_running_loop().time
        give_up = clock() + CONNECT_SECONDS
        async with self._turn:
            while clock() < give_up:
                try:
                    if self._connection.closed:
                        await self._connect()
                        for thread in [*self._taken]:
                            (row,) = await self._query(_TAKE, thread)
                            if not row["taken"] and thread in self._taken:
                                self._forget(thread)
                    else:
                        await self._query("SELECT 1")
                except psycopg.OperationalError:
                    await self._connection.close()
                    await asyncio.sleep(0.1)
                else:
                    return
            for thread in [*self._taken]:
                self._forget(thread)

    def _forget(self, thread: str) -> None:
        self._taken.discard(thread)
        self._lost.add(thread)
        self._runs[thread].cancel()
