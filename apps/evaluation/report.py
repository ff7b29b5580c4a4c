"""The report: one HTML page that opens offline. Whatever comes from a dataset or a model is escaped, and the page
allows itself no scripts."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from apps.evaluation.evaluation import Evaluation
from apps.evaluation.figures import Figures
from apps.evaluation.results import Result
from apps.evaluation.table import interval, percent, seconds
from apps.runs.palette import DARK, LIGHT
from apps.runs.wording import duration, printable

CAPTIONS = {
    "latency": "Each dot is an answered run; the bar holds the middle half of them, the line is the median.",
    "accuracy_cost": "Up and to the left is better. The lines are the 95 % intervals of the accuracies.",
    "timeline": "One question under each agent: in the first row the model's calls, below them the tools'.",
}
METHOD = """\
By the paper's rules, a number is right within 10 %; other answers if they are the same after lower case, without \
articles and punctuation; yes or no by the first word; an option if it is the only one named.
An answer in a sentence counts by its part that answers; what that is, is found without looking at the right one. \
See apps/evaluation/scoring.py.
The interval of an accuracy is Wilson's, for 95 %.
Speeds are compared on the questions that both agents have answered: the ratio of the mean latencies, and the median \
of the ratios.
Agents take turns on each question, each time another one first.
Costs are of the tokens that the model's server reported, at list prices."""


@dataclass(frozen=True)
class Plot:
    """A plot, drawn for each kind of page."""

    name: str
    drawings: Mapping[str, bytes]
    """SVG for `light`, `dark`, `light-phone` and `dark-phone`."""

    @property
    def caption(self) -> str:
        """What it shows."""
        return CAPTIONS[self.name]

    def uri(self, style: str) -> str:
        """A drawing as the page holds it."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.drawings[style]).decode()}"


def report(
    evaluation: Evaluation,
    figures: Sequence[Figures],
    table: Sequence[tuple[str, Sequence[str]]],
    plots: Sequence[Plot],
    notes: Sequence[str],
    date: str,
) -> str:
    """The page.

    Args:
        evaluation: The evaluation.
        figures: Of its agents.
        table: The figures in words, as `table.rows` gives them.
        plots: What is drawn; may be nothing.
        notes: What a reader must know.
        date: When it was made.
    """
    spec = evaluation.spec
    count = len(evaluation.questions)
    about = [
        f"{count} question{'' if count == 1 else 's'} of {spec.dataset.name}",
        f"model {evaluation.spec.model}",
        *([f"each {spec.repeat} times"] if spec.repeat > 1 else []),
        date[:10],
    ]
    method = [*METHOD.splitlines()]
    method.append(f"Prices: {evaluation.prices.about()}.")
    method.append(
        f"{spec.concurrency} run{' at a time' if spec.concurrency == 1 else 's at a time'}, seed {spec.seed}."
    )
    if spec.repeat > 1:
        method.append(
            "The interval takes runs on the same question for independent, and is a little too narrow for that."
        )
    if spec.instruction:
        method.append(f"Every agent was told: “{spec.instruction}”")
    if spec.judge:
        method.insert(
            0, f"{spec.judge} has judged what is right, at a cost of its own. Without its verdict, the rules count:"
        )
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: printable(value) if isinstance(value, str) else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"duration": duration, "steps": _steps, "light": asdict(LIGHT), "dark": asdict(DARK)}
    return environment.get_template("report.html").render(
        title=f"Evaluation: {spec.graph.rpartition('.')[2]}",
        about=" · ".join(about),
        lead=lead(figures, evaluation.baseline),
        notes=notes,
        table=table,
        plots=plots,
        agents=evaluation.spec.agents,
        questions=evaluation.questions,
        runs_on=evaluation.runs_on(),
        method=method,
    )


def lead(figures: Sequence[Figures], baseline: str) -> str:
    """The outcome in a sentence or two, about the first agent."""
    first = figures[0]
    if first.accuracy is None or first.latency_mean is None:
        return f"{first.agent} has answered nothing."
    said = (
        f"{first.agent} was right in {percent(first.accuracy)} of its runs (95 % interval {interval(first)}), and took "
        f"{seconds(first.latency_mean)} on average"
    )
    other = next((figure for figure in figures if figure.agent == baseline), None)
    if other is None or other is first or other.accuracy is None or other.latency_mean is None:
        return f"{said}."
    said += f"; {other.agent} was right in {percent(other.accuracy)}, and took {seconds(other.latency_mean)}."
    if first.speedup:
        said += f" Question by question, {first.agent} was {first.speedup.of_means:.2f} times as fast"
        if first.cost and other.cost:
            more = first.cost / other.cost - 1
            often = f"{percent(abs(more))} {'more' if more > 0 else 'less'}" if abs(more) >= 0.005 else "as much"
            said += f", and cost {often}"
        said += "."
    return said


def _steps(result: Result) -> str:
    """A run's steps: its plans as written, then the calls in the order of their start."""
    lines = [line for plan in result.plans for line in (*plan.splitlines(), "")]
    steps = [(call.started, call.finished, f"model: {call.purpose}", call.error) for call in result.calls]
    steps += [(t.started, t.finished, f"{t.tool}({t.arguments})", t.error) for t in result.tools]
    for started, finished, name, error in sorted(steps):
        lines.append(
            f"{started:7.2f} s  {duration(finished - started):>7}  {name}{f' failed: {error}' if error else ''}"
        )
    return "\n".join(lines)
