"""One question on its way through the graph: what started when, what came of it, and how long it all took."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langgraph.types import Command

from agent import Context
from agent.conversation.messages import observations, tasks_of
from agent.language.tasks import Key, name_of
from apps.runs.graphs import served_graph
from apps.runs.threads import Session, closing

Event = Mapping[str, Any]
"""A progress event, see `agent.events`; or `plan_written`, which has the model's own words as `text`."""

TaskState = Literal["planned", "waiting", "paused", "running", "done", "failed", "skipped"]
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
    arguments: dict[str, Any] = field(default_factory=dict)
    """As planned, long ones cut."""

    dependencies: list[int] = field(default_factory=list)
    planned: float | None = None
    """When it had been read from the plan, in Unix seconds."""

    state: TaskState = "planned"
    outcome: str = ""
    """The result, or why there is none; cut."""

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
    """What the graph has added to the conversation."""

    usage: dict[str, UsageMetadata] = field(default_factory=dict)
    """The tokens of all model calls, by the names that the providers give their models."""

    paused: float | None = None
    """When it stopped to wait for the user, in Unix seconds."""

    _tasks: dict[Key, TaskRun] = field(default_factory=dict)
    _answer_id: str | None = None

    @property
    def tasks(self) -> list[TaskRun]:
        """The tasks of every round."""
        return [task for round_ in list(self.rounds) for task in list(round_.tasks)]

    @property
    def started(self) -> float | None:
        """When the first plan was begun, or when the run went on, in Unix seconds."""
        return self.rounds[0].plan.started

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

    def take(self, event: Event) -> None:
        """Note what has happened."""
        match event:
            case {"type": "plan_started", "time": float(now)}:
                self.rounds[-1].plan.started = now
            case {"type": "plan_finished", "time": float(now)}:
                self.rounds[-1].plan.finished = now
            case {"type": "plan_written", "text": str(text)}:
                self.rounds[-1].text = text
            case {"type": "task_planned", "task": number, "tool": tool, "arguments": arguments, "dependencies": needs}:
                key = (number, event.get("element"))
                if key not in self._tasks:  # it may have been, before a pause
                    task = self._tasks[key] = TaskRun(
                        number=number,
                        element=key[1],
                        tool=tool,
                        arguments=arguments,
                        dependencies=needs,
                        planned=event.get("time"),
                    )
                    self.rounds[-1].tasks.append(task)
            case {"type": "task_paused", "task": number}:
                self._tasks[number, event.get("element")].state = "paused"
            case {"type": "task_started", "task": number, "time": float(now)}:
                task = self._tasks[number, event.get("element")]
                task.started, task.state = now, "running"
            case {"type": "task_finished" | "task_failed" | "task_skipped" as kind, "task": number, "time": float(now)}:
                task = self._tasks[number, event.get("element")]
                task.finished, task.state = now, _OUTCOMES[kind]
                task.outcome = str(event.get("result", event.get("error", "")))
            case {"type": "joiner_started", "time": float(now)}:
                self.rounds[-1].join.started = now
            case {"type": "replanning", "time": float(now), "feedback": str(feedback)}:
                self.rounds[-1].join.finished = now
                self.rounds.append(Round(feedback))
                self.answer = ""  # what the joiner said before it asked for another plan

    def state_of(self, task: TaskRun) -> TaskState:
        """The task's state; `waiting` says that it needs others first."""
        if task.state == "planned" and any(
            needed.finished is None for needed in self._tasks.values() if needed.number in task.dependencies
        ):
            return "waiting"
        return task.state

    def recall(self, turn: Sequence[AnyMessage], *, planned: bool) -> None:
        """Begin as a run that goes on after a pause or a crash.

        Args:
            turn: What the conversation has of it already.
            planned: Whether its plan is there, too.
        """
        self.messages += turn
        if planned:
            self.rounds[0].plan = Span(now := time.time(), now)

    def take_results(self, messages: list[AnyMessage]) -> None:
        """Note a round's plan and results as they stand in the conversation, with the tools' own times."""
        self.messages += messages
        for key, message in observations(messages).items():
            metadata = message.response_metadata
            if "started" in metadata and "reused" not in metadata and (task := self._tasks.get(key)):
                task.started, task.finished = metadata["started"], metadata["finished"]

    def take_message(self, message: AIMessage) -> None:
        """Note a piece of the answer, or all of it."""
        if message.id != self._answer_id or not isinstance(message, AIMessageChunk):
            self._answer_id, self.answer = message.id, ""
        self.answer += str(message.text)


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
    history: Sequence[AnyMessage] = (),
    model: str | None = None,
    session: Session | None = None,
    resume: Command[Any] | bool = False,
) -> AsyncIterator[Event]:
    """Ask the graph the run's question, and keep the run up to date.

    Args:
        run: A new run.
        history: The conversation before the question.
        model: `provider:model`, if it is not to be the graph's own.
        session: The thread that the question belongs to, if it belongs to one.
        resume: Instead of asking anew, go on with what the thread has begun; with a command, if it waits for one.

    Yields:
        Each progress event, when the run has taken note of it.

    Raises:
        agent.ModelError: The model can't be had.
        ValidationError: The environment has a setting that can't be.
        Exception: A model call failed; the client's own.
    """
    given: Any = None
    if isinstance(resume, Command):
        given = resume
    elif not resume:
        left = []
        if session and session.graph.checkpointer:
            left = closing(await session.graph.aget_state(session.config))
        given = {"messages": [*history, *left, HumanMessage(run.question)]}
    graph = session.graph if session else served_graph().graph
    stream = graph.astream(
        given,
        {**(session.config if session else {}), "callbacks": [ModelCalls(run)]},
        context=Context(model=model),
        stream_mode=["custom", "messages", "updates"],
    )
    async with aclosing(stream):  # type: ignore[type-var]
        async for mode, chunk in stream:
            for event in _events(run, mode, chunk):
                run.take(event)
                yield event


def _events(run: Run, mode: str, chunk: Any) -> list[Event]:
    """The events in a chunk of the stream; messages go to the run."""
    match mode, chunk:
        case "custom", {"type": str()}:
            return [chunk]
        case "messages", (AIMessage() as message, {"langgraph_node": "joiner"}):
            run.take_message(message)
        case "updates", {"planner": {"plan": AIMessage() as plan}}:
            return [{"type": "plan_written", "time": time.time(), "text": plan.response_metadata["plan"]}]
        case "updates", {"executor": {"messages": [*messages]}}:
            run.take_results(messages)
        case "updates", {"joiner": {"messages": [AIMessage() as answer]}}:
            run.messages.append(answer)
            run.answer = str(answer.text)
            run.rounds[-1].join.finished = time.time()
        case "updates", {"__interrupt__": _}:
            run.paused = time.time()
    return []


def report(run: Run) -> dict[str, Any]:
    """The run as JSON values, every text in full."""
    results = observations(run.messages)
    plans = [message for message in run.messages if isinstance(message, AIMessage) and message.tool_calls]
    tools = {(task.number, task.element): task.tool for task in run.tasks}
    states = {(task.number, task.element): task.state for task in run.tasks}
    plan = [
        {
            **_named(task.key),
            "tool": tools.get(task.key, task.tool),
            "arguments": task.arguments,
            "dependencies": list(task.dependencies),
            "round": round_,
        }
        for round_, message in enumerate(plans)
        for task in tasks_of(message)
        if task.is_call
    ]
    return {
        "question": run.question,
        "answer": run.answer,
        "model": run.model,
        "plan": plan,
        "plan_text": [round_.text for round_ in run.rounds],
        "replans": [round_.reason for round_ in run.rounds[1:]],
        "observations": [
            {
                **_named(key),
                "tool": tools.get(key, message.name),
                "status": states.get(key, "failed" if message.status == "error" else "done"),
                **_observation(message),
            }
            for key, message in results.items()
        ],
        "timings": {name: round(seconds, 4) for name, seconds in run.timings.items()},
        "usage": {
            name: {count: usage[count] for count in ("input_tokens", "output_tokens", "total_tokens")}
            for name, usage in run.usage.items()
        },
    }


def _named(key: Key) -> dict[str, int]:
    number, element = key
    return {"task": number} if element is None else {"task": number, "element": element}


def _observation(message: ToolMessage) -> dict[str, Any]:
    metadata = message.response_metadata
    started, finished = metadata.get("started"), metadata.get("finished")
    return {
        "arguments": metadata.get("arguments"),
        "started": started,
        "finished": finished,
        "duration": round(finished - started, 4) if started and finished else None,
        "error" if message.status == "error" else "result": str(message.text),
    }
