"""The stop test: however a turn ends, the next one's prompt tells of every call that left a mark in the world, and
claims none that didn't."""

import asyncio
import json
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from langgraph.types import Command

from agent import Context, create_llm_compiler
from agent.executor.checkpoint import IN_FLIGHT
from apps.runs.checkpoints import open_checkpointer
from tests.support import PATIENCE
from tests.torture.child import Log, ScriptedModel, die_while_saving, tools
from tests.torture.dags import random_steps, write_plan
from tests.torture.kills import Report

WAYS = (
    "answer",
    "cancel",
    "kill",
    "kill while saving",
    "question on top",
    "pause",
    "cancel when decided",
    "kill when decided",
)
"""How the first turn ends. A question follows in any case."""

PAUSING = ("pause", "cancel when decided", "kill when decided")
MOST_EVENTS = 30
"""After how many starts and ends of calls a turn is stopped at the latest."""

LONGEST_DELAY = 0.01
"""Seconds after that."""


def stop(seed: int, url: str | None = None) -> Report:
    """Ask, stop the turn in some way, ask again, and see what the second prompt tells.

    Args:
        seed: Which case.
        url: The database; a file of its own by default.
    """
    report = Report(seed)
    way = WAYS[seed % len(WAYS)]
    report.shape = way
    folder = Path(tempfile.mkdtemp(prefix="stop-"))
    try:
        turns = _Turns(seed, way, folder, url or f"sqlite:///{folder / 'threads.db'}")
        first = multiprocessing.get_context("fork").Process(target=turns.first)
        first.start()
        first.join(PATIENCE)
        if first.exitcode is None:
            report.problems.append(f"{way}: hangs")
            first.kill()
            first.join()
        if way != "question on top":
            second = multiprocessing.get_context("fork").Process(target=turns.second)
            second.start()
            second.join(PATIENCE)
            second.kill()
            second.join()
        _check(folder, report)
    finally:
        shutil.rmtree(folder)
    return report


class _Turns:
    """Two turns of a thread, each in a process of its own."""

    def __init__(self, seed: int, way: str, folder: Path, url: str) -> None:
        self.chance, self.way, self.folder, self.url = random.Random(seed), way, folder, url
        self.seed = seed
        self.config: Any = {"configurable": {"thread_id": f"{seed}"}}
        self.context = Context(approve_side_effects=False, requires_approval=("effect",) if way in PAUSING else ())
        self.plan = write_plan(random_steps(random.Random(seed)))

    def first(self) -> None:
        """The turn that is stopped."""
        asyncio.run(self._first())

    def second(self) -> None:
        """The next question."""
        asyncio.run(self._second())

    def _graph(self, saver: Any, plan: str, prompts: list[str], then: Callable[[], None] | None = None) -> Any:
        log = Log(self.folder / "log", then)
        model = ScriptedModel(plan=plan, seed=self.seed, log=log, prompts=prompts)
        return create_llm_compiler(tools(log), model=model, checkpointer=saver)

    async def _first(self) -> None:
        async with open_checkpointer(self.url) as saver:
            stopping = asyncio.Event()
            left = iter(range(self.chance.randint(0, MOST_EVENTS), 0, -1))
            loop = asyncio.get_running_loop()

            def count() -> None:
                if next(left, 0) <= 1:
                    loop.call_soon_threadsafe(stopping.set)

            graph = self._graph(saver, self.plan, [], count)
            if self.way == "kill while saving":
                die_while_saving(saver, self.chance.randint(0, 40))
            given: Any = {"messages": "Question?"}
            if self.way in PAUSING:
                paused = await graph.ainvoke(given, self.config, context=self.context)
                if self.way == "pause" or "__interrupt__" not in paused:
                    return
                [asked] = paused["__interrupt__"]
                given = Command(resume={"decisions": [self._decide(one) for one in asked.value["action_requests"]]})
            turn = asyncio.ensure_future(graph.ainvoke(given, self.config, context=self.context))
            if self.way not in ("answer", "kill while saving"):
                waiting = asyncio.ensure_future(stopping.wait())
                await asyncio.wait([turn, waiting], return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                await asyncio.wait([turn], timeout=self.chance.uniform(0, LONGEST_DELAY))
                if self.way.startswith("kill"):
                    os.kill(os.getpid(), signal.SIGKILL)
                turn.cancel()
            with suppress(asyncio.CancelledError):
                await turn
            if self.way == "question on top":
                await self._ask_again(saver)

    def _decide(self, request: dict[str, Any]) -> dict[str, Any]:
        match self.chance.choice(["approve", "approve", "edit", "reject"]):
            case "edit":
                args = {**request["args"], "label": f"{request['args']['label']}!"}
                return {"type": "edit", "edited_action": {"name": "effect", "args": args}}
            case kind:
                return {"type": kind}

    async def _second(self) -> None:
        async with open_checkpointer(self.url) as saver:
            await self._ask_again(saver)

    async def _ask_again(self, saver: Any) -> None:
        prompts: list[str] = []
        graph = self._graph(saver, "join()", prompts)
        output = await graph.ainvoke({"messages": "What did you do?"}, self.config, context=self.context)
        said = {"prompt": prompts[0], "ids": [message.id for message in output["messages"]]}
        (self.folder / "second.json").write_text(json.dumps(said))


def _check(folder: Path, report: Report) -> None:
    if not (folder / "second.json").exists():
        report.problems.append(f"{report.shape}: the second question has no answer")
        return
    said = json.loads((folder / "second.json").read_text())
    if len(set(said["ids"])) < len(said["ids"]):
        report.problems.append(f"{report.shape}: two messages have the same id")
    log = (folder / "log").read_text().splitlines() if (folder / "log").exists() else []
    events = [(event, label) for event, label, *_ in map(json.loads, log)]
    done = {label for event, label in events if event == "end"}
    changed = {label for event, label in events if event == "changed"}
    lines = [line for line in said["prompt"].splitlines() if line[:1].isdigit()]
    for label in changed:
        told = [line for line in lines if f'"{label}"' in line.partition(", ")[0]]
        if not any(" -> " in line or IN_FLIGHT in line for line in told):
            report.problems.append(f"{report.shape}: {label} left a mark, and is not told of: {told}")
    for line in lines:
        label = line.partition('"')[2].partition('"')[0]
        if " -> " in line and label not in done:
            report.problems.append(f"{report.shape}: {line!r} is claimed")
