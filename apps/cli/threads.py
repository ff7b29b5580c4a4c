"""The `threads` command: lists the conversations that are kept, and deletes one."""

import json
import sys
from datetime import datetime

from apps.cli.console import WrongUsageError, say
from apps.runs.checkpoints import open_checkpointer
from apps.runs.locks import open_locks
from apps.runs.threads import Session, list_threads
from apps.runs.wording import in_short


async def print_threads(*, as_json: bool) -> None:
    """List the threads that are kept."""
    async with open_checkpointer() as saver:
        threads = await list_threads(saver)
    if as_json:
        values = [
            {
                "name": thread.name,
                "state": thread.state,
                "used": thread.used,
                "turns": len(thread.questions),
                "first_question": thread.questions[0] if thread.questions else "",
            }
            for thread in threads
        ]
        say(json.dumps(values, indent=2), sys.stdout)
        return
    if not threads:
        say('There are no threads yet. llm-compiler --thread NAME "…" begins one.', sys.stdout)
        return
    rows = [("NAME", "STATE", "LAST USED", "TURNS", "FIRST QUESTION")]
    for thread in threads:
        used = datetime.fromisoformat(thread.used).astimezone().strftime("%Y-%m-%d %H:%M")
        first = in_short(thread.questions[0], 60) if thread.questions else ""
        rows.append((in_short(thread.name, 40), thread.state, used, str(len(thread.questions)), first))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip(), sys.stdout)


async def delete_thread(name: str) -> None:
    """Delete a thread.

    Raises:
        WrongUsageError: There is none of that name.
        apps.runs.locks.BusyError: It is running.
    """
    # Without its graph, which may be gone.
    async with open_checkpointer() as saver, open_locks() as locks, locks.held(name):
        session = Session.of(name, saver)
        if (await session.thread()).state == "empty":
            raise WrongUsageError(f"There is no thread {name!r}. llm-compiler threads lists them.")
        await session.delete()
    say(f"Deleted {name}.", sys.stdout)
