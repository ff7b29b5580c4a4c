"""What every command has in common: what it is asked for, how it reads and writes, and how it ends."""

import os
import signal
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import typer

from apps.runs.wording import printable

if TYPE_CHECKING:
    from pathlib import Path

WAITING = 3
INTERRUPTED = 130
SHOW_CURSOR = b"\x1b[?25h\n"


class WrongUsageError(typer.BadParameter):
    """The command was called with what it can't do."""

    def format_message(self) -> str:
        """The message alone."""
        return self.message


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    model: str | None
    as_json: bool
    quiet: bool
    show_plan: bool
    thread: str | None = None
    timeline: "Path | None" = None
    """Where a picture of the run's course is saved."""

    graph: "Path | None" = None
    """Where the plan's graph is saved."""

    @property
    def has_user(self) -> bool:
        """Whether there is somebody at a terminal who can be asked."""
        return not self.as_json and sys.stdin.isatty() and sys.stdout.isatty()

    @property
    def live(self) -> bool:
        """Whether the view may redraw itself."""
        at_the_end = self.as_json or self.quiet
        return not at_the_end and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def stop(*_: Any) -> NoReturn:
    """Ctrl-C: at once, whatever is running; the cursor may be hidden."""
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), SHOW_CURSOR)
    os._exit(INTERRUPTED)


def tell(error: Exception) -> None:
    """The error in one line on stderr."""
    if usage := getattr(error, "format_message", None):
        text = usage()
    else:
        from apps.runs.errors import in_one_line  # which imports the agent

        text = in_one_line(error)
    say(f"Error: {text}", sys.stderr)


def say(text: str, out: TextIO | None = None) -> None:
    """Write to standard output, or elsewhere, and end the line. All that this program writes goes through here, or
    through `printable` into a view: whoever has written it can't command the terminal."""
    try:
        typer.echo(printable(text), file=out)
    except BrokenPipeError:  # nobody reads on, as in `llm-compiler … | head -1`
        os._exit(1)


def read_line(prompt: str) -> str:
    """What is typed next.

    Raises:
        EOFError: Ctrl-D.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # readline puts the terminal in order first
    try:
        return input(printable(prompt))
    except KeyboardInterrupt:
        say("")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGINT, stop)


def starting(options: Options) -> AbstractContextManager[object]:
    """Around the imports that take a second: something to look at."""
    if not options.live:
        return nullcontext()
    from rich.console import Console

    return Console().status("Starting")
