"""A server of `make cluster`: Aegra's, in which a thread has one run at a time, and a decision counts once.

    uvicorn apps.cluster.app:app

Aegra takes a `multitask_strategy`, but does not act on it: two runs of one thread at the same time both go on from
where it was, and the turn of one is lost. Here PostgreSQL refuses the second run, whichever server it is given to, and
its client is told so (409), as by `make serve`.

Aegra hands a run whose server has died to another one with all that it was given, its decision too. If the run has
paused again since, the decision would count for calls that nobody has seen. Here a decision is bound to the pause that
it was given for. And that pause can be decided about as long as it is there, whatever has failed in between.

When PostgreSQL is restarted, all connections of a pool have ended. psycopg's would notice one by one, at intervals that
double, and give up; here it looks at all when it finds one.

Aegra's `keep_latest`, which lets old steps of a thread expire, deletes them whatever they hold. Of this project's
threads they hold the conversation (LangGraph's `DeltaChannel`). Here the checkpointer deletes what it knows to be
superfluous: of such threads nothing.
"""

import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aegra_api.core import database
from aegra_api.core.database import db_manager
from aegra_api.main import app
from aegra_api.services import run_preparation, thread_ttl
from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse
from langgraph.pregel._task_status import read_task_statuses
from langgraph.pregel._utils import is_xxh3_128_hexdigest
from psycopg import OperationalError
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from apps.runs.postgres import PostgresSaver

INDEX = "one_run_a_thread"
MAKE_INDEX = f"CREATE UNIQUE INDEX IF NOT EXISTS {INDEX} ON runs (thread_id) WHERE status IN ('pending', 'running')"

REFUSALS = {
    INDEX: "The thread has a run that has not ended. Wait for its end (runs.join), or cancel it.",
    "thread_pkey": "Another request has just made this thread. Ask again.",
}
"""What clients are told, by the constraint that their request would break."""

logger = logging.getLogger(__name__)
_aegra = app.router.lifespan_context
_check_resume = run_preparation._validate_resume_command


@asynccontextmanager
async def lifespan(application: Any) -> AsyncIterator[None]:
    """Aegra's, which makes its tables; then the index."""
    async with _aegra(application):
        async with db_manager.get_engine().begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": INDEX})
            await connection.execute(text(MAKE_INDEX))
        gc.set_threshold(50_000, 10, 10)  # as in apps/server: a third of the CPU under load went into it
        yield


async def refuse(_: Request, error: Exception) -> JSONResponse:
    """What another request was faster with: a run of this thread, or the thread."""
    told = next((message for constraint, message in REFUSALS.items() if constraint in str(error)), None)
    if not told:
        raise error
    return JSONResponse({"error": "conflict", "message": told, "details": None}, status_code=409)


async def bind_decision(session: Any, thread: str, command: dict[str, Any] | None) -> None:
    """Have a decision answer the pause that is there now, and no later one.

    Raises:
        HTTPException: The thread has not paused (400), or is not there (404).
    """
    refusal = None
    try:
        await _check_resume(session, thread, command)
    except HTTPException as error:
        refusal = error
    pauses = await _pauses(thread) if command and "resume" in command else []
    if refusal and not pauses:
        raise refusal
    if command and len(pauses) == 1 and not _names_pauses(command["resume"]):
        command["resume"] = {pauses[0]: command["resume"]}


async def _pauses(thread: str) -> list[str]:
    """The ids of what the thread waits for."""
    found: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
    saved = await db_manager.get_checkpointer().aget_tuple(found)
    tasks = read_task_statuses((saved and saved.pending_writes) or ())
    return [pause.id for task in tasks.values() for pause in task.pending_interrupts]


def _names_pauses(answer: Any) -> bool:
    """Whether it is answers by the ids of pauses, as LangGraph takes them, too."""
    return isinstance(answer, dict) and bool(answer) and all(map(is_xxh3_128_hexdigest, answer))


class Pool(AsyncConnectionPool[Any]):
    """Connections, of which one that has ended makes all be looked at."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **{**named, "check": self.look_at})

    async def look_at(self, connection: Any) -> None:
        """See that the connection can be used.

        Raises:
            OperationalError: It has ended.
        """
        try:
            await self.check_connection(connection)
        except OperationalError:
            await self.check()
            raise


async def compact(thread: str) -> None:
    """Delete the steps that a thread's latest state doesn't need."""
    try:
        await db_manager.get_checkpointer().aprune([thread], strategy="keep_latest")
    except NotImplementedError as error:
        logger.warning("%s. Its time to live has no effect; the strategy `delete` would delete it.", error)


database.AsyncConnectionPool = Pool
database.AsyncPostgresSaver = PostgresSaver
run_preparation._validate_resume_command = bind_decision
thread_ttl._prune_checkpoint_history = compact
app.router.lifespan_context = lifespan
app.add_exception_handler(IntegrityError, refuse)
