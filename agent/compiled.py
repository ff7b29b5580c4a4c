"""How the compiled graph is run: from sync code too, with any checkpointer and any `max_concurrency`."""

import asyncio
import copy
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import replace
from functools import cache, partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, Self, TypeVar, cast

import anyio
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.constants import CONFIG_KEY_CHECKPOINTER
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, StateSnapshot

from agent.context import Context
from agent.conversation.savable import savable_answer
from agent.executor.checkpoint import left_behind, may_be_left_behind
from agent.state import Conversation, State

AHEAD = 100
"""How many items a generator may be ahead of its consumer, if nothing else is said."""

OTHER_LOOP = (
    "{saver} belongs to the event loop that it was made on, and the graph runs on another one: sync code has its own. "
    "Use `await graph.ainvoke(…)` on the saver's loop, or give the graph a sync saver, such as SqliteSaver or "
    "PostgresSaver."
)

NO_LOOP = (
    "The graph runs on asyncio, and no event loop of asyncio runs here. Use `asyncio.run(graph.ainvoke(…))`, or "
    "`graph.invoke(…)`, from Trio in a thread."
)

UNPICKLABLE = (
    "A compiled graph can't be pickled: it holds functions and connections of this process. Tell the other process "
    "which module makes it, and import that there."
)

SHALLOW = (
    "{saver} keeps only the last step of a thread, and what was said before is saved with the steps that said it: the "
    "conversation of thread {thread} is lost. Give the graph a checkpointer that keeps all steps, such as "
    'AsyncPostgresSaver; a run of `durability="exit"` saves few.'
)

T = TypeVar("T")


class LLMCompiler(CompiledStateGraph[State, Context, Conversation, Conversation]):
    """The compiled graph. Its nodes are async; `invoke`, `stream` and `batch` run them on an event loop in the
    background."""

    @classmethod
    def of(cls, graph: CompiledStateGraph[State, Context, Conversation, Conversation]) -> Self:
        """The same graph, as an `LLMCompiler`."""
        return cls(**vars(graph))

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.copy()  # LangGraph compares values of its own by identity: copies of them would not be the same

    def __reduce__(self) -> Any:
        raise TypeError(UNPICKLABLE)

    async def astream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> AsyncIterator[Any]:
        """As in LangGraph, but `max_concurrency` of the config has no effect inside the run: it would count the nodes
        and the tasks that wait for others, until they wait for each other. `Context.max_concurrency` bounds the
        tools.

        Unless told otherwise, a superstep begins when the one before it is saved (`durability="sync"`): LangGraph's
        default, "async", may save a tool's result before the checkpoint that it belongs to, and a crash in between
        would lose it. The run has a task of its own, and ends in order however its consumer is cancelled.

        Raises:
            RuntimeError: No event loop of asyncio runs. The checkpointer is async, and belongs to another one. It has
                lost the conversation.
        """
        _check_loop()
        self._try_to_read(input, options.get("context"))
        given, config = config or {}, ensure_config(config)
        if config.get("max_concurrency") or (self.config or {}).get("max_concurrency"):
            config["max_concurrency"] = sys.maxsize  # None would give way to the value of a surrounding run
        if "recursion_limit" not in given:
            del config["recursion_limit"]  # LangChain's default is for chains; the cycle has max_replans as its bound
        if isinstance(self.checkpointer, BaseCheckpointSaver):
            options["durability"] = options.get("durability") or "sync"
        saver = config["configurable"].get(CONFIG_KEY_CHECKPOINTER, self.checkpointer)
        if isinstance(saver, BaseCheckpointSaver):
            config["configurable"] = {**config["configurable"], CONFIG_KEY_CHECKPOINTER: usable_here(saver)}
            if not config["configurable"].get("checkpoint_ns"):
                config = await self._take_up(config, asks=isinstance(input, dict))
        running = cast("AsyncGenerator[Any]", super().astream(_savable_input(input), config, **options))
        async with aclosing(in_a_task(running)) as chunks:
            async for chunk in chunks:
                yield chunk

    def astream_events(self, *given: Any, **named: Any) -> Any:
        """As in LangGraph. A transformer that the graph has may be given, too: LangGraph refuses the second one."""
        return super().astream_events(*given, **self._without_own_transformers(named))

    def stream_events(self, *given: Any, **named: Any) -> Any:
        """As in LangGraph, as above."""
        return super().stream_events(*given, **self._without_own_transformers(named))

    def _without_own_transformers(self, named: dict[str, Any]) -> dict[str, Any]:
        if named.get("transformers"):
            named["transformers"] = [one for one in named["transformers"] if one not in self.stream_transformers]
        return named

    def _try_to_read(self, given: Any, context: Any) -> None:
        """Raise now what LangGraph raises when the question is saved and the turn before it has ended: the thread
        could not be read any more, and what waits for a person would not be made.

        Raises:
            ValidationError: The context has unknown fields or values.
            Exception: The messages are none. LangChain says why.
        """
        if isinstance(context, dict):
            Context.model_validate(context)
        values = given.update if isinstance(given, Command) else given
        if isinstance(values, dict) and "messages" in values:
            self.channels["messages"].copy().update([values["messages"]])  # type: ignore[union-attr]

    async def _take_up(self, config: RunnableConfig, asks: bool) -> RunnableConfig:
        """Look at what is saved of the thread. If a question is asked, and the last turn never ended, have the
        conversation say what is known of it.

        Returns:
            The configuration to go on with.

        Raises:
            RuntimeError: The checkpointer has lost the conversation.
        """
        merged = merge_configs(self.config, config)["configurable"]
        saver: BaseCheckpointSaver[Any] = merged[CONFIG_KEY_CHECKPOINTER]
        here = {name: merged[name] for name in ("thread_id", "checkpoint_id") if merged.get(name)}
        if "thread_id" not in here:
            return config
        saved = await saver.aget_tuple({"configurable": {**here, "checkpoint_ns": ""}})
        if saved and saved.parent_config is None and _additions(saved):
            raise RuntimeError(SHALLOW.format(saver=type(saver).__name__, thread=here["thread_id"]))
        run = config["metadata"].get("run_id") or merged.get("run_id")
        goes_on = saved and run and run == saved.metadata.get("run_id")  # LangGraph resumes it, whatever its input
        if not asks or not saved or goes_on or not may_be_left_behind(saved):
            return config
        found: RunnableConfig = {"configurable": {**here, "checkpoint_ns": "", CONFIG_KEY_CHECKPOINTER: saver}}
        update = left_behind(saved, (await self.aget_state(found)).values)
        if update is None:
            return config
        ended = await self.aupdate_state(found, update, as_node="joiner")
        if "checkpoint_id" in here:
            config["configurable"] = {**config["configurable"], "checkpoint_id": ended["configurable"]["checkpoint_id"]}
        return config

    async def aget_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """As in LangGraph, with any checkpointer."""
        return await super(LLMCompiler, self._here()).aget_state(config, subgraphs=subgraphs)

    async def aget_state_history(self, config: RunnableConfig, **options: Any) -> AsyncIterator[StateSnapshot]:
        """As in LangGraph, with any checkpointer."""
        async for snapshot in super(LLMCompiler, self._here()).aget_state_history(config, **options):
            yield snapshot

    async def abulk_update_state(self, config: RunnableConfig, supersteps: Any) -> RunnableConfig:
        """As in LangGraph, with any checkpointer."""
        return await super(LLMCompiler, self._here()).abulk_update_state(config, supersteps)

    def _here(self) -> Self:
        """The graph, with its checkpointer as it can be used on this event loop."""
        saver = self.checkpointer
        usable = usable_here(saver) if isinstance(saver, BaseCheckpointSaver) else saver
        return self if usable is saver else self.copy({"checkpointer": usable})

    def stream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Iterator[Any]:
        """As in LangGraph."""
        chunks: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

        async def run() -> None:
            try:
                async for chunk in self.astream(input, config, **options):
                    chunks.put((chunk, None))
                chunks.put((None, StopIteration()))
            except BaseException as error:
                chunks.put((None, error))
                raise

        running = asyncio.run_coroutine_threadsafe(run(), _background_loop())
        try:
            while True:
                chunk, error = chunks.get()
                if isinstance(error, StopIteration):
                    return
                if error is not None:
                    raise error
                yield chunk
        finally:
            running.cancel()


def _check_loop() -> None:
    """
    Raises:
        RuntimeError: No event loop of asyncio runs.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(NO_LOOP) from None


def _additions(saved: CheckpointTuple) -> int:
    """How often something was added to the conversation since it was last saved whole."""
    counters = saved.metadata.get("counters_since_delta_snapshot") or {}
    return counters.get("messages", (0, 0))[0]


def _savable_input(given: Any) -> Any:
    if isinstance(given, Command) and given.resume is not None:
        return replace(given, resume=savable_answer(given.resume))
    return given


def usable_here(saver: BaseCheckpointSaver[Any]) -> BaseCheckpointSaver[Any]:
    """The checkpointer, as it can be used on this event loop: a sync one works in threads.

    Raises:
        RuntimeError: It is async, and belongs to another loop.
    """
    loop = getattr(saver, "loop", None)
    if isinstance(loop, asyncio.AbstractEventLoop) and loop is not asyncio.get_running_loop():
        raise RuntimeError(OTHER_LOOP.format(saver=type(saver).__name__))
    if type(saver).aput_writes is not BaseCheckpointSaver.aput_writes:
        return saver
    threaded = copy.copy(saver)
    threaded.__class__ = _threaded(cast("Any", type(saver)))
    return threaded


@cache
def _threaded(saver: Any) -> Any:
    return type(f"Threaded{saver.__name__}", (_Threaded, saver), {})


class _Threaded(BaseCheckpointSaver[Any]):
    """The async methods of a sync checkpointer."""

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await anyio.to_thread.run_sync(self.get_tuple, config)

    async def alist(self, config: RunnableConfig | None, **options: Any) -> AsyncIterator[CheckpointTuple]:
        for found in await anyio.to_thread.run_sync(lambda: list(self.list(config, **options))):
            yield found

    async def aput(self, *given: Any, **named: Any) -> RunnableConfig:
        return await anyio.to_thread.run_sync(partial(self.put, *given, **named))

    async def aput_writes(self, *given: Any, **named: Any) -> None:
        await anyio.to_thread.run_sync(partial(self.put_writes, *given, **named))


@cache
def _background_loop() -> asyncio.AbstractEventLoop:
    """One for the process, so that the connections of model clients stay usable from run to run."""
    loop = asyncio.new_event_loop()
    Thread(target=loop.run_forever, name="llm-compiler", daemon=True).start()
    return loop


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_background_loop.cache_clear)  # threads are not forked


async def in_a_task(items: AsyncGenerator[T], ahead: int = AHEAD) -> AsyncGenerator[T]:
    """The same items, of which there may be so many before they are taken.

    Responses of Starlette and FastAPI are cancelled by anyio, which cancels again at every `await` until the task has
    ended. LangGraph, interrupted so while it cleans up, leaves the run's tasks behind: tools and model calls would go
    on for a client who has gone. The task here is cancelled once, and waited for.

    Raises:
        Exception: What the generator raises.
    """
    made: asyncio.Queue[T | asyncio.Task[None]] = asyncio.Queue()
    room = asyncio.Semaphore(ahead)

    async def run() -> None:
        async with aclosing(items):
            async for item in items:
                await room.acquire()
                made.put_nowait(item)

    running = asyncio.create_task(run())
    running.add_done_callback(lambda done: done.cancelled() or done.exception())  # taken note of
    running.add_done_callback(made.put_nowait)  # what comes behind the last item
    try:
        while (item := await made.get()) is not running:
            room.release()
            yield cast("T", item)
        running.result()
    finally:
        running.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([running])
