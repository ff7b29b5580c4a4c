"""One question on its way through the graph: what started when, what came of it, and how long it all took.

run = Run("How much taller is Mount Everest than K2?")
async for event in follow(run):
    print(event)
print(run.answer)
"""

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_type_hints

from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage, convert_to_messages
from langchain_core.messages.ai import UsageMetadata
from langgraph.graph.message import add_messages
from langgraph.types import Command, Interrupt, StreamMode

from agent import Context
from agent.conversation.messages import is_answer, observations, own_plans
from agent.language.tasks import Key, name_of
from apps.runs.graphs import Graph, served_graph
from apps.runs.threads import Session, Thread

Event = Mapping[str, Any]
"""A progress event, see `agent.events`; or `answer_text`, whose `text` is a piece of the answer: with `restart`, those
before it are void, as after `replanning`."""

TaskState = Literal["planned", "waiting", "paused", "running", "done", "failed", "skipped"]
_BEFORE_THE_ANSWER = {"planner", "executor", "approval", "tools"}
"""Nodes whose models don't speak to the user; what any other says, of this graph or another, is the answer."""
_OUTCOMES: dict[str, TaskState] = {"task_finished": "done", "task_failed": "failed", "task_skipped": "skipped"}


@dataclass
class Span:
    """From when to when something ran, in Unix seconds."""

    started: float | None = None
    finished: float | None = None

    def seconds(self, now: float | None = None) -> float:
        """How long it ran, or has been running until now; 0.0 if it has not started."""
        until = self.finished or now
        return max(0.0, until - self.started) if self.started and until else 0.0


@dataclass
class TaskRun(Span):
    """One tool call."""

    number: int = 0
    element: int | None = None
    """Which call of a map it is."""

    tool: str = ""
    planned_arguments: dict[str, Any] = field(default_factory=dict)
    """With references; long ones cut."""

    arguments: dict[str, Any] = field(default_factory=dict)
    """With the references resolved, as soon as they are."""

    call: str = ""
    """The same, as plans write it."""

    dependencies: list[int] = field(default_factory=list)
    planned: float | None = None
    """When it had been read from the plan, in Unix seconds."""

    state: TaskState = "planned"
    outcome: str = ""
    """The result, or why there is none; cut."""

    @property
    def ended(self) -> bool:
        """Whether there is an outcome."""
        return self.state in _OUTCOMES.values()

    @property
    def name(self) -> str:
        """The task as plans refer to it: `3`, or `3[0]`."""
        return name_of((self.number, self.element))


@dataclass
class Round:
    """A plan, its tasks, and what the joiner made of them."""

    reason: str = ""
    """Why there is a further plan, if it is not the first."""

    plan: Span = field(default_factory=Span)
    tasks: list[TaskRun] = field(default_factory=list)
    join: Span = field(default_factory=Span)
    text: str = ""
    """The plan as the model wrote it."""


@dataclass
class Run:
    """A question, and all that has happened to it so far."""

    question: str
    rounds: list[Round] = field(default_factory=lambda: [Round()])
    model: str = ""
    """The model that answers, as `provider:model`; until it does, the one that plans."""

    answer: str = ""
    """As far as it has come."""

    messages: list[AnyMessage] = field(default_factory=list)
    """What the graph has added to the conversation since the question."""

    plans: list[str] = field(default_factory=list)
    """Each plan as the model wrote it."""

    replans: list[str] = field(default_factory=list)
    """Why there is a second plan, a third, …"""

    usage: dict[str, UsageMetadata] = field(default_factory=dict)
    """The tokens of all model calls, by the names that the providers give their models."""

    begun: float | None = None
    """When the graph was asked, in Unix seconds."""

    resumed: bool = False
    """Whether it goes on with what was begun before."""

    paused: float | None = None
    """When it stopped to wait for the user, in Unix seconds."""

    waits_for: list[Interrupt] = field(default_factory=list)
    """What the user is asked for, if it has paused."""

    _tasks: dict[Key, TaskRun] = field(default_factory=dict)
    _answer_id: str | None = None

    @property
    def tasks(self) -> list[TaskRun]:
        """The tasks of every round."""
        return [task for round_ in list(self.rounds) for task in list(round_.tasks)]

    @property
    def started(self) -> float | None:
        """When the first plan was begun, or the run went on, in Unix seconds; of a graph without plans, when it was
        asked."""
        return self.rounds[0].plan.started or self.begun

    @property
    def finished(self) -> float | None:
        """When the answer was complete, or the run paused, in Unix seconds."""
        return self.rounds[-1].join.finished or self.paused

    @property
    def timings(self) -> dict[str, float]:
        """Seconds: of all plans, tools and joins, from the first plan to the answer, and what the same calls would
        have taken one after another.

        A pause divides a run: the total of one that pauses ends there, and one that goes on, after a pause or a crash,
        counts anew from that moment, without the plan and the calls from before, and without the time that a person
        took to answer.
        """
        plan, join = (sum(getattr(round_, part).seconds() for round_ in self.rounds) for part in ("plan", "join"))
        since = self.started or 0.0
        tools = sum(task.seconds() for task in self.tasks if task.started and task.started >= since)
        total = Span(self.started, self.finished).seconds()
        return {"plan": plan, "tools": tools, "join": join, "total": total, "one_after_another": plan + tools + join}

    @property
    def compares(self) -> bool:
        """Whether it is worth saying what its calls would have taken one after another: there were several, and all of
        them in the time that is told."""
        return len(self.tasks) > 1 and not self.resumed

    def take(self, event: Event) -> None:
        """Note what has happened."""
        match event:
            case {"type": "plan_started", "time": float(now)}:
                if event.get("anew"):
                    self._drop_plan()
                self.rounds[-1].plan.started = now
            case {"type": "plan_finished", "time": float(now)}:
                self.rounds[-1].plan.finished = now
            case {"type": "plan_text", "text": str(text)}:
                self.rounds[-1].text += text
            case {"type": str(kind), "task": number} if kind.startswith("task_"):
                self._take_task(kind, (number, event.get("element")), event)
            case {"type": "joiner_started", "time": float(now)}:
                self.rounds[-1].join.started = now
            case {"type": "replanning", "time": float(now), "feedback": str(feedback)}:
                self.rounds[-1].join.finished = now
                self.rounds.append(Round(feedback))
                self.replans.append(feedback)
                self.answer = ""  # what the joiner said before it asked for another plan

    def _take_task(self, kind: str, key: Key, event: Event) -> None:
        task = self._tasks.get(key)
        if kind == "task_planned" and (not task or task.planned_arguments != event["arguments"]):
            task = self._tasks[key] = TaskRun(number=key[0], element=key[1], planned_arguments=event["arguments"])
            task.planned, task.dependencies = event.get("time"), event["dependencies"]
            self.rounds[-1].tasks.append(task)
        if not task:
            return
        task.tool, task.arguments, task.call = event["tool"], event["arguments"], event["call"]
        match kind:
            case "task_paused":
                task.state = "paused"
            case "task_started":
                task.started, task.state = event["time"], "running"
            case "task_finished" | "task_failed" | "task_skipped":
                task.finished, task.state = event["time"], _OUTCOMES[kind]
                task.outcome = str(event.get("result", event.get("error", "")))

    def _drop_plan(self) -> None:
        """What seemed to be a plan was only a thought of the model's."""
        round_ = self.rounds[-1]
        round_.text = ""
        for task in round_.tasks:
            self._tasks.pop((task.number, task.element), None)
        round_.tasks.clear()

    def state_of(self, task: TaskRun) -> TaskState:
        """The task's state; `waiting` says that it needs others first."""
        if task.state == "planned" and any(
            needed.finished is None for needed in self._tasks.values() if needed.number in task.dependencies
        ):
            return "waiting"
        return task.state

    def recall(self, thread: Thread) -> None:
        """Begin as the run that the thread has begun, which goes on after a pause or a crash."""
        self.messages = list(thread.turn)
        made = own_plans(self.messages)
        self.plans = [plan.response_metadata["plan"] for plan in made]
        self.replans = [str(plan.text) for plan in made if plan.content]
        self.resumed = True
        if thread.planned:
            self.rounds[0].plan = Span(now := time.time(), now)

    def take_chunk(self, mode: str, chunk: Any) -> list[Event]:
        """Note what a chunk of the graph's stream tells.

        Returns:
            The events in it.
        """
        match mode, chunk:
            case "custom", {"type": str()}:
                self.take(chunk)
                return [chunk]
            case "messages", (AIMessage() as message, {"langgraph_node": str(node)}) if node not in _BEFORE_THE_ANSWER:
                return self.take_message(message)
            case "updates", {"planner": {"plan": AIMessage() as plan}}:
                self.rounds[-1].text = plan.response_metadata["plan"]
                self.plans.append(self.rounds[-1].text)
            case "updates", {"executor": {"messages": [*messages]}}:
                self._take_results(messages)
            case "updates", {"joiner": {"messages": [AIMessage() as said]}}:
                self.messages = add_messages(self.messages, [said])  # type: ignore[assignment, arg-type]
                if is_answer(said):
                    self.answer = str(said.text)
                    self.rounds[-1].join.finished = time.time()
            case "updates", {"__interrupt__": [*interrupts]}:
                self.paused = time.time()
                self.waits_for += interrupts
            case "updates", dict() as updates:
                for node, update in updates.items():
                    if node not in {*_BEFORE_THE_ANSWER, "joiner"} and isinstance(update, dict):
                        self._take_answer(update.get("messages") or [])
        return []

    def take_message(self, message: AIMessage) -> list[Event]:
        """Note a piece of the answer, or all of it.

        Returns:
            The event that tells it.
        """
        before = self.answer
        if message.id != self._answer_id or not isinstance(message, AIMessageChunk):
            self._answer_id, self.answer = message.id, ""
        self.answer += str(message.text)
        if self.answer == before:
            return []
        if self.answer.startswith(before):
            return [{"type": "answer_text", "text": self.answer.removeprefix(before)}]
        return [{"type": "answer_text", "text": self.answer, "restart": True}]

    def _take_answer(self, added: Any) -> None:
        """Note what a node of another graph than LLMCompiler's adds to the conversation."""
        messages = convert_to_messages(added if isinstance(added, list) else [added])
        self.messages += cast("list[AnyMessage]", messages)
        for message in messages:
            if is_answer(message):
                self.answer = str(message.text)
                self.rounds[-1].join.finished = time.time()

    def _take_results(self, messages: list[AnyMessage]) -> None:
        """Note a round's plan and results as they stand in the conversation, with the tools' own times."""
        self.messages = add_messages(self.messages, messages)  # type: ignore[assignment, arg-type]
        for key, message in observations(messages).items():
            metadata = message.response_metadata
            if "started" in metadata and "reused" not in metadata and (task := self._tasks.get(key)):
                task.started, task.finished = metadata["started"], metadata["finished"]


class ModelCalls(UsageMetadataCallbackHandler):
    """Notes which models are called, and counts their tokens."""

    run_inline = True

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run
        run.usage = self.usage_metadata

    def on_chat_model_start(self, *_: Any, **about: Any) -> None:
        """Note the model's name."""
        metadata = about.get("metadata") or {}
        if not self._run.model or metadata.get("langgraph_node") == "joiner":
            kind = (about.get("invocation_params") or {}).get("_type", metadata.get("ls_provider", ""))
            name = metadata.get("ls_model_name")
            self._run.model = f"{metadata.get('ls_provider')}:{name}" if name else str(kind)


async def follow(
    run: Run,
    *,
    session: Session | None = None,
    history: Sequence[AnyMessage] = (),
    resume: Command[Any] | bool = False,
    context: Context | None = None,
    callbacks: Any = None,
    stream_mode: Sequence[StreamMode] = ("custom", "messages", "updates"),
    **options: Any,
) -> AsyncGenerator[Event]:
    """Ask a graph the run's question, and keep the run up to date.

    Args:
        run: A new run.
        session: The graph, and the thread that the question belongs to; without one, it is the default graph's.
        history: The conversation before the question, as far as it is not in the thread.
        resume: Instead of asking anew, go on with what the thread has begun; with a command, if it waits for one.
        context: The run's settings, if they are not to be the environment's.
        callbacks: LangChain's, beside the one that counts tokens.
        stream_mode: What is heard of the graph; without `messages`, models are not made to stream their answers.
        options: Further ones of the graph's `astream`.

    Yields:
        Each event, when the run has taken note of it.

    Raises:
        agent.ModelError: The model can't be had.
        ValidationError: The environment has a setting that can't be.
        Exception: A model call failed; the client's own.
    """
    given: Any = None
    if isinstance(resume, Command):
        given = resume
    elif not resume:
        given = {"messages": [*history, HumanMessage(run.question)]}
    run.begun = time.time()
    graph = session.graph if session else served_graph().graph
    stream = graph.astream(
        given,
        {**(session.config if session else {}), "callbacks": _with(callbacks, ModelCalls(run))},
        context=_context_for(graph, context or Context()),
        stream_mode=list(stream_mode),
        **options,
    )
    async with aclosing(stream):  # type: ignore[type-var]
        async for mode, chunk in stream:
            for event in run.take_chunk(mode, chunk):
                yield event


def _context_for(graph: Graph, context: Context) -> Any:
    """The settings in the form of the graph's own context, which may have other fields, and lack some of these."""
    if graph.context_schema in (None, Context):
        return context
    names = get_type_hints(graph.context_schema)
    return {name: value for name, value in context if name in names}


def _with(callbacks: Any, handler: ModelCalls) -> Any:
    """The callbacks and one more."""
    if callbacks is None or isinstance(callbacks, list):
        return [*(callbacks or []), handler]
    callbacks = callbacks.copy()
    callbacks.add_handler(handler, inherit=True)
    return callbacks
