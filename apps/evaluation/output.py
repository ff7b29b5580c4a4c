"""What an evaluation leaves: `summary.json`, `report.html`, the plots, and notes on what they lack."""

import json
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.evaluation.evaluation import Evaluation
from apps.evaluation.figures import Figures
from apps.evaluation.prices import unknown_prices
from apps.evaluation.report import Plot, report
from apps.evaluation.results import Result
from apps.evaluation.scoring import WORDS_DIFFER
from apps.evaluation.table import rows
from apps.runs.wording import version_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from apps.evaluation.plot_style import Style

NO_PLOTS = 'Plots need Matplotlib: pip install -e ".[plots]", and start the same command again.'
PACKAGES = ("llm-compiler", "langgraph", "langchain-core", "langchain-openai")


def write(evaluation: Evaluation) -> list[str]:
    """Write summary, report and plots to the evaluation's folder.

    Args:
        evaluation: The evaluation, complete or not.

    Returns:
        Notes on what is missing or to be kept in mind.

    Raises:
        OSError: A file can't be written.
    """
    out, figures = evaluation.spec.out, evaluation.figures()
    shown = typical_question(evaluation) if evaluation.spec.shown is None else evaluation.spec.shown
    notes = notes_on(evaluation, figures)
    try:
        chosen = {agent: runs[0] for agent, runs in evaluation.runs_on()[shown].items()} if shown else {}
        plots = _draw(evaluation, figures, chosen, out)
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        plots = []
        notes.append(NO_PLOTS)
    summary = _summary(evaluation, figures, notes, shown)
    (out / "summary.json").write_bytes(
        (json.dumps(summary, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "replace")
    )
    table = rows(figures, judged=evaluation.judge is not None, baseline=evaluation.baseline)
    page = report(evaluation, figures, table, plots, notes, summary["date"])
    (out / "report.html").write_bytes(page.encode("utf-8", "replace"))
    return notes


def notes_on(evaluation: Evaluation, figures: Sequence[Figures]) -> list[str]:
    """What a reader of the figures must know."""
    notes = []
    if not evaluation.complete:
        notes.append(f"Incomplete: {len(evaluation.results)} of {evaluation.total} runs have been made.")
    runs = [result for result in evaluation.results.values() if not result.error]
    if unknown := unknown_prices(evaluation.prices, runs):
        notes.append(unknown)
    for figure in figures:
        if figure.unreported_calls:
            notes.append(
                f"{figure.agent}: {figure.unreported_calls} model calls did not report their tokens: its tokens and "
                "its cost are too low."
            )
        if figure.failed:
            errors = Counter(r.error for r in evaluation.results.values() if r.agent == figure.agent and r.error)
            notes.append(
                f"{figure.agent}: {figure.failed} of {figure.runs} runs gave no answer. They count as wrong, and for "
                f"nothing else. Most often: {errors.most_common(1)[0][0]}"
            )
        if figure.unjudged:
            notes.append(f"{figure.agent}: {figure.unjudged} answers have no verdict, and count by the rules.")
    differing = [run for run in runs if run.verdict is None and not run.correct and WORDS_DIFFER in run.why]
    if differing:
        count = f"{len(differing)} answer{' counts' if len(differing) == 1 else 's count'}"
        notes.append(
            f"{count} as wrong because {WORDS_DIFFER}: --scorer contains looks for the right words in them, --judge "
            "has a model compare what they say."
        )
    return notes + list(dict.fromkeys(evaluation.problems))[:3]


def typical_question(evaluation: Evaluation) -> str | None:
    """The question whose speed-up is nearest to the median one, of those that every agent has answered."""
    agents, baseline = evaluation.spec.agents, evaluation.baseline
    own = next((name for name in agents if name != baseline), baseline)
    runs_on = evaluation.runs_on()
    ratios = {}
    for question, runs in runs_on.items():
        if len(runs) == len(agents) and all(not first.error and first.latency for first, *_ in runs.values()):
            ratios[question] = runs[baseline][0].latency / runs[own][0].latency
    if not ratios:
        return next((question for question, runs in runs_on.items() if runs), None)
    middle = statistics.median(ratios.values())
    return min(ratios, key=lambda question: abs(ratios[question] - middle))


def _draw(evaluation: Evaluation, figures: Sequence[Figures], chosen: Mapping[str, Result], out: Path) -> list[Plot]:
    from apps.evaluation.plot_style import STYLES, png, svg
    from apps.evaluation.plots import accuracy_against_cost, latencies, timelines

    runs = {name: evaluation.runs_of(name) for name in evaluation.spec.agents}
    drawings: dict[str, Callable[[Style], Figure]] = {
        "latency": lambda style: latencies(runs, style),
        "accuracy_cost": lambda style: accuracy_against_cost(figures, style),
    }
    if chosen:
        drawings["timeline"] = lambda style: timelines(chosen, style)
    plots = []
    for name, draw in drawings.items():
        (out / f"{name}.png").write_bytes(png(draw(STYLES["light"])))
        plots.append(Plot(name, {style: svg(draw(how)) for style, how in STYLES.items()}))
    return plots


def _summary(
    evaluation: Evaluation, figures: Sequence[Figures], notes: Sequence[str], shown: str | None
) -> dict[str, Any]:
    spec = evaluation.spec
    agents = {
        figure.agent: {
            **{name: value for name, value in asdict(figure).items() if name != "agent"},
            "accuracy": figure.accuracy,
            "accuracy_95": figure.interval,
        }
        for figure in figures
    }
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": str(spec.dataset),
        "questions": len(evaluation.questions),
        "repeats": spec.repeat,
        "seed": spec.seed,
        "concurrency": spec.concurrency,
        "graph": spec.graph,
        "model": evaluation.spec.model,
        "scorer": spec.scorer,
        "judge": spec.judge,
        "complete": evaluation.complete,
        "baseline": evaluation.baseline,
        "agents": agents,
        "prices": evaluation.prices.about(),
        "timeline": shown,
        "notes": list(notes),
        "versions": {name: version_of(name) for name in PACKAGES},
    }
