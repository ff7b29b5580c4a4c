"""One run of a plan, in a process that may be killed at any moment: real tools that log to disk, a checkpointer on
disk, and a model that streams a plan that it was given."""

import asyncio
import hashlib
import json
import multiprocessing.process
import os
import random
import signal
import time
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.sqlite import aio as _loaded_before_forking  # noqa: F401

from agent import Context, create_llm_compiler
from apps.runs.checkpoints import open_checkpointer
from tests.torture.dags import value_of

THREAD: Any = {"configurable": {"thread_id": "t"}}


@dataclass(frozen=True)
class Orders:
    """What a child is to do."""

    folder: Path
    """Where `threads.db`, `log` and the results are."""

    plan: str
    """What the model writes, if it is asked."""

    seed: int
    writes_before_death: int | None = None
    """How many times something may be saved before the process kills itself; the odd half of them, just after it was
    saved, and the even half just before."""


class Log:
    """What happens, a line of JSON each, safe on disk before it goes on."""

    def __init__(self, path: Path, then: Callable[[], None] | None = None) -> None:
        """
        Args:
            path: The file.
            then: Called when something has been written.
        """
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._then = then

    def write(self, event: str, label: str) -> None:
        os.write(self._file, json.dumps([event, label]).encode() + b"\n")
        os.fsync(self._file)
        if self._then:
            self._then()


class ScriptedModel(BaseChatModel):
    """Streams the plan in pieces, and answers with a digest of what it is shown."""

    plan: str
    seed: int
    log: Any
    prompts: Any = None
    """A list that takes what the model is asked for plans."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        raise NotImplementedError

    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        await asyncio.sleep(random.Random(self.seed).uniform(0, 0.01))
        shown = hashlib.sha1(str(messages[-1].text).encode(), usedforsecurity=False).hexdigest()
        return ChatResult(generations=[ChatGeneration(message=AIMessage(f"Digest: {shown}"))])

    async def _astream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        if self.prompts is not None:
            self.prompts.append("\n".join(str(message.text) for message in messages[1:]))
        self.log.write("plan", "begun")
        chance = random.Random(self.seed)
        rest = self.plan
        while rest:
            size = chance.randint(1, 60)
            yield ChatGenerationChunk(message=AIMessageChunk(rest[:size]))
            rest = rest[size:]
            await asyncio.sleep(chance.choice([0, 0, 0.001, 0.005]))
        self.log.write("plan", "done")


def tools(log: Log) -> list[Any]:
    """Tools that log each call, take the time that they are told, and give what only this call gives."""

    async def work(label: str, milliseconds: int, inputs: list[Any]) -> str:
        """Works."""
        log.write("start", label)
        await asyncio.sleep(milliseconds / 1000)
        log.write("end", label)
        return value_of(label, inputs)

    def work_in_thread(label: str, milliseconds: int, inputs: list[Any]) -> str:
        """Works in a thread."""
        log.write("start", label)
        time.sleep(milliseconds / 1000)
        log.write("end", label)
        return value_of(label, inputs)

    async def record(label: str, milliseconds: int, inputs: list[Any]) -> dict[str, Any]:
        """Gives {"value": text}."""
        return {"value": await work(label, milliseconds, inputs), "inputs": inputs}

    async def items(label: str, milliseconds: int, inputs: list[Any]) -> list[str]:
        """Gives labels."""
        value = await work(label, milliseconds, inputs)
        return [f"{label}.{index}" for index in range(2 + int(value[-1], 16) % 3)]

    async def fail(label: str, milliseconds: int, inputs: list[Any]) -> str:
        """Fails."""
        raise RuntimeError(await work(label, milliseconds, inputs))

    async def effect(label: str, milliseconds: int, inputs: list[Any]) -> str:
        """Changes something."""
        value = await work(label, milliseconds, inputs)
        log.write("changed", label)
        return value

    changes = StructuredTool.from_function(coroutine=effect, metadata={"side_effects": True})
    return [work, work_in_thread, record, items, fail, changes]


async def run(orders: Orders) -> dict[str, Any]:
    """Ask, or go on where the last child was killed."""
    log = Log(orders.folder / "log")
    model = ScriptedModel(plan=orders.plan, seed=orders.seed, log=log)
    async with open_checkpointer(f"sqlite:///{orders.folder / 'threads.db'}") as saver:
        if orders.writes_before_death is not None:
            die_while_saving(saver, orders.writes_before_death)
        graph = create_llm_compiler(tools(log), model=model, checkpointer=saver)
        begun = await saver.aget_tuple(THREAD)
        context = Context(approve_side_effects=False)
        output = await graph.ainvoke(None if begun else {"messages": "Question?"}, THREAD, context=context)
    return simplified(output["messages"])


def die_while_saving(saver: Any, writes: int) -> None:
    """Have the process kill itself when so many things have been saved, or just before."""
    left = iter(range(writes // 2, -1, -1))

    def dying(save: Any) -> Any:
        async def save_or_die(*args: Any, **kwargs: Any) -> Any:
            last = next(left, 0) == 0
            if last and writes % 2 == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            saved = await save(*args, **kwargs)
            if last:
                os.kill(os.getpid(), signal.SIGKILL)
            return saved

        return save_or_die

    saver.aput, saver.aput_writes = dying(saver.aput), dying(saver.aput_writes)


def simplified(messages: Sequence[BaseMessage]) -> dict[str, Any]:
    """What matters in a conversation."""
    return {
        "plan": next(message.response_metadata["plan"] for message in messages if isinstance(message, AIMessage)),
        "results": {
            message.tool_call_id: [message.status, message.text, message.artifact]
            for message in messages
            if isinstance(message, ToolMessage)
        },
        "answer": messages[-1].text,
    }


def start(orders: Orders, name: str) -> multiprocessing.process.BaseProcess:
    """Fork a child, which writes its result, or else its error, to a file of that name."""
    child = multiprocessing.get_context("fork").Process(target=_write_result, args=(orders, name))
    child.start()
    return child


def _write_result(orders: Orders, name: str) -> None:
    try:
        result = asyncio.run(run(orders))
    except Exception:  # noqa: BLE001 — it is written down
        result = {"error": "".join(traceback.format_exc(limit=-2).splitlines())}
    (orders.folder / f"{name}.json").write_text(json.dumps(result))
