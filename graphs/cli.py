"""The command line: `llm-compiler "question"`.

What takes long to import (LangGraph, the agent) is imported when a question is asked, not for `--help`.
"""

import asyncio
import json
import os
import signal
import sys
import threading
import warnings
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from dataclasses import dataclass
from io import TextIOWrapper
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO

import typer
from dotenv import load_dotenv

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

    from graphs.run_report import Run

EXAMPLES = """\b
Examples:
  llm-compiler "How much taller is Mount Everest than K2?"
  llm-compiler --model openai:gpt-4.1-mini "Which of the five longest rivers is the shortest?"
  llm-compiler --json "What's 32/4.23?" | jq .timings
  echo "What's 3 * (4 + 5)?" | llm-compiler --quiet -
  llm-compiler            (a chat)
"""
MODEL_HELP = "The model, as provider:model. Default: LLM_COMPILER_MODEL, else OpenAI's with a key, else offline."
INTERRUPTED = 130
SHOW_CURSOR = b"\x1b[?25h\n"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
_UsageError: type[Exception] = typer.BadParameter.mro()[1]  # the base of Typer's own; it has no public name


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

    @property
    def live(self) -> bool:
        """Whether the view may redraw itself."""
        at_the_end = self.as_json or self.quiet
        return not at_the_end and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def main() -> NoReturn:
    """The console script: runs the command, and ends the process with its exit code.

    0: answered. 1: an error, told in one line on stderr. 2: wrong usage. 130: Ctrl-C.
    """
    signal.signal(signal.SIGINT, _stop)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # of libraries; they would run into the view
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        code = app(standalone_mode=False) or 0
    except Exception as error:  # noqa: BLE001 — whatever goes wrong is told in one line
        _tell(error)
        code = 2 if isinstance(error, _UsageError) else 1
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        # A tool that timed out still blocks its thread, and Python would wait for it.
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def _stop(*_: Any) -> NoReturn:
    """Ctrl-C: at once, whatever is running; the cursor may be hidden."""
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), SHOW_CURSOR)
    os._exit(INTERRUPTED)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"llm-compiler {version('llm-compiler')}")
        raise typer.Exit


@app.command(epilog=EXAMPLES)
def ask(
    question: Annotated[
        str | None,
        typer.Argument(metavar="QUESTION", help="The question; - reads it from standard input; none starts a chat."),
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="PROVIDER:MODEL", help=MODEL_HELP)] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print answer, plan, observations, timings and token usage as JSON.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the answer only.")] = False,
    show_plan: Annotated[bool, typer.Option("--show-plan", help="Print the plan as the model wrote it, too.")] = False,
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Answer a question: plan tool calls, run them in parallel while the plan is still being written, join the
    results."""
    load_dotenv(".env")
    options = Options(model, as_json, quiet, show_plan)
    if as_json and quiet:
        raise WrongUsageError("--json and --quiet exclude each other.")
    if question is None:
        if as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise WrongUsageError("There is no question. Give one, or - to read it from standard input.")
        _chat(options)
        return
    question = (sys.stdin.read() if question == "-" else question).strip()
    if not question:
        raise WrongUsageError("The question is empty.")
    if options.live:
        from rich.console import Console

        Console(highlight=False).print(question, style="bold", markup=False)
    asyncio.run(_answer(question, options))


def _chat(options: Options) -> None:
    """Questions and answers in one conversation, until `/quit` or Ctrl-D."""
    typer.echo("Ask away; /quit or Ctrl-D ends.")
    history: list[AnyMessage] = []
    with asyncio.Runner() as runner:  # one event loop: the models' connections belong to it
        while (question := _read_question()) is not None:
            try:
                history += runner.run(_answer(question, options, history))
            except Exception as error:  # noqa: BLE001 — the chat goes on
                _tell(error)


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
        signal.signal(signal.SIGINT, _stop)
    return None if line == "/quit" else line


async def _answer(question: str, options: Options, history: "list[AnyMessage] | None" = None) -> "list[AnyMessage]":
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


def _tell(error: Exception) -> None:
    from graphs.errors import in_one_line

    usage = getattr(error, "format_message", None)
    typer.echo(f"Error: {usage() if usage else in_one_line(error)}", err=True)


if __name__ == "__main__":
    main()
