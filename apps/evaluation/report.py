"""The report: one HTML page that opens offline. Whatever comes from a dataset or a model is escaped, and the page
allows itself no scripts."""

import base64
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

from apps.evaluation.evaluation import Evaluation
from apps.evaluation.figures import Figures, is_right
from apps.evaluation.results import Key, Result
from apps.evaluation.table import interval, percent, seconds
from apps.runs.wording import duration, printable

TEMPLATE = Path(__file__).with_name("report.html")
PHONE = "(max-width: 44rem)"
DARK = "(prefers-color-scheme: dark)"
CAPTIONS = {
    "latency": "Each dot is an answered run; the bar holds the middle half of them, the line is the median.",
    "accuracy_cost": "Up and to the left is better. The lines are the 95 % intervals of the accuracies.",
    "timeline": "One question under each agent: in the first row the model's calls, below them the tools'.",
}
NOT_RUN = '<span class="pale">not run</span>'
MAIN = ("accuracy", "latency, mean")
LONGEST = 2_000
"""How many characters of an answer are shown."""

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
        f"model {evaluation.model}",
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
    return Template(TEMPLATE.read_text("utf-8")).substitute(
        title=_text(f"Evaluation: {spec.graph.rpartition('.')[2]}"),
        about=_text(" · ".join(about)),
        lead=_text(lead(figures, evaluation.baseline)),
        notes="\n".join(f'<p class="note">{_text(note)}</p>' for note in notes),
        figures=_figures(figures, table),
        plots="\n".join(map(_plot, plots)),
        questions=_questions(evaluation),
        method="\n".join(f"<li>{_text(line)}</li>" for line in method),
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


def _text(text: str) -> str:
    return escape(printable(text))


def _figures(figures: Sequence[Figures], table: Sequence[tuple[str, Sequence[str]]]) -> str:
    head = "".join(f'<th scope="col">{_text(figure.agent)}</th>' for figure in figures)
    rows = [
        f'<tr class="{"main" if label in MAIN else ""}"><th scope="row">{_text(label)}</th>'
        + "".join(f"<td>{_text(value).replace(' %', '&nbsp;%')}</td>" for value in values)
        + "</tr>"
        for label, values in table
    ]
    body = "\n".join(rows)
    return f'<table class="figures">\n<thead><tr><th></th>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>'


def _plot(plot: Plot) -> str:
    uris = {
        style: f"data:image/svg+xml;base64,{base64.b64encode(drawing).decode()}"
        for style, drawing in plot.drawings.items()
    }
    caption = CAPTIONS[plot.name]
    return (
        "<figure>\n<picture>\n"
        f'<source media="{PHONE} and {DARK}" srcset="{uris["dark-phone"]}">\n'
        f'<source media="{PHONE}" srcset="{uris["light-phone"]}">\n'
        f'<source media="{DARK}" srcset="{uris["dark"]}">\n'
        f'<img alt="{_text(caption)}" src="{uris["light"]}">\n'
        f"</picture>\n<figcaption>{_text(caption)}</figcaption>\n</figure>"
    )


def _questions(evaluation: Evaluation) -> str:
    by_question: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for agent in evaluation.agents:
        for result in evaluation.runs_of(agent):
            by_question[result.question_id, agent].append(result)
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in ("question", "right answer", *evaluation.agents))
    rows = []
    for question in evaluation.questions:
        about = " · ".join(part for part in (question.id, question.group) if part)
        cells = [
            f'<td><div class="question">{_text(question.text)}</div><div class="pale small">{_text(about)}</div></td>',
            f'<td data-label="right answer">{_text(question.answer)}</td>',
        ]
        for agent in evaluation.agents:
            runs = by_question[question.id, agent]
            inner = "".join(_run(run, evaluation.verdicts or {}) for run in runs) or NOT_RUN
            cells.append(f'<td data-label="{_text(agent)}">{inner}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    body = "\n".join(rows)
    columns = '<col class="wide"><col class="slim">' + "<col>" * len(evaluation.agents)
    top = f"<colgroup>{columns}</colgroup>\n<thead><tr>{head}</tr></thead>"
    return f'<table class="questions">\n{top}\n<tbody>\n{body}\n</tbody>\n</table>'


def _run(result: Result, verdicts: Mapping[Key, bool]) -> str:
    right = is_right(result, verdicts)
    why = "judge" if result.key in verdicts else f"{result.scorer}: {result.why}" if result.why else ""
    mark, word = ("✓", "right") if right else ("✗", "no answer" if result.error else "wrong")
    said = result.error or result.answer
    said = said if len(said) <= LONGEST else said[:LONGEST] + "…"
    spent = f'<span class="pale small">{_text(duration(result.latency))}</span>'
    parts = [f'<span class="{"right" if right else "wrong"}">{mark} {word}</span> {spent}<br>{_text(said)}']
    if why:
        parts.append(f'<div class="pale small">{_text(why)}</div>')
    steps = "\n".join(_steps(result))
    if steps:
        parts.append(f"<details><summary>how</summary><pre>{_text(steps)}</pre></details>")
    return f'<div class="run">{"".join(parts)}</div>'


def _steps(result: Result) -> list[str]:
    """A run's steps: its plans as written, then the calls in the order of their start."""
    lines = [line for plan in result.plans for line in (*plan.splitlines(), "")]
    steps = [(call.started, call.finished, f"model: {call.purpose}", call.error) for call in result.calls]
    steps += [(t.started, t.finished, f"{t.tool}({t.arguments})", t.error) for t in result.tools]
    for started, finished, name, error in sorted(steps):
        lines.append(
            f"{started:7.2f} s  {duration(finished - started):>7}  {name}{f' failed: {error}' if error else ''}"
        )
    return lines
