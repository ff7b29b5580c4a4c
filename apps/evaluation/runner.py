"""Runs agents on questions, several at once, each run measured on its own."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage

from agent import ModelError
from apps.evaluation.agents import Agent
from apps.evaluation.dataset import Question
from apps.evaluation.measure import Recorder
from apps.evaluation.results import Key, Result
from apps.runs.errors import in_one_line
from apps.runs.run import context_for

INSTRUCTION = """\
Your answer is compared with the right one. Give the answer alone, without a sentence around it: a number, a name, yes \
or no, or the option as it is written."""

TIMED_OUT = "No answer within {seconds:g} s."
PAUSED = "It paused for a person's decision, and in an evaluation there is nobody to decide."
NO_ANSWER = "It ended without an answer."


@dataclass(frozen=True)
class Job:
    """A run that is to be made."""

    agent: Agent
    question: Question
    repeat: int


@dataclass(frozen=True)
class Settings:
    """What holds for every run."""

    model: str
    graph: str
    instruction: str = INSTRUCTION
    """A system message that asks every agent for answers which can be compared; empty for none."""

    timeout: float = 300.0
    """Seconds that a run may take."""

    scorer: str = "paper"
    judged: bool = False
    """Whether a judge decides on every answer."""

    def scorer_of(self, question: Question) -> str:
        """By which scorer the answers to a question are scored."""
        return "judge" if self.judged else question.scorer or self.scorer


def jobs(
    agents: Sequence[Agent], questions: Sequence[Question], repeats: int, settings: Settings, done: set[Key]
) -> Iterator[Job]:
    """The runs that are still to be made: every question by every agent before the next question, and each time another
    agent first, so that none is always helped or hindered by those before it."""
    for repeat in range(1, repeats + 1):
        for index, question in enumerate(questions):
            first = (index + repeat - 1) % len(agents)
            for agent in [*agents[first:], *agents[:first]]:
                if Key(agent.name, question.id, repeat, settings.model, settings.graph) not in done:
                    yield Job(agent, question, repeat)


async def run_all(
    todo: Iterator[Job],
    settings: Settings,
    take: Callable[[Result], Awaitable[None]],
    *,
    concurrency: int,
    stopping: asyncio.Event,
) -> None:
    """Make the runs, so many at once, in their order.

    Args:
        todo: The runs.
        settings: What holds for all.
        take: Gets each result as its run ends.
        concurrency: How many runs at once.
        stopping: When it is set, no further run is begun, and those that are going on end as usual.

    Raises:
        ModelError: The model can't be had.
        Exception: The model's server refused the key, or `take` failed.
    """

    async def work() -> None:
        for job in todo:
            if stopping.is_set():
                return
            await take(await run(job, settings))

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(concurrency):
                workers.create_task(work())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def run(job: Job, settings: Settings) -> Result:
    """One run, measured. Its failure is a result; only a missing model or a refused key ends the evaluation.

    Raises:
        ModelError: The model can't be had.
        Exception: The model's server refused the key (401), so that every run would fail.
    """
    recorder = Recorder(job.agent.signatures)
    notes = _Notes(time.time())
    began = datetime.now(UTC).isoformat(timespec="seconds")
    error = ""
    try:
        async with asyncio.timeout(settings.timeout) as limit:
            await _ask(job, settings, recorder, notes)
        error = "" if notes.answer else PAUSED if notes.paused else NO_ANSWER
    except ModelError:
        raise
    except Exception as failure:  # whatever an agent raises is a row
        if getattr(failure, "status_code", None) == 401:
            raise
        timed_out = isinstance(failure, TimeoutError) and limit.expired()
        error = TIMED_OUT.format(seconds=settings.timeout) if timed_out else in_one_line(failure)
    latency = recorder.now
    recorder.close()
    question = job.question
    return Result(
        agent=job.agent.name,
        question_id=question.id,
        repeat=job.repeat,
        model=settings.model,
        graph=settings.graph,
        question=question.question,
        expected=question.answer,
        answer="" if error else notes.answer,
        error=error,
        began=began,
        latency=round(latency, 4),
        plans=notes.plans,
        planning=[(start, latency if end is None else end) for start, end in notes.planning],
        calls=recorder.calls,
        tools=recorder.tools,
    ).scored(settings.scorer_of(question))


class _Notes:
    """What the stream of a run says, beside what callbacks do."""

    def __init__(self, began: float) -> None:
        self._began = began
        self.answer = ""
        self.paused = False
        self.plans: list[str] = []
        self.planning: list[tuple[float, float | None]] = []

    def take(self, mode: str, chunk: Any) -> None:
        match mode, chunk:
            case "custom", {"type": "plan_started", "time": float(now)}:
                self.planning.append((round(now - self._began, 4), None))
            case "custom", {"type": "plan_finished", "time": float(now)} if self.planning:
                self.planning[-1] = self.planning[-1][0], round(now - self._began, 4)
            case "updates", {"planner": {"plan": AIMessage() as plan}}:
                self.plans.append(str(plan.response_metadata.get("plan", "")).strip())
            case "updates", {"__interrupt__": _}:
                self.paused = True
            case "values", {"messages": [*_, AIMessage() as last]} if not last.tool_calls:
                self.answer = str(last.text).strip()
            case "values", _:
                self.answer = ""


async def _ask(job: Job, settings: Settings, recorder: Recorder, notes: _Notes) -> None:
    messages: list[AnyMessage] = [HumanMessage(job.question.question)]
    if settings.instruction and not job.agent.told:
        messages.insert(0, SystemMessage(settings.instruction))
    stream: AsyncIterator[Any] = job.agent.graph.astream(
        {"messages": messages},
        {"callbacks": [recorder], "run_name": job.agent.name},
        context=context_for(job.agent.graph, job.agent.context),
        stream_mode=["custom", "updates", "values"],
    )
    async with aclosing(stream):  # type: ignore[type-var]
        async for mode, chunk in stream:
            notes.take(mode, chunk)
