"""The agent as the server's clients know it: a question in, progress and a result out."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, NoReturn, Self, cast

import anyio
from langchain_core.runnables import ConfigurableFieldSpec, Runnable, RunnableConfig
from langgraph.types import Command
from pydantic import BaseModel, ConfigDict, Field

from agent import Context
from agent.compiled import in_a_task
from apps.runs.graphs import Graph
from apps.runs.locks import Locks
from apps.runs.report import Report, Turn, report_of, turns_of
from apps.runs.run import Run, follow
from apps.runs.threads import Session, Thread, graph_by_name
from apps.server.errors import RefusedError
from apps.server.limits import Limits
from apps.server.schema import AgentInput, FormInput
from apps.server.settings import ClientConfig, context_of, form_fields, named_thread
from apps.server.streams import LiveRuns
from apps.server.threads import open_threads, tell_died

TOO_LONG = "The question has {given:,} characters, and may have {most:,} (LLM_COMPILER_MAX_QUESTION_CHARS)."
TOO_MANY = "The batch has {given} questions, and may have {most} (LLM_COMPILER_MAX_BATCH)."
TIMED_OUT = "The run took longer than {seconds:g} s and was stopped (LLM_COMPILER_RUN_TIMEOUT)."
TWO_THREADS = "The input names the thread {input!r} and the config {config!r}. Name one."
NO_THREAD = "With decisions or resume, give the thread_id of the run that paused."
WAITS = "The thread {thread!r} waits for an answer to its last question: send decisions, or use another thread."
WAITS_FOR_NOTHING = "The thread {thread!r} waits for no decisions."
NO_THREAD_TO_KEEP = "With on_disconnect: continue, give a thread_id, a name of your own, by which to come back."
NO_ROOM = "This server has {most} runs already (LLM_COMPILER_MAX_RUNS). Try again in a moment."
UNKNOWN_THREAD = "There is no thread {thread!r}."

Event = dict[str, Any]


@dataclass(frozen=True)
class Opened:
    """What the agent has when the server runs."""

    graph: Graph
    """With a checkpointer."""

    limits: Limits
    room: asyncio.Semaphore
    locks: Locks
    live: LiveRuns
    durability: Literal["exit", "async"]
    """When a run's state is saved: what is gone with the process need not outlive a crash."""

    async def session(self, thread: str) -> tuple[Session, Thread]:
        """The thread, with its graph, and how it stands.

        Raises:
            apps.runs.graphs.GraphError: It can't be loaded.
        """
        return await Session(self.graph, thread).with_its_graph()


class Conversation(BaseModel):
    """What a thread holds."""

    model_config = ConfigDict(title="Conversation")

    thread_id: str = Field(title="Thread")
    state: Literal["running", "finished", "broken", "waiting"] = Field(
        title="State",
        description="What becomes of the last turn: `running`: it can be read; `broken`: the run died or was stopped, "
        "and can be resumed, or runs for a client of its own; `waiting`: for an answer to its approval.",
    )
    turns: list[Turn] = Field(title="Turns")


class ServedAgent(Runnable[AgentInput, Report]):
    """The agent as a LangChain runnable: `ainvoke` gives the result, and `events` what leads to it."""

    name = "agent"

    def __init__(self) -> None:
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
            apps.runs.checkpoints.CheckpointError: The database can't be had.
        """
        Context()  # wrong settings are told when the server starts
        async with open_threads(database, max(limits.max_threads, limits.max_runs)) as (saver, locks):
            graph = graph.copy(update={"checkpointer": saver})
            durability: Literal["exit", "async"] = "async" if database else "exit"
            await tell_died(graph, locks)
            self._opened = Opened(graph, limits, asyncio.Semaphore(limits.max_runs), locks, LiveRuns(), durability)
            try:
                yield
            finally:
                await self.live.stop()
                self._opened = None

    @property
    def limits(self) -> Limits:
        """What clients may do."""
        return self._require().limits

    @property
    def live(self) -> LiveRuns:
        """The runs that go on when their client has gone."""
        return self._require().live

    async def with_graph(self, name: str) -> Self:
        """The same with another graph: they share limits, threads and what else there is.

        Raises:
            apps.runs.graphs.GraphError: It can't be loaded.
        """
        opened, other = self._require(), type(self)()
        other._opened = replace(opened, graph=await graph_by_name(name, opened.graph.checkpointer))
        return other

    # --- what LangServe asks for

    def get_input_schema(self, config: RunnableConfig | None = None) -> type[BaseModel]:  # noqa: ARG002
        return FormInput

    def get_output_schema(self, config: RunnableConfig | None = None) -> type[BaseModel]:  # noqa: ARG002
        return Report

    def config_schema(self, *, include: Any = None) -> type[BaseModel]:  # noqa: ARG002
        return ClientConfig

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        return form_fields()

    # --- running

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> NoReturn:
        """There is no sync way: the server has an event loop."""
        raise NotImplementedError("Use ainvoke.")

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Report:
        """The result alone."""
        # It has its own place in a trace, and so in `/stream_events` and `/stream_log`.
        return await self._acall_with_config(cast("Any", self._result), input, config)

    async def _result(self, input: Any, config: RunnableConfig) -> Report:
        async with aclosing(self.events(input, config)) as events:
            async for event in events:
                if event["type"] == "result":
                    return Report.model_validate(event)
        raise AssertionError("the last event is the result")

    async def abatch(self, inputs: list[Any], config: Any = None, **_: Any) -> list[Report]:
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
        answer = _answer(opened, asked, thread, context, config)
        async with aclosing(in_a_task(answer)) as steps:
            async for event in _in_time(steps, opened.limits.run_timeout):
                yield event

    async def events_once(self, asked: AgentInput, run_name: str) -> AsyncGenerator[Event]:
        """The events of a run whose thread is not kept, unless it waits for an approval.

        Args:
            asked: With a thread of its own, a UUID as hexadecimal digits.
            run_name: The run's name in traces.
        """
        assert asked.thread_id
        waits = False
        try:
            config = RunnableConfig(run_id=uuid.UUID(asked.thread_id), run_name=run_name)
            async with aclosing(self.events(asked, config)) as events:
                async for event in events:
                    waits = bool(event.get("approval"))
                    yield event
        finally:
            if not waits:
                with anyio.CancelScope(shield=True):
                    await self.forget(asked.thread_id)

    async def check(self, input: Any, config: RunnableConfig) -> None:
        """See whether a request can be met, before an answer to it begins.

        Raises:
            RefusedError: It can't.
            ValidationError: It has another form.
        """
        opened = self._require()
        asked, _ = self._read(input, config)
        if asked.thread_id:
            async with opened.locks.held(asked.thread_id):
                _, thread = await opened.session(asked.thread_id)
                _check_turn(asked, thread)

    def thread_to_keep(self, input: Any, config: RunnableConfig) -> str:
        """The thread of a run that is to go on when its client has gone.

        Raises:
            RefusedError: It names none, or there are too many runs.
        """
        asked, _ = self._read(input, config)
        if asked.thread_id is None:
            raise RefusedError(422, NO_THREAD_TO_KEEP)
        if self._require().room.locked():
            raise RefusedError(503, NO_ROOM.format(most=self.limits.max_runs))
        return asked.thread_id

    async def conversation(self, thread_id: str) -> Conversation:
        """What a thread holds.

        Raises:
            RefusedError: There is no such thread.
        """
        opened = self._require()
        run = opened.live.get(thread_id)
        _, thread = await opened.session(thread_id)
        turns = turns_of(thread)
        if run is None:
            if thread.state == "empty":
                raise RefusedError(404, UNKNOWN_THREAD.format(thread=thread_id))
            return Conversation(thread_id=thread_id, state=thread.state, turns=turns)
        # The question that it answers may have been saved already, or not yet.
        question = run.question
        if turns and (question is None or (turns[-1].question == question and turns[-1].answer is None)):
            question = turns.pop().question
        return Conversation(thread_id=thread_id, state="running", turns=[*turns, Turn(question=question or "")])

    async def forget(self, thread_id: str) -> None:
        """Delete a thread, and end what runs in it.

        Raises:
            RefusedError: It answers another client.
        """
        opened = self._require()
        if run := opened.live.get(thread_id):
            await run.stop()
        async with opened.locks.held(thread_id):
            await Session(opened.graph, thread_id).delete()

    def _read(self, input: Any, config: RunnableConfig) -> tuple[AgentInput, Context]:
        """What is asked, and the settings for it."""
        limits = self.limits
        asked = AgentInput.model_validate(input)
        if len(asked.text) > limits.max_question_chars:
            raise RefusedError(422, TOO_LONG.format(given=len(asked.text), most=limits.max_question_chars))
        settings = config.get("configurable", {})
        if (thread := named_thread(settings)) is not None:
            if asked.thread_id not in (None, thread):
                raise RefusedError(422, TWO_THREADS.format(input=asked.thread_id, config=thread))
            asked = AgentInput.model_validate({**asked.model_dump(exclude_none=True), "thread_id": thread})
        if asked.answers_a_pause and asked.thread_id is None:
            raise RefusedError(422, NO_THREAD)
        return asked, context_of(settings, limits)

    def _require(self) -> Opened:
        if self._opened is None:
            raise RuntimeError("The server has not started: its lifespan was not entered.")
        return self._opened


async def _answer(
    opened: Opened, asked: AgentInput, thread: str, context: Context, config: RunnableConfig
) -> AsyncGenerator[Event]:
    """Run the graph when there is room, and tell what happens."""
    ended: list[Event] = []
    events = _run_graph(opened, asked, thread, context, config)
    # It is in a task of its own, and so this may stay around what is yielded.
    async with opened.locks.held(thread), opened.room, aclosing(events):
        async for event in events:
            if event["type"] in ("approval", "result"):
                ended.append(event)
            else:
                yield event
    for event in ended:  # who hears that the run has ended may go on with its thread at once
        yield event


async def _in_time(events: AsyncGenerator[Event], seconds: float) -> AsyncGenerator[Event]:
    """The same events. The time is watched here, outside of the run's task: there, a timeout that came while an event
    was being handed over would cancel the run without a word.

    Raises:
        RefusedError: They took longer.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            async with asyncio.timeout_at(deadline) as timeout:
                event = await anext(events)
        except StopAsyncIteration:
            return
        except TimeoutError:
            if timeout.expired():
                raise RefusedError(504, TIMED_OUT.format(seconds=seconds)) from None
            raise
        yield event


async def _run_graph(
    opened: Opened, asked: AgentInput, thread: str, context: Context, config: RunnableConfig
) -> AsyncGenerator[Event]:
    session, before = await opened.session(thread)
    _check_turn(asked, before)
    history, question = asked.as_messages()
    run = Run(question or before.questions[-1])
    resume: Command[Any] | bool = False
    if asked.answers_a_pause:
        run.recall(before)
        resume = Command(resume=asked.answer) if before.waits_for else True
    events = follow(
        run,
        session=session,
        history=[*before.closing, *history],
        resume=resume,
        context=context,
        callbacks=config.get("callbacks"),
        durability=opened.durability,
    )
    async with aclosing(events):
        async for event in events:
            yield dict(event)
    report = report_of(run, thread)
    if report.approval:
        yield {"type": "approval", **report.approval.model_dump()}
    yield report.model_dump()


def _check_turn(asked: AgentInput, thread: Thread) -> None:
    """
    Raises:
        RefusedError: The thread waits for something else than what it is given.
    """
    waiting = bool(thread.waits_for)
    if asked.resume is True and thread.state == "broken":
        return
    if asked.answers_a_pause != waiting:
        raise RefusedError(409, (WAITS if waiting else WAITS_FOR_NOTHING).format(thread=thread.name))
