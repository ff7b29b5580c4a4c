"""The plots of an evaluation. Importing this takes Matplotlib.

Each is a function from runs to a Matplotlib figure, for notebooks too.
"""

import random
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import matplotlib.ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from graphs.evaluation.figures import Figures, percentile
from graphs.evaluation.plot_style import STYLES, Style, make_plain
from graphs.evaluation.results import Result
from graphs.plain_view import duration, in_short, printable

Runs = Mapping[str, Sequence[Result]]
"""The runs of each agent, by its name."""


ROOM = 1.15
"""How much further the axis of cost goes than the dearest agent."""
ROW = 0.62
"""Inches of an agent's row."""


def latencies(runs: Runs, style: Style = STYLES["light"]) -> Figure:
    """A dot for each answered run, the middle half as a bar, the median as a line."""
    figure, axes = _axes(style, 0.75 + ROW * len(runs), "Latency of each run")
    jitter = random.Random(0)
    longest = max((run.latency for results in runs.values() for run in results if not run.error), default=1.0)
    for row, results in enumerate(runs.values()):
        values = [result.latency for result in results if not result.error]
        colour = style.agents[row % len(style.agents)]
        if not values:
            axes.text(0, row, "no answers", color=style.pale, va="center", fontsize=9)
            continue
        low, high = percentile(values, 0.25) or 0, percentile(values, 0.75) or 0
        axes.barh(row, high - low, 0.5, low, color=colour, alpha=0.22, linewidth=0)
        spread = [row + jitter.uniform(-0.19, 0.19) for _ in values]
        axes.scatter(values, spread, s=13, color=colour, alpha=0.75, linewidths=0, zorder=3)
        median = statistics.median(values)
        axes.plot([median, median], [row - 0.25, row + 0.25], color=style.ink, linewidth=2, zorder=4)
        axes.text(
            1.02,
            row,
            duration(median),
            transform=axes.get_yaxis_transform(),
            color=style.ink,
            va="center",
            fontsize=10,
            weight="bold",
        )
    axes.text(1.02, -0.62, "median", transform=axes.get_yaxis_transform(), color=style.pale, va="bottom", fontsize=8.5)
    axes.set(xlim=(0, longest * 1.04), ylim=(len(runs) - 0.5, -0.5), yticks=range(len(runs)))
    axes.set_yticklabels(list(runs), color=style.ink, fontsize=10)
    axes.xaxis.set_major_formatter("{x:g} s")
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4 if style.narrow else 8))
    return figure


def accuracy_against_cost(figures: Sequence[Figures], style: Style = STYLES["light"]) -> Figure:
    """A point for each agent, with the 95 % interval of its accuracy. Without prices, tokens stand for the cost."""
    priced = all(figure.cost is not None for figure in figures) and any(figure.cost for figure in figures)
    figure, axes = _axes(style, 3.0, "Accuracy, with its 95 % interval, against cost")
    places = []
    for row, agent in enumerate(figures):
        cost = 1000 * (agent.cost or 0) if priced else (agent.input_tokens or 0) + (agent.output_tokens or 0)
        if agent.accuracy is None or agent.interval is None:
            continue
        colour, share = style.agents[row % len(style.agents)], 100 * agent.accuracy
        low, high = (100 * end for end in agent.interval)
        axes.plot([cost, cost], [low, high], color=colour, linewidth=1.6, alpha=0.55, solid_capstyle="round")
        axes.scatter([cost], [share], s=70, color=colour, zorder=3, linewidths=0)
        places.append((cost, share, agent.agent, colour))
    most = max((cost for cost, *_ in places), default=0) or 1.0
    axes.set(xlim=(0, most * ROOM), ylim=(0, 104))
    for (cost, share, name, colour), shift in zip(places, _apart([p[:2] for p in places], most), strict=True):
        to_left = cost > (0.6 if style.narrow else 0.9) * most * ROOM
        axes.annotate(
            name,
            (cost, share),
            (-9 if to_left else 9, shift),
            textcoords="offset points",
            ha="right" if to_left else "left",
            va="center",
            color=colour,
            fontsize=10,
            weight="bold",
        )
    axes.xaxis.set_major_formatter("${x:g}" if priced else "{x:,.0f}")
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4 if style.narrow else 7))
    axes.yaxis.set_major_formatter("{x:g} %")
    axes.yaxis.grid(visible=True, color=style.lines)
    label = "USD for 1,000 questions" if priced else "tokens a question (no prices)"
    axes.set_xlabel(label, color=style.pale, fontsize=9.5)
    return figure


def timelines(runs: Mapping[str, Result], style: Style = STYLES["light"]) -> Figure:
    """One question under each agent, on one time axis: the model's calls above, below them the tools."""
    lanes = {agent: _lanes(result) for agent, result in runs.items()}
    longest = max((result.latency for result in runs.values()), default=1.0) or 1.0
    question = _wrapped(next(iter(runs.values())).question if runs else "", style)
    above = 0.28 + 0.19 * len(question.splitlines())
    heights = [0.42 + 0.27 * len(lane) for lane in lanes.values()]
    total = above + sum(heights) + 0.5
    figure = Figure(figsize=(style.width, total), facecolor=style.page)
    inch = 1 / total
    left, right = 0.13 / style.width, 1 - 0.22 / style.width
    figure.text(left, 1 - 0.1 * inch, question, color=style.ink, fontsize=10.5, weight="bold", va="top")
    top = 1 - above * inch
    for (agent, lane), height in zip(lanes.items(), heights, strict=True):
        axes = figure.add_axes((left, top - height * inch, right - left, (height - 0.34) * inch), facecolor=style.page)
        make_plain(axes, style)
        axes.set(xlim=(0, longest * 1.01), ylim=(len(lane) - 0.45, -0.55), yticks=[])
        result = runs[agent]
        title = f"{agent}   {duration(result.latency)}" + ("   no answer" if result.error else "")
        axes.set_title(title, loc="left", fontsize=10, color=style.ink, pad=3)
        for place, bars in enumerate(lane):
            for bar in bars:
                _draw_bar(axes, bar, place, longest, style)
        axes.axvline(result.latency, color=style.ink, linewidth=1)
        last = agent == list(lanes)[-1]
        axes.tick_params(labelbottom=last)
        axes.xaxis.set_major_formatter("{x:g} s")
        top -= height * inch
    keys = {"model": style.model, "tool": style.tool, "joining": style.join}
    figure.legend(
        handles=[Patch(color=colour, label=label) for label, colour in keys.items()],
        loc="lower left",
        bbox_to_anchor=(left, 0.0),
        ncols=3,
        frameon=False,
        fontsize=9,
        labelcolor=style.pale,
        borderpad=0,
        borderaxespad=0,
        handlelength=1.2,
        columnspacing=1.4,
    )
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
    kinds = {"join": "join"}
    models = [_Bar(c.started, c.finished, kinds.get(c.purpose, "model"), c.purpose) for c in calls]
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
    value = arguments.partition("=")[2] or arguments
    return value.partition(", ")[0].strip("'\"")


def _draw_bar(axes: Axes, bar: _Bar, place: int, longest: float, style: Style) -> None:
    colour = {"model": style.model, "tool": style.tool, "join": style.join}[bar.kind]
    width = max(bar.end - bar.start, longest * 0.002)
    axes.barh(place, width, 0.74, bar.start, color=colour, edgecolor=style.page, linewidth=0.8, zorder=3)
    room = int(width / longest * (style.width - 0.35) / 0.066) - 1
    if room >= 4:
        axes.text(
            bar.start + longest * 0.006,
            place,
            in_short(bar.text, room),
            fontsize=7.5,
            va="center",
            color=style.in_bar,
            zorder=4,
            parse_math=False,
            clip_on=True,
        )


def _axes(style: Style, height: float, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(style.width, height), facecolor=style.page)
    left, right, top, bottom = 0.95, 0.78, 0.42, 0.33
    if "against" in title:
        left, right, bottom = 0.5, 0.12, 0.55
    if title.startswith("Latency"):
        left = 1.06
    box = (left / style.width, bottom / height, 1 - (left + right) / style.width, 1 - (top + bottom) / height)
    axes = figure.add_axes(box, facecolor=style.page)
    figure.text(0.1 / style.width, 1 - 0.09 / height, title, fontsize=10.5, weight="bold", color=style.ink, va="top")
    make_plain(axes, style)
    return figure, axes


def _apart(places: Sequence[tuple[float, float]], most: float) -> list[int]:
    """How far to move each label up or down, in points, so that labels of close points don't cover each other."""
    shifts = [0] * len(places)
    order = sorted(range(len(places)), key=lambda index: places[index][1])
    for below, above in pairwise(order):
        close = abs(places[above][1] - places[below][1]) < 9 and abs(places[above][0] - places[below][0]) < 0.5 * most
        if close:
            shifts[above] = max(shifts[below] + 13, 7)
            shifts[below] = shifts[below] or -7
    return shifts


def _wrapped(text: str, style: Style) -> str:
    width, lines = (42, 3) if style.narrow else (80, 2)
    return textwrap.fill(printable(text), width, max_lines=lines, placeholder=" …")
