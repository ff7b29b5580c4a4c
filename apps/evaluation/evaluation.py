"""One evaluation from the dataset to the files: runs, judgements, figures."""

import asyncio
import hashlib
import json
import signal
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from rich.console import Console

from agent import Context
from agent.context import LIMITS
from agent.models import load_model
from apps.evaluation.agents import REACT, find_subject, make_agents
from apps.evaluation.dataset import DatasetError, Question, load, select
from apps.evaluation.figures import Figures, figures_of
from apps.evaluation.judge import judge
from apps.evaluation.prices import Prices, load_prices
from apps.evaluation.results import Key, Result
from apps.evaluation.runner import Job, Spec, jobs, run
from apps.evaluation.store import Store
from apps.evaluation.table import Watch
from apps.runs.errors import in_one_line
from apps.runs.wording import printable

STOPPING = "Ending the runs begun; Ctrl-C again stops at once."

T = TypeVar("T")


@dataclass
class Evaluation:
    """An evaluation, as far as it has come."""

    spec: Spec
    questions: Sequence[Question]
    """In the dataset's order."""

    prices: Prices
    results: dict[Key, Result] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    """What went wrong beside the runs."""

    @property
    def total(self) -> int:
        """How many runs it has when it is complete."""
        return len(self.questions) * len(self.spec.agents) * self.spec.repeat

    @property
    def judge(self) -> str | None:
        """The model that judges, if any answer is to be judged."""
        asked = any(self.spec.scorer_of(question) == "judge" for question in self.questions)
        return (self.spec.judge or self.spec.model) if asked else None

    @property
    def complete(self) -> bool:
        """Whether all its runs have been made."""
        return len(self.results) == self.total

    @property
    def baseline(self) -> str:
        """The agent that speeds are compared with: ReAct, or without it the last."""
        return REACT if REACT in self.spec.agents else self.spec.agents[-1]

    def runs_of(self, agent: str) -> list[Result]:
        """An agent's runs, in the dataset's order."""
        places = {question.id: place for place, question in enumerate(self.questions)}
        own = (result for result in self.results.values() if result.agent == agent)
        return sorted(own, key=lambda result: (places[result.question_id], result.repeat))

    def runs_on(self) -> dict[str, dict[str, list[Result]]]:
        """The runs on each question, by its id, in the dataset's order; by agent."""
        found: dict[str, dict[str, list[Result]]] = {question.id: {} for question in self.questions}
        for agent in self.spec.agents:
            for result in self.runs_of(agent):
                found[result.question_id].setdefault(agent, []).append(result)
        return found

    def figures(self) -> list[Figures]:
        """The figures of each agent."""
        baseline = self.runs_of(self.baseline)
        return [
            figures_of(name, self.runs_of(name), baseline=baseline, prices=self.prices) for name in self.spec.agents
        ]


async def evaluate(spec: Spec, console: Console, stop: Callable[[], None]) -> Evaluation:
    """Make the runs that are missing, and judge what is not judged. After Ctrl-C it ends the runs begun, and returns.

    Args:
        spec: What is to be evaluated.
        console: Where to show how it goes.
        stop: Called at a second Ctrl-C; ends the process.

    Raises:
        DatasetError, AgentError, PriceError, StoreError: Something of the specification can't be used.
        ModelError: A model can't be had.
        Exception: The model's server refused the key.
    """
    everything = load(spec.dataset)
    order = select(everything, spec.n, spec.seed)
    chosen = {question.id for question in order}
    if spec.shown is not None and spec.shown not in chosen:
        raise DatasetError(f"{spec.dataset}: among the {len(order)} questions drawn there is no id {spec.shown!r}.")
    prices = load_prices(spec.prices)
    agents = make_agents(spec.agents, find_subject(spec.graph), spec.model, spec.instruction)
    evaluation = Evaluation(spec, [question for question in everything if question.id in chosen], prices)
    with Store(spec.out, _config(spec, everything)) as store, _interrupts(console, stop) as stopping:
        every, saved = jobs(agents, order, spec.repeat), store.results()
        for job in every:
            if (result := saved.get(job.key)) and not (result.error and spec.retry_failed):
                scorer = spec.scorer_of(job.question)  # as it is chosen now
                evaluation.results[job.key] = result.scored(scorer, evaluation.judge or "")
        todo = [job for job in every if job.key not in evaluation.results]
        if todo:
            await _run(evaluation, todo, store, console, stopping)
        if evaluation.judge:
            await _judge(evaluation, evaluation.judge, store, console, stopping)
    return evaluation


async def _run(
    evaluation: Evaluation, todo: Sequence[Job], store: Store, console: Console, stopping: asyncio.Event
) -> None:
    spec, results = evaluation.spec, evaluation.results
    if results:
        console.print(
            printable(f"Going on after {len(results)} of {evaluation.total} runs, saved in {spec.out}."),
            markup=False,
            soft_wrap=True,
        )

    with Watch(console, spec.agents, results, evaluation.total, evaluation.prices) as watch:

        async def make(job: Job) -> None:
            result = await run(job, spec)
            await asyncio.to_thread(store.add, result)
            results[job.key] = result
            watch.took(result)

        await _for_each(todo, make, spec.concurrency, stopping)


async def _judge(evaluation: Evaluation, name: str, store: Store, console: Console, stopping: asyncio.Event) -> None:
    """Judge the answers without a verdict, after all runs, so that no latency is measured beside it."""
    model = load_model(name)
    runs = evaluation.results.values()
    todo = [run for run in runs if run.scorer == "judge" and run.verdict is None and not run.error]
    if todo:
        console.print(printable(f"Judging {len(todo)} answers with {name}."), markup=False, soft_wrap=True)

    async def judge_one(result: Result) -> None:
        try:
            said = await judge(model, result.question, result.expected, result.answer)
        except Exception as error:  # noqa: BLE001 — an answer without a verdict counts by the rules
            evaluation.problems.append(f"The judge failed on an answer: {in_one_line(error)}")
            return
        judged = replace(result, judge=name, verdict=said.correct, why=said.reason)
        evaluation.results[result.key] = judged
        await asyncio.to_thread(store.add, judged)

    await _for_each(todo, judge_one, evaluation.spec.concurrency, stopping)


async def _for_each(
    items: Iterable[T], work: Callable[[T], Awaitable[None]], concurrency: int, stopping: asyncio.Event
) -> None:
    """Do the work for each item, in their order and so many at once. When `stopping` is set, no further one is begun,
    and those that are going on end as usual.

    Raises:
        Exception: The first that the work raises, which ends all of it.
    """
    left = iter(items)

    async def take() -> None:
        for item in left:
            if stopping.is_set():
                return
            await work(item)

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(concurrency):
                workers.create_task(take())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _config(spec: Spec, questions: Sequence[Question]) -> dict[str, Any]:
    """What may not change between the starts of an evaluation. More questions, repeats or agents may be asked for."""
    content = json.dumps([[question.id, question.question, question.answer] for question in questions])
    limits = Context().model_dump()
    return {
        "dataset": f"{len(questions)} questions, SHA-256 {hashlib.sha256(content.encode()).hexdigest()[:16]}",
        "graph": spec.graph,
        "model": spec.model,
        "seed": spec.seed,
        "instruction": spec.instruction,
        "timeout": spec.timeout,
        "limits": {name: limits[name] for name in LIMITS},
    }


@contextmanager
def _interrupts(console: Console, stop: Callable[[], None]) -> Iterator[asyncio.Event]:
    """An event that the first Ctrl-C sets, and tells so; the second calls `stop`."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        if stopping.is_set():
            stop()
        stopping.set()
        console.print(STOPPING)

    before = signal.getsignal(signal.SIGINT)
    with suppress(NotImplementedError, ValueError, RuntimeError):  # Windows, or not the main thread
        loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield stopping
    finally:
        with suppress(NotImplementedError, ValueError, RuntimeError):
            loop.remove_signal_handler(signal.SIGINT)
            signal.signal(signal.SIGINT, before)
