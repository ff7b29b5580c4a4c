"""The plots of an evaluation. Importing this takes Matplotlib.

Each is a function from runs to a Matplotlib figure, for notebooks too.
"""

import math
import random
import re
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, MultipleLocator

from apps.evaluation.figures import Figures, percentile
from apps.evaluation.plot_style import STYLES, Style, drawable, make_plain
from apps.evaluation.results import Result
from apps.runs.wording import duration, in_short

Runs = Mapping[str, Sequence[Result]]
"""The runs of each agent, by its name."""


MARKERS = "osD^"
ROW = 0.62
"""Inches of an agent's row."""

MARGINS = (1.06, 0.78, 0.42, 0.33)
"""Inches to the left, to the right, above and below a plot with a row for each agent."""

MARGINS_WITH_KEY = (0.55, 0.15, 0.75, 0.55)
"""The same of one that has a key to the agents above it."""


def latencies(runs: Runs, style: Style = STYLES["light"]) -> Figure:
    """A dot for each answered run, the middle half as a bar, the median as a line."""
    figure, axes = _axes(style, 0.75 + ROW * len(runs), MARGINS, "Latency of each run")
    jitter = random.Random(0)
    longest = max((run.latency for results in runs.values() for run in results if not run.error), default=1.0)
    for row, results in enumerate(runs.values()):
        values = [result.latency for result in results if not result.error]
        colour = style.agents[row % len(style.agents)]
        if not values:
            axes.text(0, row, "no answers", color=style.colours.muted, va="center", fontsize=9)
            continue
        low, high = percentile(values, 25) or 0, percentile(values, 75) or 0
        axes.barh(row, high - low, 0.5, low, color=colour, alpha=0.22, linewidth=0)
        spread = [row + jitter.uniform(-0.19, 0.19) for _ in values]
        axes.scatter(values, spread, s=13, color=colour, alpha=0.75, linewidths=0, zorder=3)
        median = statistics.median(values)
        axes.plot([median, median], [row - 0.25, row + 0.25], color=style.colours.text, linewidth=2, zorder=4)
        axes.text(
            1.02,
            row,
            duration(median),
            transform=axes.get_yaxis_transform(),
            color=style.colours.text,
            va="center",
            fontsize=10,
            weight="bold",
        )
    axes.text(
        1.02,
        -0.62,
        "median",
        transform=axes.get_yaxis_transform(),
        color=style.colours.muted,
        va="bottom",
        fontsize=8.5,
    )
    axes.set(xlim=(0, longest * 1.04), ylim=(len(runs) - 0.5, -0.5), yticks=range(len(runs)))
    axes.set_yticklabels(list(runs), color=style.colours.text, fontsize=10)
    axes.xaxis.set_major_formatter("{x:g} s")
    axes.xaxis.set_major_locator(MaxNLocator(4 if style.narrow else 8))
    return figure


def accuracy_against_cost(figures: Sequence[Figures], style: Style = STYLES["light"]) -> Figure:
    """A point for each agent, with the 95 % interval of its accuracy. Without prices, tokens stand for the cost."""
    priced = all(figure.cost is not None for figure in figures) and any(figure.cost for figure in figures)
    figure, axes = _axes(style, 3.3, MARGINS_WITH_KEY, "Accuracy, with its 95 % interval, against cost")
    costs, lowest, keys = [0.0], 1.0, []
    for row, agent in enumerate(figures):
        if agent.accuracy is None or agent.interval is None:
            continue
        cost = 1000 * (agent.cost or 0) if priced else (agent.input_tokens or 0) + (agent.output_tokens or 0)
        colour, marker = style.agents[row % len(style.agents)], MARKERS[row % len(MARKERS)]
        low, high = (100 * end for end in agent.interval)
        axes.plot([cost, cost], [low, high], color=colour, linewidth=2, alpha=0.5, solid_capstyle="round")
        axes.plot([cost], [100 * agent.accuracy], marker, ms=8.5, color=colour, mew=0, zorder=3, clip_on=False)
        keys.append(Line2D([], [], color=colour, marker=marker, ms=7.5, mew=0, ls="none", label=agent.agent))
        costs.append(cost)
        lowest = min(lowest, agent.interval[0])
    most = max(costs) or 1.0
    bottom = max(0, 20 * math.floor(5 * lowest - 0.2))
    axes.set(xlim=(0, most * 1.08), ylim=(bottom, 102))
    axes.xaxis.set_major_locator(MaxNLocator(4 if style.narrow else 7))
    axes.xaxis.set_major_formatter(("${x:,.2f}" if most >= 0.1 else "${x:g}") if priced else "{x:,.0f}")
    axes.yaxis.set_major_locator(MultipleLocator(20 if bottom <= 40 else 10 if bottom <= 60 else 5))
    axes.yaxis.set_major_formatter("{x:g} %")
    axes.yaxis.grid(visible=True, color=style.colours.line)
    axes.set_xlabel(
        "USD for 1,000 questions" if priced else "tokens a question", color=style.colours.muted, fontsize=9.5
    )
    _key(figure, keys, style, top=0.36)
    return figure


def timelines(runs: Mapping[str, Result], style: Style = STYLES["light"]) -> Figure:
    """One question under each agent, on one time axis: the model's calls above, below them the tools."""
    lanes = {agent: _lanes(result) for agent, result in runs.items()}
    longest = max((result.latency for result in runs.values()), default=1.0) or 1.0
    question = _wrapped(next(iter(runs.values())).question if runs else "", style)
    above = 0.2 + 0.18 * len(question.splitlines())
    heights = [0.42 + 0.27 * len(lane) for lane in lanes.values()]
    total = above + sum(heights) + 0.5
    figure = Figure(figsize=(style.width, total), facecolor=style.colours.surface)
    inch = 1 / total
    left, right = 0.13 / style.width, 1 - 0.22 / style.width
    figure.text(left, 1 - 0.1 * inch, question, color=style.colours.text, fontsize=10.5, weight="bold", va="top")
    top = 1 - above * inch
    for (agent, lane), height in zip(lanes.items(), heights, strict=True):
        axes = figure.add_axes(
            (left, top - height * inch, right - left, (height - 0.34) * inch), facecolor=style.colours.surface
        )
        make_plain(axes, style)
        axes.set(xlim=(0, longest * 1.01), ylim=(len(lane) - 0.45, -0.55), yticks=[])
        result = runs[agent]
        title = f"{agent}   {duration(result.latency)}" + ("   no answer" if result.error else "")
        axes.set_title(title, loc="left", fontsize=10, color=style.colours.text, pad=3)
        for place, bars in enumerate(lane):
            for bar in bars:
                _draw_bar(axes, bar, place, longest, style)
        axes.axvline(result.latency, color=style.colours.text, linewidth=1)
        last = agent == list(lanes)[-1]
        axes.tick_params(labelbottom=last)
        axes.xaxis.set_major_formatter("{x:g} s")
        top -= height * inch
    kinds = {"model call": style.colours.model, "tool call": style.colours.bar}
    _key(figure, [Patch(color=colour, label=label) for label, colour in kinds.items()], style)
    return figure


@dataclass(frozen=True)
class _Bar:
    start: float
    end: float
    kind: str
    text: str


def _lanes(result: Result) -> list[list[_Bar]]:
    """The bars of a run: the model's in the first lane, tools in the first lane below that is free."""
    tools = {tool.tool for tool in result.tools}
    # A model call that a tool makes is part of the tool's time.
    calls = [call for call in result.calls if call.purpose not in tools]
    models = [
        _Bar(c.started, c.finished, "model", c.purpose if c.purpose in ("plan", "join") else "model") for c in calls
    ]
    lanes = [sorted(models, key=lambda bar: bar.start)]
    for tool in sorted(result.tools, key=lambda tool: tool.started):
        bar = _Bar(tool.started, tool.finished, "tool", f"{tool.tool} {_gist(tool.arguments)}")
        free = next((lane for lane in lanes[1:] if lane[-1].end <= bar.start + 1e-3), None)
        if free is None:
            lanes.append([bar])
        else:
            free.append(bar)
    return lanes


def _gist(arguments: str) -> str:
    """The first argument's value."""
    value = re.sub(r"\A[\w\"]+=", "", arguments)
    return value.partition(", ")[0].strip("'\"")


def _draw_bar(axes: Axes, bar: _Bar, place: int, longest: float, style: Style) -> None:
    colour = style.colours.bar if bar.kind == "tool" else style.colours.model
    width = max(bar.end - bar.start, longest * 0.002)
    axes.barh(place, width, 0.74, bar.start, color=colour, edgecolor=style.colours.surface, linewidth=0.8, zorder=3)
    room = int(width / longest * (style.width - 0.35) / 0.068) - 1
    text = drawable(bar.text)
    short = text.partition(" ")[0]
    if room >= len(short):
        axes.text(
            bar.start + longest * 0.006,
            place,
            in_short(text, room) if room >= len(short) + 4 else short,
            fontsize=7.5,
            va="center",
            color=style.in_bar,
            zorder=4,
            parse_math=False,
            clip_on=True,
        )


def _axes(style: Style, height: float, margins: tuple[float, float, float, float], title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(style.width, height), facecolor=style.colours.surface)
    left, right, top, bottom = margins
    box = (left / style.width, bottom / height, 1 - (left + right) / style.width, 1 - (top + bottom) / height)
    axes = figure.add_axes(box, facecolor=style.colours.surface)
    figure.text(
        0.1 / style.width, 1 - 0.09 / height, title, fontsize=10.5, weight="bold", color=style.colours.text, va="top"
    )
    make_plain(axes, style)
    return figure, axes


def _key(figure: Figure, keys: Sequence[Patch | Line2D], style: Style, top: float | None = None) -> None:
    """What the colours mean, in a row: so many inches below the top, or at the bottom."""
    width, height = figure.get_size_inches()
    figure.legend(
        handles=list(keys),
        loc="lower left" if top is None else "upper left",
        bbox_to_anchor=(0.13 / width, 0.06 / height if top is None else 1 - top / height),
        ncols=len(keys),
        frameon=False,
        fontsize=9,
        labelcolor=style.colours.text,
        borderpad=0,
        borderaxespad=0,
        handlelength=1.2,
        handletextpad=0.5,
        columnspacing=1.4,
    )


def _wrapped(text: str, style: Style) -> str:
    width, lines = (42, 3) if style.narrow else (80, 2)
    return textwrap.fill(drawable(text), width, max_lines=lines, placeholder=" …")
