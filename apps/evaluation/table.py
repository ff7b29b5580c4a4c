"""The figures in words, for the terminal and the report; and the running figures beside the progress bar."""

from collections.abc import Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from apps.evaluation.figures import Figures, figures_of
from apps.evaluation.prices import Prices
from apps.evaluation.results import Key, Result
from apps.runs.wording import duration, printable

NOTHING = "–"


def rows(figures: Sequence[Figures], *, judged: bool, baseline: str) -> list[tuple[str, list[str]]]:
    """A label and a value for each agent, for every figure.

    Args:
        figures: Of the agents, in the order of the columns.
        judged: Whether a judge has decided what is right.
        baseline: The agent that speeds are compared with.
    """
    table = [
        ("right", [f"{f.correct} of {f.runs}" for f in figures]),
        ("accuracy", [percent(f.accuracy) for f in figures]),
        ("95 % interval", [interval(f) for f in figures]),
    ]
    if judged:
        table.append(("right by the rules", [f"{f.correct_by_rules} of {f.runs}" for f in figures]))
    speedups = [f.speedup for f in figures]
    table += [
        ("without an answer", [str(f.failed) for f in figures]),
        ("latency, mean", [seconds(f.latency_mean) for f in figures]),
        ("latency, median", [seconds(f.latency_median) for f in figures]),
        ("latency, 95th percentile", [seconds(f.latency_p95) for f in figures]),
    ]
    if any(speedups) and len(figures) > 1:
        table += [
            (f"times as fast as {baseline}", [f"{s.of_means:.2f}" if s else NOTHING for s in speedups]),
            ("times as fast, median", [f"{s.median:.2f}" if s else NOTHING for s in speedups]),
        ]
    return [
        *table,
        ("model calls", [decimal(f.model_calls) for f in figures]),
        ("input tokens", [whole(f.input_tokens) for f in figures]),
        ("of these cached", [whole(f.cached_input_tokens) for f in figures]),
        ("output tokens", [whole(f.output_tokens) for f in figures]),
        ("cost of 1,000 questions", [dollars(f.cost) for f in figures]),
        ("tool calls", [decimal(f.tool_calls) for f in figures]),
        ("replans", [decimal(f.replans) for f in figures]),
        ("tool time while planning", [percent(f.overlap) for f in figures]),
    ]


def interval(figures: Figures) -> str:
    """`51 % to 78 %`."""
    return " to ".join(map(percent, figures.interval)) if figures.interval else NOTHING


def percent(share: float | None) -> str:
    """`62 %`."""
    return NOTHING if share is None else f"{100 * share:.0f} %"


def seconds(value: float | None) -> str:
    """`1.25 s`."""
    return NOTHING if value is None else duration(value)


def decimal(value: float | None) -> str:
    """`4.5`, and `4` where it is whole."""
    return NOTHING if value is None else f"{value:.1f}".removesuffix(".0")


def whole(value: float | None) -> str:
    """`1,234`."""
    return NOTHING if value is None else f"{value:,.0f}"


def dollars(cost: float | None) -> str:
    """The cost of 1,000 such, as `$1.23`."""
    if cost is None:
        return NOTHING
    value = 1000 * cost
    return f"${value:,.2f}" if value >= 0.1 or value == 0 else f"${value:.2g}"


def table_of(figures: Sequence[Figures], *, judged: bool, baseline: str) -> Table:
    """The figures, an agent a column."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for figure in figures:
        table.add_column(figure.agent, justify="right", no_wrap=True)
    for label, values in rows(figures, judged=judged, baseline=baseline):
        table.add_row(label, *values, style="bold" if label in ("accuracy", "latency, mean") else "")
    return table


class Watch:
    """What is shown while runs are made: on a terminal a bar and the running figures, else a line for each run."""

    def __init__(
        self, console: Console, agents: Sequence[str], results: Mapping[Key, Result], total: int, prices: Prices
    ) -> None:
        """
        Args:
            console: Where to show it.
            agents: Their names.
            results: The runs made so far, growing while this is shown.
            total: How many there will be.
            prices: What tokens cost.
        """
        self._console, self._agents, self._results, self._prices = console, agents, results, prices
        self._total = total
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left:"), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console)
        self._bar = self._progress.add_task("", total=total, completed=len(results))
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> "Watch":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def took(self, result: Result) -> None:
        """A run has ended."""
        self._progress.update(self._bar, completed=len(self._results))
        if not self._console.is_terminal:
            said = "no answer" if result.error else "right" if result.correct else "wrong"
            why = f" ({result.scorer}: {result.why})" if said == "wrong" else ""
            line = f"{len(self._results)} of {self._total}: {result.agent}, {result.question_id}: {said}{why}"
            self._console.print(printable(f"{line}, {duration(result.latency)}"), markup=False, soft_wrap=True)

    def _render(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for name in ("", "right", "runs", "latency", "calls", "tokens", "no answer"):
            table.add_column(name, justify="right" if name else "left", style="", header_style="dim")
        by_agent: dict[str, list[Result]] = {name: [] for name in self._agents}
        for result in list(self._results.values()):
            by_agent[result.agent].append(result)
        for name, results in by_agent.items():
            figure = figures_of(name, results, baseline=(), prices=self._prices)
            tokens = None if figure.input_tokens is None else figure.input_tokens + (figure.output_tokens or 0)
            table.add_row(
                name,
                percent(figure.accuracy),
                str(figure.runs),
                seconds(figure.latency_mean),
                decimal(figure.model_calls),
                whole(tokens),
                str(figure.failed),
            )
        return Group(self._progress, table)
