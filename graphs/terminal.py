"""What the command line does with a question: asks it, and shows the run as the options and standard output ask for."""

import asyncio
import json
import os
import signal
import sys
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import typer

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

    from graphs.run_report import Run

INTERRUPTED = 130
SHOW_CURSOR = b"\x1b[?25h\n"


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    model: str | None
    as_json: bool
    quiet: bool
    show_plan: bool

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
    from graphs.errors import in_one_line

    usage = getattr(error, "format_message", None)
    typer.echo(f"Error: {usage() if usage else in_one_line(error)}", err=True)


def chat(options: Options) -> None:
    """Questions and answers in one conversation, until `/quit` or Ctrl-D."""
    typer.echo("Ask away; /quit or Ctrl-D ends.")
    history: list[AnyMessage] = []
    with asyncio.Runner() as runner:  # one event loop: the models' connections belong to it
        while (question := _read_question()) is not None:
            try:
                history += runner.run(answer(question, options, history))
            except Exception as error:  # noqa: BLE001 — the chat goes on
                tell(error)


def _read_question() -> str | None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # readline puts the terminal in order first
    try:
        while not (line := input("\n> ").strip()):
            pass
    except EOFError:
        typer.echo()
        return None
    except KeyboardInterrupt:
        typer.echo()
        raise typer.Exit(INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGINT, stop)
    return None if line == "/quit" else line


async def answer(question: str, options: Options, history: "list[AnyMessage] | None" = None) -> "list[AnyMessage]":
    """Answer a question and show how, in the way that the options and standard output ask for.

    Returns:
        The turn's messages.
    """
    with _sign_of_life(options):
        from langchain_core.messages import HumanMessage

        import graphs.llm_compiler  # noqa: F401
        from graphs.run_report import Run

    run = Run(question)
    if options.as_json or options.quiet:
        await _answer_at_the_end(run, options, history or [])
    elif options.live:
        await _answer_live(run, options, history or [])
    else:
        await _answer_in_lines(run, options, history or [])
    return [HumanMessage(question), *run.messages]


def _sign_of_life(options: Options) -> AbstractContextManager[object]:
    """For the second or two that imports take."""
    from rich.console import Console

    return Console().status("Starting") if options.live else nullcontext()


async def _answer_live(run: "Run", options: Options, history: "list[AnyMessage]") -> None:
    from rich.console import Console

    from graphs.live_view import LiveView
    from graphs.run_report import follow

    with LiveView(run, Console(), show_plan=options.show_plan, note=not history):
        async for _ in follow(run, history=history, model=options.model):
            pass


async def _answer_in_lines(run: "Run", options: Options, history: "list[AnyMessage]") -> None:
    from graphs.plain_view import OFFLINE_NOTE, plain_lines, printable, summary
    from graphs.run_report import follow

    out, note = sys.stdout, True
    with redirect_stdout(sys.stderr):  # what tools print
        async for event in follow(run, history=history, model=options.model):
            if note and run.model == "offline":
                _say(OFFLINE_NOTE, out)
            note = note and not run.model
            for line in plain_lines(run, event, show_plan=options.show_plan):
                _say(line, out)
    _say(f"\n{printable(run.answer).strip()}\n\n{summary(run)}", out)


async def _answer_at_the_end(run: "Run", options: Options, history: "list[AnyMessage]") -> None:
    from graphs.plain_view import printable
    from graphs.run_report import follow, report

    with redirect_stdout(sys.stderr):  # what tools print
        async for _ in follow(run, history=history, model=options.model):
            pass
    if options.as_json:
        values = json.loads(json.dumps(report(run)), parse_constant=str)  # JSON has no infinity
        _say(json.dumps(values, indent=2), sys.stdout)
        return
    plans = [round_.text for round_ in run.rounds] if options.show_plan else []
    _say(printable("\n\n".join([*plans, run.answer])).strip(), sys.stdout)


def _say(text: str, out: TextIO) -> None:
    try:
        typer.echo(text, file=out)
    except BrokenPipeError:  # nobody reads on, as in `llm-compiler … | head -1`
        os._exit(1)
