"""A run on a terminal: a row and a bar in time for each task, redrawn as they go, then the answer as it streams."""

import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from apps.runs.run import Round, Run, Span, TaskRun
from apps.runs.wording import call_of, duration, in_short, notes_on, numbers, printable, summary

FRAMES_PER_SECOND = 10
WIDE = 110
"""From this width on, results have a column; below, a line of their own."""

# Of the 16 colours that every terminal's owner has chosen, those that can be read on dark and on light.
STYLES = {
    "planned": "dim",
    "waiting": "dim",
    "paused": "yellow",
    "running": "blue",
    "done": "green",
    "failed": "red",
    "skipped": "yellow",
}


@dataclass(frozen=True)
class Columns:
    """How wide each column is, in cells; 0 for one that is left out."""

    call: int
    after: int
    bar: int
    result: int

    @classmethod
    def of(cls, width: int, after: int) -> Self:
        """The columns that fit into the width."""
        after = min(max(after, 5), 9)
        rest = width - (4 + 2 + 2 + after + 2 + 7 + 2 + 7)
        if width >= WIDE:
            bar, result = rest * 37 // 100, rest * 26 // 100
            return cls(rest - bar - result - 4, after, bar, result)
        if width >= 64:
            bar = rest // 3
            return cls(rest - bar - 2, after, bar, 0)
        return cls(max(8, rest), after, 0, 0)


@dataclass
class _Row:
    """A line of the table, and the line below it if the result has no column. Drawn only where there is room."""

    line: Callable[[], Text]
    below: Callable[[], Text] | None = None
    settled: bool = False
    """Whether nothing more will happen to it, so that it may go when space is short."""


class LiveView:
    """The view of a run; a context manager that draws while it is entered, and leaves the last picture."""

    def __init__(self, run: Run, console: Console, *, show_plan: bool = False, note: bool = True) -> None:
        """
        Args:
            run: The run, which changes while it is shown.
            console: A terminal.
            show_plan: Whether the plan is shown in the model's own words, too.
            note: Whether to say what there is to say of the model.
        """
        self._run = run
        self._note = note
        self._show_plan = show_plan
        self._complete = False
        # A thread redraws: a tool that blocks the event loop doesn't stop the clocks.
        self._live = Live(self, console=console, refresh_per_second=FRAMES_PER_SECOND, vertical_overflow="crop")

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._complete = error is None and not self._run.waits_for
        self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, console.height - 1
        note = [Text(line, "dim") for line in notes_on(self._run.model)] if self._note else []
        note.append(Text())
        rows, answer = self._rows(width), self._answer(console, width)
        if self._complete:
            yield from note
            yield from _fit(rows)
            if self._show_plan:
                yield from self._plans()
            yield from (Text(), *answer, Text(), Text(summary(self._run, width), "dim"))
            return
        room = height - len(note)
        for_answer = min(len(answer) + 1, max(4, room // 2)) if answer else 0
        table = list(_fit(rows, room - for_answer))
        yield from (*note, *table)
        if answer:
            yield from (Text(), *answer[-max(1, room - len(table) - 1) :])

    def _rows(self, width: int) -> list[_Row]:
        run, now = self._run, time.time()
        rounds = list(run.rounds)
        after = max((len(numbers(task.dependencies)) for task in run.tasks), default=0)
        table = _Table(Columns.of(width, after), width, run.started or now, run.finished or now)
        rows = [table.header()]
        for number, round_ in enumerate(rounds):
            if number:
                rows += table.reason(number, round_.reason)
            rows += self._round(table, round_)
        return rows

    def _round(self, table: "_Table", round_: Round) -> Iterator[_Row]:
        yield table.span("plan", round_.plan)
        for task in list(round_.tasks):
            yield table.task(task, self._run.state_of(task))
        if round_.join.started:
            yield table.span("join", round_.join)

    def _answer(self, console: Console, width: int) -> list[Text]:
        return list(Text(printable(self._run.answer).strip()).wrap(console, width)) if self._run.answer else []

    def _plans(self) -> Iterator[Text]:
        for round_ in self._run.rounds:
            yield from (Text(), Text(printable(round_.text).strip(), "dim"))


class _Table:
    """Makes the rows, all on one scale of time."""

    def __init__(self, columns: Columns, width: int, started: float, until: float) -> None:
        self._columns = columns
        self._width = width
        self._started = started
        self._until = until
        self._whole = max(until - started, 0.001)

    def header(self) -> _Row:
        """The names of the columns, and the scale of the bars."""
        scale = duration(self._whole)
        bar = Text(f"0{scale:>{max(0, self._columns.bar - 1)}}") if self._columns.bar else Text()
        return _Row(lambda: self._line("#", Text("call"), "after", Text("state"), "time", bar, Text("result"), "dim"))

    def span(self, name: str, span: Span) -> _Row:
        """A row for a model call."""
        state = "done" if span.finished else "running" if span.started else "waiting"
        return _Row(lambda: self._line("", Text(name, "italic"), "", *self._progress(state, span, "dim"), Text()))

    def task(self, task: TaskRun, state: str) -> _Row:
        """A row for a tool call."""

        def result() -> Text:
            return Text(in_short(task.outcome, self._width), "red" if state == "failed" else "dim")

        def line() -> Text:
            progress = self._progress(state, task)
            return self._line(task.name, Text(call_of(task)), numbers(task.dependencies), *progress, result())

        def below() -> Text:
            return _fill(Text("      ").append_text(result()), self._width)

        has_below = task.outcome and not self._columns.result
        return _Row(line, below if has_below else None, settled=state in ("done", "failed", "skipped"))

    def reason(self, number: int, reason: str) -> list[_Row]:
        """What stands between a plan and the next."""
        title = f"── replan {number}: {in_short(reason, 3 * self._width)}"
        *lines, last = textwrap.wrap(title, self._width, subsequent_indent="   ")
        rule = Text(f"{last} ").append("─" * self._width, "dim")
        return [*(_Row(partial(Text, line)) for line in lines), _Row(lambda: self._cut(rule))]

    def _progress(self, state: str, span: Span, bar: str = "") -> tuple[Text, str, Text]:
        spent = duration(span.seconds(self._until)) if span.started else ""
        return Text(state, STYLES[state]), spent, Text(self._bar(span), bar or STYLES[state])

    def _bar(self, span: Span) -> str:
        """Where the span lies in the whole, in half cells."""
        halves = 2 * self._columns.bar
        if not span.started or not halves:
            return ""
        start = min(int((span.started - self._started) / self._whole * halves), halves - 1)
        end = max(start + 1, round(((span.finished or self._until) - self._started) / self._whole * halves))
        filled = [start <= half < end for half in range(halves)]
        return "".join(" ╺╸━"[2 * left + right] for left, right in zip(filled[::2], filled[1::2], strict=True))

    def _line(
        self, number: str, call: Text, after: str, state: Text, spent: str, bar: Text, result: Text, style: str = ""
    ) -> Text:
        columns = self._columns
        cells = [_fill(call, columns.call), _fill(Text(after), columns.after), _fill(state, 7), Text(f"{spent:>7}")]
        cells += [_fill(cell, width) for cell, width in ((bar, columns.bar), (result, columns.result)) if width]
        return self._cut(Text("  ", style).join([Text(f"{number:>4}"), *cells]))

    def _cut(self, line: Text) -> Text:
        line.truncate(self._width)
        return line


def _fill(text: Text, width: int) -> Text:
    text.truncate(width, overflow="ellipsis", pad=True)
    return text


def _fit(rows: list[_Row], room: int | None = None) -> Iterator[Text]:
    """The rows in as many lines as there is room for: results go first, then tasks that are done, then the rest."""
    if room is None or sum(2 if row.below else 1 for row in rows) <= room:
        yield from (line() for row in rows for line in (row.line, row.below) if line)
        return
    excess = len(rows) - room
    if excess > 0:
        gone = {id(row) for row in [row for row in rows if row.settled][: excess + 1]}
        header, *kept = [row for row in rows if id(row) not in gone]
        kept = kept[: max(0, room - 2)]
        note = Text(f"      … {len(rows) - 1 - len(kept)} rows more", "dim")
        rows = [header, _Row(lambda: note), *kept]
    yield from (row.line() for row in rows)
