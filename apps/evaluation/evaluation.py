"""One evaluation from the dataset to the files: runs, judgements, figures."""

import asyncio
import hashlib
import json
import signal
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console

from agent import Context
from agent.models import default_model, load_model
from apps.evaluation.agents import NAMES, REACT, Agent, find_subject, make_agents
from apps.evaluation.dataset import DatasetError, Question, load, select
from apps.evaluation.figures import Figures, figures_of
from apps.evaluation.judge import judge
from apps.evaluation.prices import Prices, load_prices
from apps.evaluation.results import Key, Result
from apps.evaluation.runner import INSTRUCTION, Settings, jobs, run_all
from apps.evaluation.store import Store
from apps.evaluation.table import Watch
from apps.runs.errors import in_one_line
from apps.runs.wording import printable

_LIMITS = ("max_replans", "max_tasks", "max_concurrency", "max_observation_chars", "tool_timeout", "tool_retries")


@dataclass(frozen=True)
class Spec:
    """What is to be evaluated, and how."""

    dataset: Path
    out: Path
    agents: Sequence[str] = NAMES
    graph: str = "llm_compiler"
    model: str | None = None
    """As `provider:model`; None for the default."""

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
    retry_failed: bool = False
    """Whether runs that failed in an earlier start are made again."""

    shown: str | None = None
    """The id of the question whose course in time is drawn; None for a typical one."""


@dataclass
class Evaluation:
    """An evaluation, as far as it has come."""

    spec: Spec
    model: str
    questions: Sequence[Question]
    agents: Sequence[str]
    prices: Prices
    total: int
    """How many runs it has when it is complete."""

    results: dict[Key, Result] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    """What went wrong beside the runs."""

    @property
    def settings(self) -> Settings:
        """What holds for every run."""
        spec = self.spec
        return Settings(self.model, spec.graph, spec.instruction, spec.timeout, spec.scorer, spec.judge is not None)

    @property
    def judge(self) -> str | None:
        """The model that judges, if any answer is to be judged."""
        asked = any(self.settings.scorer_of(question) == "judge" for question in self.questions)
        return (self.spec.judge or self.model) if asked else None

    @property
    def complete(self) -> bool:
        """Whether all its runs have been made."""
        return len(self.results) == self.total

    @property
    def baseline(self) -> str:
        """The agent that speeds are compared with: ReAct, or without it the last."""
        return REACT if REACT in self.agents else self.agents[-1]

    def runs_of(self, agent: str) -> list[Result]:
        """An agent's runs, in the dataset's order."""
        places = {question.id: place for place, question in enumerate(self.questions)}
        own = (result for result in self.results.values() if result.agent == agent)
        return sorted(own, key=lambda result: (places[result.question_id], result.repeat))

    def figures(self) -> list[Figures]:
        """The figures of each agent."""
        baseline = self.runs_of(self.baseline)
        return [figures_of(name, self.runs_of(name), baseline=baseline, prices=self.prices) for name in self.agents]


async def evaluate(spec: Spec, console: Console, stop: Callable[[], None] = lambda: None) -> Evaluation:
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
    chosen = {question.id for question in select(everything, spec.n, spec.seed)}
    order = [question for question in select(everything, None, spec.seed) if question.id in chosen]
    if spec.shown is not None and spec.shown not in chosen:
        raise DatasetError(f"{spec.dataset}: among the {len(chosen)} questions drawn there is no id {spec.shown!r}.")
    prices = load_prices(spec.prices)
    model = spec.model or default_model()
    agents = make_agents(spec.agents, find_subject(spec.graph), model, spec.instruction)
    names = [agent.name for agent in agents]
    ordered = [question for question in everything if question.id in chosen]
    evaluation = Evaluation(spec, model, ordered, names, prices, len(order) * len(agents) * spec.repeat)
    with Store(spec.out, _config(spec, model, everything)) as store, _interrupts(stop) as stopping:
        saved = store.results()
        scorers = {question.id: evaluation.settings.scorer_of(question) for question in ordered}
        for key in _keys(evaluation, model):
            if (result := saved.get(key)) and not (result.error and spec.retry_failed):
                scored = result.scored(scorers[result.question_id], evaluation.judge or "")  # as it is chosen now
                evaluation.results[key] = scored
        await _run(evaluation, agents, order, store, console, stopping)
        if evaluation.judge:
            await _judge(evaluation, evaluation.judge, store, console, stopping)
    return evaluation


async def _run(
    evaluation: Evaluation,
    agents: Sequence[Agent],
    order: Sequence[Question],
    store: Store,
    console: Console,
    stopping: asyncio.Event,
) -> None:
    spec, results = evaluation.spec, evaluation.results
    settings = evaluation.settings
    todo = jobs(agents, order, spec.repeat, settings, set(results))
    first = next(todo, None)
    if first is None:
        return
    if results:
        console.print(
            printable(f"Going on after {len(results)} of {evaluation.total} runs, saved in {spec.out}."),
            markup=False,
            soft_wrap=True,
        )

    with Watch(console, evaluation.agents, results, evaluation.total, evaluation.prices) as watch:

        async def take(result: Result) -> None:
            await asyncio.to_thread(store.add, result)
            results[result.key] = result
            watch.took(result)

        stopping_shown = asyncio.create_task(_tell(stopping, watch.stopping))
        try:
            await run_all(chain([first], todo), settings, take, concurrency=spec.concurrency, stopping=stopping)
        finally:
            stopping_shown.cancel()


async def _judge(evaluation: Evaluation, name: str, store: Store, console: Console, stopping: asyncio.Event) -> None:
    """Judge the answers without a verdict, after all runs, so that no latency is measured beside it."""
    model = load_model(name)
    runs = evaluation.results.values()
    todo = [run for run in runs if run.scorer == "judge" and run.verdict is None and not run.error]
    if todo:
        console.print(printable(f"Judging {len(todo)} answers with {name}."), markup=False, soft_wrap=True)
    left = iter(todo)

    async def work() -> None:
        for run in left:
            if stopping.is_set():
                return
            try:
                said = await judge(model, run.question, run.expected, run.answer)
            except Exception as error:  # noqa: BLE001 — an answer without a verdict counts by the rules
                evaluation.problems.append(f"The judge failed on an answer: {in_one_line(error)}")
                continue
            judged = replace(run, judge=name, verdict=said.correct, why=said.reason)
            evaluation.results[run.key] = judged
            await asyncio.to_thread(store.add, judged)

    await asyncio.gather(*(work() for _ in range(evaluation.spec.concurrency)))


async def _tell(stopping: asyncio.Event, tell: Callable[[], None]) -> None:
    await stopping.wait()
    tell()


def _keys(evaluation: Evaluation, model: str) -> list[Key]:
    return [
        Key(agent, question.id, repeat, model, evaluation.spec.graph)
        for repeat in range(1, evaluation.spec.repeat + 1)
        for question in evaluation.questions
        for agent in evaluation.agents
    ]


def _config(spec: Spec, model: str, questions: Sequence[Question]) -> dict[str, Any]:
    """What may not change between the starts of an evaluation. More questions, repeats or agents may be asked for."""
    content = json.dumps([[question.id, question.question, question.answer] for question in questions])
    limits = Context().model_dump()
    return {
        "dataset": f"{len(questions)} questions, SHA-256 {hashlib.sha256(content.encode()).hexdigest()[:16]}",
        "graph": spec.graph,
        "model": model,
        "seed": spec.seed,
        "instruction": spec.instruction,
        "timeout": spec.timeout,
        "limits": {name: limits[name] for name in _LIMITS},
    }


@contextmanager
def _interrupts(stop: Callable[[], None]) -> Any:
    """An event that the first Ctrl-C sets; the second calls `stop`."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        if stopping.is_set():
            stop()
        stopping.set()

    before = signal.getsignal(signal.SIGINT)
    with suppress(NotImplementedError, ValueError, RuntimeError):  # Windows, or not the main thread
        loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield stopping
    finally:
        with suppress(NotImplementedError, ValueError, RuntimeError):
            loop.remove_signal_handler(signal.SIGINT)
            signal.signal(signal.SIGINT, before)
