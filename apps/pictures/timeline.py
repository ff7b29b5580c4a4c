"""Draws a run in time, as a Gantt chart."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation

from apps.pictures.figure import COLOURS, Picture, fit, width_of, write
from apps.pictures.plan_dag import critical_path
from apps.runs.palette import LIGHT
from apps.runs.run import Round, Run, Span, TaskRun
from apps.runs.wording import call_of, duration, in_short, printable, summary

WIDTH = 7.6
"""Inches from the start of the run to its end."""
LABEL_WIDTH = 3.3
"""Inches that the calls beside the chart take at most."""
NOTE_CHARS = 44
MOST_TASKS = 200
"""How many tasks of a round are shown; of more, those that the time went into, that failed, and the first."""


@dataclass(frozen=True)
class _Row:
    """A line of the timeline."""

    kind: str
    """`plan`, `task`, `join`; or `text`, a line without a bar."""

    label: str
    span: Span
    state: str = "done"
    note: str = ""
    hint: str = ""
    critical: bool = False


def draw_timeline(run: Run) -> Picture:
    """See `apps.pictures.pictures.timeline`."""
    rows = [row for number in range(len(run.rounds)) for row in _rows_of(run, number)]
    pitch, size = (0.3, 9.0) if len(rows) <= 30 else (0.21, 7.5)
    question = in_short(run.question, 300)
    picture = Picture(question, WIDTH, pitch * len(rows))
    axes = picture.add_axes((0, 0, 1, 1))
    started = run.started or 0.0
    until = max((time for row in rows for time in (row.span.started, row.span.finished) if time), default=started)
    total = max(until - started, 0.001)
    axes.set(xlim=(0, total), ylim=(len(rows) - 0.4, -0.6), yticks=[])
    axes.set_axisbelow(True)
    axes.xaxis.grid(visible=True, color=LIGHT.line)
    axes.xaxis.set_major_formatter("{x:g} s")
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=LIGHT.muted, length=0, labelsize=9)
    labels = min(LABEL_WIDTH, max(width_of(row.label, size, bold=row.critical) for row in rows if row.kind != "text"))
    left = -(labels + 0.15) * 72
    for place, row in enumerate(rows):
        _draw_row(axes, row, place, (started, until), size)
        bold = row.critical or row.kind == "text"
        label = fit(row.label, size, LABEL_WIDTH + (WIDTH if row.kind == "text" else 0), bold=bold)
        write(axes, label, (0, place), (left, 0), axes.get_yaxis_transform(), size, weight="bold" if bold else "normal")
        picture.hints[f"row{place}"] = row.hint
    _draw_chain(axes, rows, started)
    title = fit(question, 12, labels + WIDTH, bold=True)
    write(axes, title, (0, 1), (left, 32), size=12, weight="bold")
    write(axes, summary(run), (0, 1), (left, 14), size=10, colour=LIGHT.muted)
    _draw_legend(axes, rows, left)
    return picture


def _rows_of(run: Run, number: int) -> list[_Row]:
    round_ = run.rounds[number]
    chain = critical_path(round_)

    def is_critical(span: Span) -> bool:
        return any(span is step for step in chain)

    rows = [_Row("text", f"Replan {number}: {in_short(round_.reason, 200)}", Span())] if number else []
    rows.append(_span_row("plan", round_.plan, is_critical(round_.plan), round_.text))
    shown = _most_telling(round_, is_critical)
    rows += [_task_row(task, run.state_of(task), is_critical(task)) for task in shown]
    if more := len(round_.tasks) - len(shown):
        rows.append(_Row("text", f"… and {more:,} more tasks", Span()))
    if round_.join.started or round_.join.finished:
        rows.append(_span_row("join", round_.join, is_critical(round_.join)))
    return rows


def _most_telling(round_: Round, is_critical: Callable[[Span], bool]) -> list[TaskRun]:
    telling = sorted(round_.tasks, key=lambda task: (not is_critical(task), task.state == "done"))[:MOST_TASKS]
    kept = {id(task) for task in telling}
    return [task for task in round_.tasks if id(task) in kept]


def _span_row(kind: str, span: Span, critical: bool, text: str = "") -> _Row:
    state = "done" if span.finished else "running" if span.started else "waiting"
    note = duration(span.seconds()) if span.finished else state
    return _Row(kind, kind, span, state, note, text or kind, critical)


def _task_row(task: TaskRun, state: str, critical: bool) -> _Row:
    label = f"{task.name}. {call_of(task)}"
    spent = duration(task.seconds()) if task.started and task.finished else ""
    note = spent
    if state in ("failed", "skipped"):
        note = in_short(f"{state}{f' after {spent}' if spent else ''}: {task.outcome}", NOTE_CHARS)
    elif state != "done":
        note = state
    hint = "\n".join(part for part in (label, f"{state} {spent}".strip(), printable(task.outcome)) if part)
    return _Row("task", label, task, state, note, hint, critical)


def _draw_row(axes: Axes, row: _Row, place: int, course: tuple[float, float], size: float) -> None:
    zero, until = course
    span = row.span
    planned, begin = getattr(span, "planned", None), span.started
    end = span.finished or until
    if row.kind == "task" and planned:
        wait = begin or end
        axes.plot(
            [planned - zero, wait - zero], [place, place], color=LIGHT.muted, lw=1, marker="|", ms=5, markevery=[0]
        )
    failed = row.state in ("failed", "skipped")
    colour = COLOURS.get(row.state, LIGHT.running if row.state == "running" else LIGHT.bar)
    if begin:
        bar = axes.barh(
            place,
            max(end - begin, 0.002 * (until - zero)),
            0.62,
            begin - zero,
            color="white" if failed else LIGHT.model if row.kind != "task" else colour,
            edgecolor=LIGHT.text if row.critical else colour if failed else "none",
            linewidth=1.6 if row.critical else 1,
            hatch="////" if failed else None,
            zorder=3,
            clip_on=False,
        )[0]
        if failed:
            bar.set(hatchcolor=colour)
        bar.set_gid(f"row{place}")
    elif row.kind == "task" and span.finished:
        axes.plot(end - zero, place, marker="x", ms=5, mew=1.5, color=colour, gid=f"row{place}", zorder=3)
    if row.note:
        write(axes, row.note, (end - zero, place), (5, 0), "data", size, colour if failed else LIGHT.muted)


def _draw_chain(axes: Axes, rows: list[_Row], zero: float) -> None:
    """Lines from each step of the chain to the next one."""
    chain = sorted((row.span.started, place) for place, row in enumerate(rows) if row.critical and row.span.started)
    for (_, above), (started, below) in pairwise(chain):
        axes.plot([started - zero] * 2, [above, below], color=LIGHT.text, lw=1.2, zorder=2)


def _draw_legend(axes: Axes, rows: list[_Row], left: float) -> None:
    tasks = [row for row in rows if row.kind == "task"]
    keys: list[Patch | Line2D] = [Patch(color=LIGHT.model, label="model call")]
    if any(row.span.started and row.state != "failed" for row in tasks):
        keys.append(Patch(color=LIGHT.bar, label="tool call"))
    if any(getattr(row.span, "planned", None) for row in tasks):
        keys.append(
            Line2D([], [], color=LIGHT.muted, lw=1, marker="|", ms=5, markevery=[0], label="wait since planned")
        )
    if any(row.state == "failed" for row in tasks):
        red = LIGHT.failed
        keys.append(Patch(facecolor="white", edgecolor=red, hatch="////", hatchcolor=red, label="failed"))
    if any(row.state == "skipped" for row in tasks):
        keys.append(Line2D([], [], color=LIGHT.skipped, ls="none", marker="x", ms=5, mew=1.5, label="skipped"))
    keys.append(Patch(facecolor="white", edgecolor=LIGHT.text, linewidth=1.6, label="what the time went into"))
    moved = ScaledTranslation(left / 72, -0.35, axes.figure.dpi_scale_trans)
    axes.legend(
        handles=keys,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=axes.transAxes + moved,
        ncols=len(keys),
        frameon=False,
        fontsize=9,
        labelcolor=LIGHT.muted,
        borderpad=0,
        borderaxespad=0,
        handlelength=1.6,
        columnspacing=1.6,
    )
