"""A server of `make cluster`: Aegra's, in which a thread has one run at a time.

    uvicorn apps.cluster.app:app

Aegra takes a `multitask_strategy`, but does not act on it: two runs of one thread at the same time both go on from
where it was, and the turn of one is lost. Here PostgreSQL refuses the second run, whichever server it is given to, and
its client is told so (409), as by `make serve`.

Aegra's `keep_latest`, which lets old steps of a thread expire, deletes them whatever they hold. Of this project's
threads they hold the conversation (LangGraph's `DeltaChannel`). Here the checkpointer deletes what it knows to be
superfluous: of such threads nothing.
"""

import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aegra_api.core.database import db_manager
from aegra_api.main import app
from aegra_api.services import thread_ttl
from fastapi import Request
from fastapi.responses import JSONResponse
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

BUSY = "The thread has a run that has not ended. Wait for its end (runs.join), or cancel it."
INDEX = "one_run_a_thread"
MAKE_INDEX = f"CREATE UNIQUE INDEX IF NOT EXISTS {INDEX} ON runs (thread_id) WHERE status IN ('pending', 'running')"

logger = logging.getLogger(__name__)
_aegra = app.router.lifespan_context


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
    """A run of a thread that has one."""
    if INDEX not in str(error):
        raise error
    return JSONResponse({"error": "conflict", "message": BUSY, "details": None}, status_code=409)


async def compact(thread: str) -> None:
    """Delete the steps that a thread's latest state doesn't need."""
    try:
        await db_manager.get_checkpointer().aprune([thread], strategy="keep_latest")
    except NotImplementedError as error:
        logger.warning("%s. Its time to live has no effect; the strategy `delete` would delete it.", error)


thread_ttl._prune_checkpoint_history = compact
app.router.lifespan_context = lifespan
app.add_exception_handler(IntegrityError, refuse)
