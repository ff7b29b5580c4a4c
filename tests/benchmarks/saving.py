"""What a turn saves, the longer the thread is: `python -m tests.benchmarks.saving`.

One thread of 200 turns for each database and each way; in each turn a tool returns 10 kB of text that hardly
compresses. Prints the table in README.md: the bytes that the turn adds to the database.
"""

import asyncio
import random
import string
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from agent import create_llm_compiler
from apps.cluster.databases import postgres
from apps.runs.checkpoints import open_checkpointer
from tests.benchmarks.machinery import InstantModel
from tests.support.databases import stored_bytes, with_whole_lists

TURNS = 200
SHOWN = (10, 100, 200)
RESULT_CHARS = 10_000
THREAD: Any = {"configurable": {"thread_id": "1"}}


async def read(page: str) -> str:
    """reads a page"""
    return "".join(random.choices(string.printable, k=RESULT_CHARS))


async def bytes_of_turns(url: str, *, whole: bool) -> list[int]:
    """What each turn of a thread adds to the database."""
    sizes = [0]
    async with open_checkpointer(url) as saver:
        model = InstantModel(plan='read("a")\njoin()')
        graph = create_llm_compiler([read], model=model, checkpointer=saver)
        graph = with_whole_lists(graph) if whole else graph
        for turn in range(TURNS):
            await graph.ainvoke({"messages": f"Question {turn}?"}, THREAD)
            sizes.append(stored_bytes(url))
    return [after - before for before, after in pairwise(sizes)]


@contextmanager
def databases() -> Iterator[dict[str, list[str]]]:
    """Two empty ones of each kind."""
    import psycopg

    with tempfile.TemporaryDirectory() as folder, postgres() as server:
        with psycopg.connect(server.format(database="postgres"), autocommit=True) as connection:
            for name in ("a", "b"):
                connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        yield {
            "SQLite": [f"sqlite:///{Path(folder) / name}" for name in ("a", "b")],
            "PostgreSQL": [server.format(database=name) for name in ("a", "b")],
        }


async def main() -> None:
    """Measure and print."""
    rows = [["", "the conversation is saved", *(f"turn {turn}" for turn in SHOWN), "all"], ["---"] * 6]
    with databases() as urls:
        for name, (first, second) in urls.items():
            for url, whole in ((first, True), (second, False)):
                turns = await bytes_of_turns(url, whole=whole)
                sizes = [*(turns[turn - 1] for turn in SHOWN), sum(turns)]
                way = "whole, at each step" if whole else "as what a step adds"
                rows.append([name, way, *(f"{size / 1000:,.0f} kB" for size in sizes)])
    print("\n".join(f"| {' | '.join(row)} |" for row in rows))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
