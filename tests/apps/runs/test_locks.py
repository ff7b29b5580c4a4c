"""The locks of threads, where a test can come between their connection and the database."""

import asyncio
from typing import Any

import psycopg
import pytest

from apps.runs.locks import BusyError, LostError, open_locks
from tests.support.waiting import until

CUT = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
TAKE = "SELECT pg_try_advisory_lock(hashtextextended('t', 231204511))"

HELD = """
SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
WHERE locktype = 'advisory' AND datname = current_database()
"""

HOLD_UP = "BEGIN; LOCK TABLE llm_compiler_runs"
"""Has all wait who take a lock, or give one back."""

HELD_UP = "SELECT count(*) FROM pg_locks WHERE relation = 'llm_compiler_runs'::regclass AND NOT granted"


def cut(url: str, *, take: bool) -> psycopg.Connection:
    """End the connections of all others, and have their lock before they know."""
    other = psycopg.connect(url, autocommit=True)
    other.execute(CUT, (other.info.backend_pid,))
    if take:
        assert other.execute(TAKE).fetchone() == (True,)
    return other


async def test_of_two_that_want_a_thread_one_has_it(database_url: str) -> None:
    async with open_locks(database_url) as one, open_locks(database_url) as other:
        async with one.held("t"), other.held("u"):
            for locks in (one, other):
                with pytest.raises(BusyError, match="'t' is running already"):
                    async with locks.held("t"):
                        pass
            assert await other.left() == []
        async with other.held("t"), one.held("u"):
            pass


async def test_a_lock_that_was_cut_off_is_taken_again(postgres_url: str) -> None:
    async with open_locks(postgres_url) as locks, locks.held("t"):
        with cut(postgres_url, take=False) as other:
            await until(lambda: other.execute(HELD).fetchone() == (1,))
            assert other.execute(TAKE).fetchone() == (False,)


async def test_a_run_whose_lock_another_process_has_got_is_stopped(postgres_url: str) -> None:
    async with open_locks(postgres_url) as locks:

        async def run() -> None:
            async with locks.held("t"):
                others.append(cut(postgres_url, take=True))
                await asyncio.Event().wait()

        others: list[psycopg.Connection] = []
        with pytest.raises(LostError, match="The run in thread 't' was stopped"):
            await run()
        with pytest.raises(BusyError):
            async with locks.held("t"):
                pass
        others[0].execute("SELECT pg_advisory_unlock_all()")
        others[0].close()
        async with locks.held("t"):
            assert asyncio.current_task() is not None


async def test_a_run_that_ends_while_its_lock_is_lost_has_ended(postgres_url: str) -> None:
    async with open_locks(postgres_url) as locks:
        async with locks.held("t"):
            other = cut(postgres_url, take=True)
            other.execute(HOLD_UP)
            await until(lambda: other.execute(HELD_UP).fetchone() == (1,))
            asyncio.get_running_loop().call_soon(other.rollback)
        other.execute("SELECT pg_advisory_unlock_all()")
        other.close()
        async with locks.held("t"):
            pass


async def test_nothing_watches_the_connection_of_locks_that_were_closed_while_they_were_taken_again(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of whatever had its number next, nobody would have heard."""
    loop, watched = asyncio.get_running_loop(), set[int]()
    add_reader = loop.add_reader

    def add(file: int, *call: Any) -> None:
        watched.add(file)
        add_reader(file, *call)

    monkeypatch.setattr(loop, "add_reader", add)
    async with open_locks(postgres_url) as locks:

        async def run() -> None:
            async with locks.held("t"):
                others.append(cut(postgres_url, take=False))
                others[0].execute(HOLD_UP)
                await asyncio.Event().wait()

        others: list[psycopg.Connection] = []
        running = asyncio.create_task(run())
        await until(lambda: others and others[0].execute(HELD_UP).fetchone() == (1,))
    assert watched
    assert not any(map(loop.remove_reader, watched))
    others[0].close()
    running.cancel()
    await asyncio.wait([running])


async def test_a_run_that_is_cancelled_while_it_gives_its_lock_back_gives_it(postgres_url: str) -> None:
    async with open_locks(postgres_url) as locks:
        with psycopg.connect(postgres_url, autocommit=True) as other:

            async def run() -> None:
                async with locks.held("t"):
                    other.execute(HOLD_UP)

            running = asyncio.create_task(run())
            await until(lambda: other.execute(HELD_UP).fetchone() == (1,))
            running.cancel()
            other.rollback()
            with pytest.raises(asyncio.CancelledError):
                await running
            async with open_locks(postgres_url) as others, others.held("t"):
                pass
            async with locks.held("t"):
                pass
