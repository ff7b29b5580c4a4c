"""Runs agents on questions, each run measured on its own."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from langchain_core.messages import SystemMessage

from agent import ModelError
from apps.evaluation.agents import NAMES, Agent
from apps.evaluation.dataset import Question
from apps.evaluation.measure import Recorder
from apps.evaluation.results import Key, Result
from apps.runs.errors import in_one_line
from apps.runs.run import Run, follow
from apps.runs.threads import Session

INSTRUCTION = """\
Your answer is compared with the right one. Give the answer alone, without a sentence around it: a number, a name, yes \
or no, or the option as it is written."""

TIMED_OUT = "No answer within {seconds:g} s."
PAUSED = "It paused for a person's decision, and in an evaluation there is nobody to decide."
NO_ANSWER = "It ended without an answer."


@dataclass(frozen=True)
class Spec:
    """What is to be evaluated, and how."""

    dataset: Path
    out: Path
    model: str
    """As `provider:model`."""

    agents: Sequence[str] = NAMES
    graph: str = "llm_compiler"
    n: int | None = None
    """How many questions; None for all."""

    seed: int = 0
    concurrency: int = 4
    repeat: int = 1
    scorer: str = "paper"
    """How answers are scored, where the dataset says nothing else; see `apps.evaluation.scoring`."""

    judge: str | None = None
    """The model that judges every answer; None for none."""

    prices: Path | None = None
    """A table of prices that come first; see `apps.evaluation.prices`."""

    timeout: float = 300.0
    """Seconds that a run may take."""

    instruction: str = INSTRUCTION
    """What asks every agent for answers that can be compared; empty for nothing."""

    retry_failed: bool = False
    """Whether runs that failed in an earlier start are made again."""

    shown: str | None = None
    """The id of the question whose course in time is drawn; None for a typical one."""

    def scorer_of(self, question: Question) -> str:
        """By which scorer the answers to a question are scored."""
        return "judge" if self.judge else question.scorer or self.scorer


@dataclass(frozen=True)
class Job:
    """A run that is to be made."""

    agent: Agent
    question: Question
    repeat: int

    @property
    def key(self) -> Key:
        """What makes it."""
        return Key(self.agent.name, self.question.id, self.repeat)


def jobs(agents: Sequence[Agent], questions: Sequence[Question], repeats: int) -> list[Job]:
    """All runs: every question by every agent before the next question, and each time another agent first, so that none
    is always helped or hindered by those before it."""
    return [
        Job(agents[(first + place) % len(agents)], question, repeat)
        for repeat in range(1, repeats + 1)
        for first, question in enumerate(questions, repeat - 1)
        for place in range(len(agents))
    ]


async def run(job: Job, spec: Spec) -> Result:
    """One run, measured. Its failure is a result; only a missing model or a refused key ends the evaluation.

    Raises:
        ModelError: The model can't be had.
        Exception: The model's server refused the key (401), so that every run would fail.
    """
    agent, question = job.agent, job.question
    asked = Run(question.question)
    recorder = Recorder(agent.signatures)
    events = follow(
        asked,
        session=Session(agent.graph, uuid4().hex),
        history=[SystemMessage(spec.instruction)] if spec.instruction and not agent.told else [],
        context=agent.context,
        callbacks=[recorder],
        stream_mode=["custom", "updates"],
    )
    began = datetime.now(UTC)
    try:
        async with asyncio.timeout(spec.timeout) as limit, aclosing(events):
            async for _ in events:
                pass
        answer = asked.answer.strip()
        error = "" if answer else PAUSED if asked.waits_for else NO_ANSWER
    except ModelError:
        raise
    except Exception as failure:  # whatever an agent raises is a row
        if getattr(failure, "status_code", None) == 401:
            raise
        timed_out = isinstance(failure, TimeoutError) and limit.expired()
        answer, error = "", TIMED_OUT.format(seconds=spec.timeout) if timed_out else in_one_line(failure)
    latency = recorder.now
    recorder.close()
    begun = asked.begun or 0.0
    return Result(
        agent=agent.name,
        question_id=question.id,
        repeat=job.repeat,
        model=spec.model,
        graph=spec.graph,
        question=question.question,
        expected=question.answer,
        answer=answer,
        error=error,
        began=began.isoformat(timespec="seconds"),
        latency=round(latency, 4),
        plans=[plan.strip() for plan in asked.plans],
        planning=[
            (round(started - begun, 4), round((round_.plan.finished or begun + latency) - begun, 4))
            for round_ in asked.rounds
            if (started := round_.plan.started)
        ],
        calls=recorder.calls,
        tools=recorder.tools,
    ).scored(spec.scorer_of(question))
