"""The agent as the server's clients know it: a question in, progress and a result out."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, cast

from langchain_core.messages import AIMessage
from langchain_core.runnables import ConfigurableFieldSpec, Runnable, RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, StateSnapshot
from pydantic import BaseModel

from agent import Context
from agent.compiled import in_a_task
from agent.conversation.messages import this_turn
from apps.runs.report import ModelCalls, Run
from apps.runs.threads import closing
from apps.server.errors import RefusedError
from apps.server.limits import Limits
from apps.server.results import result_of
from apps.server.schema import AgentInput, AgentResult
from apps.server.settings import ClientConfig, context_of, form_fields
from apps.server.threads import Busy, open_threads

TOO_LONG = "The question has {given:,} characters, and may have {most:,} (LLM_COMPILER_MAX_QUESTION_CHARS)."
TOO_MANY = "The batch has {given} questions, and may have {most} (LLM_COMPILER_MAX_BATCH)."
TIMED_OUT = "The run took longer than {seconds:g} s and was stopped (LLM_COMPILER_RUN_TIMEOUT)."
WAITS = "The thread {thread!r} waits for an answer to its last question: send decisions, or use another thread."
WAITS_FOR_NOTHING = "The thread {thread!r} waits for no decisions."

Event = dict[str, Any]
Graph = CompiledStateGraph[Any, Any, Any, Any]


@dataclass(frozen=True)
class Opened:
    """What the agent has when the server runs."""

    graph: Graph
    """With a checkpointer."""

    limits: Limits
    room: asyncio.Semaphore
    busy: Busy
    durability: Literal["exit", "async"]
    """When a run's state is saved: what is gone with the process need not outlive a crash."""


class ServedAgent(Runnable[AgentInput, AgentResult]):
    """The agent as a LangChain runnable: `ainvoke` gives the result, and `events` what leads to it."""

    name = "agent"

    def __init__(self, input: type[AgentInput] = AgentInput) -> None:
        """
        Args:
            input: The type of the input.
        """
        self._input = input
        self._opened: Opened | None = None

    @asynccontextmanager
    async def open(self, graph: Graph, limits: Limits, database: str | None) -> AsyncIterator[None]:
        """Answer requests, inside `async with`.

        Args:
            graph: The agent.
            limits: What clients may do.
            database: Where threads are kept, see `apps.runs.checkpoints`; without one, they are gone with the
                process.

        Raises:
            graphs.checkpoint.CheckpointError: The database can't be had.
        """
        Context()  # wrong settings are told when the server starts
        async with open_threads(database, max(limits.max_threads, limits.max_runs)) as saver:
            graph = graph.copy(update={"checkpointer": saver})
            durability: Literal["exit", "async"] = "async" if database else "exit"
            self._opened = Opened(graph, limits, asyncio.Semaphore(limits.max_runs), Busy(), durability)
            try:
                yield
            finally:
                self._opened = None

    @property
    def limits(self) -> Limits:
        """What clients may do."""
        return self._require().limits

    # --- what LangServe asks for

    def get_input_schema(self, config: RunnableConfig | None = None) -> type[BaseModel]:  # noqa: ARG002
        return self._input

    def get_output_schema(self, config: RunnableConfig | None = None) -> type[BaseModel]:  # noqa: ARG002
        return AgentResult

    def config_schema(self, *, include: Any = None) -> type[BaseModel]:  # noqa: ARG002
        return ClientConfig

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        return form_fields()

    # --- running

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> NoReturn:
        """There is no sync way: the server has an event loop."""
        raise NotImplementedError("Use ainvoke.")

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> AgentResult:
        """The result alone."""
        # It has its own place in a trace, and so in `/stream_events` and `/stream_log`.
        return await self._acall_with_config(cast("Any", self._result), input, config)

    async def _result(self, input: Any, config: RunnableConfig) -> AgentResult:
        async with aclosing(self.events(input, config)) as events:
            async for event in events:
                if event["type"] == "result":
                    return AgentResult.model_validate(event)
        raise AssertionError("the last event is the result")

    async def abatch(self, inputs: list[Any], config: Any = None, **_: Any) -> list[AgentResult]:
        """The results of several questions. The first that fails stops the others."""
        if len(inputs) > (most := self.limits.max_batch):
            raise RefusedError(422, TOO_MANY.format(given=len(inputs), most=most))
        configs = config if isinstance(config, list) else [config] * len(inputs)
        runs = [asyncio.create_task(self.ainvoke(*each)) for each in zip(inputs, configs, strict=True)]
        try:
            return await asyncio.gather(*runs)
        finally:
            for run in runs:
                run.cancel()
            await asyncio.gather(*runs, return_exceptions=True)

    async def events(self, input: Any, config: RunnableConfig) -> AsyncGenerator[Event]:
        """What happens, as it happens, and the result as the last; see `apps.server.app`.

        Raises:
            RefusedError: The request can't be met.
            Exception: The run failed.
        """
        opened = self._require()
        asked, context = self._read(input, config)
        thread = asked.thread_id or str(uuid.uuid4())
        with opened.busy.entered(thread):
            steps = in_a_task(_answer(opened, asked, thread, context, config))
            async with aclosing(steps):
                async for event in steps:
                    yield event

    async def check(self, input: Any, config: RunnableConfig) -> None:
        """See whether a request can be met, before an answer to it begins.

        Raises:
            RefusedError: It can't.
            ValidationError: It has another form.
        """
        opened = self._require()
        asked, _ = self._read(input, config)
        if asked.thread_id:
            with opened.busy.entered(asked.thread_id):
                _check_turn(asked, await opened.graph.aget_state(_in(asked.thread_id)), asked.thread_id)

    def _read(self, input: Any, config: RunnableConfig) -> tuple[AgentInput, Context]:
        """What is asked, and the settings for it."""
        limits = self.limits
        asked = AgentInput.model_validate(input)
        if len(asked.text) > limits.max_question_chars:
            raise RefusedError(422, TOO_LONG.format(given=len(asked.text), most=limits.max_question_chars))
        return asked, context_of(config.get("configurable", {}), limits)

    def _require(self) -> Opened:
        if self._opened is None:
            raise RuntimeError("The server has not started: its lifespan was not entered.")
        return self._opened


async def _answer(
    opened: Opened, asked: AgentInput, thread: str, context: Context, config: RunnableConfig
) -> AsyncGenerator[Event]:
    """Run the graph, and tell what happens."""
    seconds = opened.limits.run_timeout
    try:
        # It is in a task of its own, and so this may stay around what is yielded.
        events = _run_graph(opened, asked, thread, context, config)
        async with asyncio.timeout(seconds) as deadline, opened.room, aclosing(events):
            async for event in events:
                yield event
    except TimeoutError:
        if deadline.expired():
            raise RefusedError(504, TIMED_OUT.format(seconds=seconds)) from None
        raise


async def _run_graph(
    opened: Opened, asked: AgentInput, thread: str, context: Context, config: RunnableConfig
) -> AsyncGenerator[Event]:
    graph, in_thread = opened.graph, _in(thread)
    before = await graph.aget_state(in_thread)
    _check_turn(asked, before, thread)
    run = Run(asked.question or "")
    if before.interrupts:
        run.recall(this_turn(before.values["messages"]), planned="planner" not in before.next)
    stream = graph.astream(
        _graph_input(asked, before),
        {**in_thread, "callbacks": _with(config.get("callbacks"), ModelCalls(run))},
        context=context,
        stream_mode=["custom", "messages", "updates"],
        durability=opened.durability,
    )
    async with aclosing(cast("AsyncGenerator[Any]", stream)) as chunks:
        async for mode, chunk in chunks:
            for event in _events(run, mode, chunk):
                yield event
    result = result_of(run, await graph.aget_state(in_thread), thread)
    if result.approval:
        yield {"type": "approval", **result.approval.model_dump()}
    yield result.model_dump()


def _in(thread: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread}}


def _check_turn(asked: AgentInput, thread: StateSnapshot, name: str) -> None:
    """
    Raises:
        RefusedError: The thread waits for something else than what it is given.
    """
    if asked.answers_a_pause != (waiting := bool(thread.interrupts)):
        raise RefusedError(409, (WAITS if waiting else WAITS_FOR_NOTHING).format(thread=name))


def _graph_input(asked: AgentInput, thread: StateSnapshot) -> Any:
    if asked.decisions is not None:
        return Command(resume={"decisions": asked.decisions})
    if asked.resume is not None:
        return Command(resume=asked.resume)
    return {"messages": [*closing(thread), *asked.as_messages()]}


def _with(callbacks: Any, handler: ModelCalls) -> Any:
    """The callbacks and one more."""
    if callbacks is None or isinstance(callbacks, list):
        return [*(callbacks or []), handler]
    callbacks = callbacks.copy()
    callbacks.add_handler(handler, inherit=True)
    return callbacks


def _events(run: Run, mode: str, chunk: Any) -> Iterator[Event]:
    """What a chunk of the graph's stream has for the client; the run takes note of it."""
    match mode, chunk:
        case "custom", {"type": str()}:
            run.take(chunk)
            yield chunk
        case "messages", (AIMessage() as message, {"langgraph_node": "joiner"}):
            before = run.answer
            run.take_message(message)
            yield from _answer_text(run.answer, before)
        case "updates", {"executor": {"messages": [*messages]}}:
            run.take_results(messages)
        case "updates", {"joiner": {"messages": [AIMessage() as answer]}}:
            run.answer = str(answer.text)
            run.rounds[-1].join.finished = time.time()
        case "updates", {"__interrupt__": _}:
            run.paused = time.time()


def _answer_text(answer: str, before: str) -> Iterator[Event]:
    if answer == before:
        return
    if answer.startswith(before):
        yield {"type": "answer_text", "text": answer.removeprefix(before)}
    else:
        yield {"type": "answer_text", "text": answer, "restart": True}
