"""The command line: `llm-compiler "question"`, and its other commands.

What takes long to import (LangGraph, the agent) is imported by a command when it runs, not for `--help`.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
import warnings
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from dotenv import load_dotenv
from typer.core import TyperCommand, TyperGroup

from apps.cli import ask as answering
from apps.cli import evaluate as evaluation
from apps.cli.chat import chat
from apps.cli.console import Options, WrongUsageError, say, stop, tell
from apps.runs.wording import own_version, printable

EXAMPLES = """\b
Examples:
  llm-compiler "How much taller is Mount Everest than K2?"
  llm-compiler --json "What's 32/4.23?" | jq .timings
  echo "What's 3 * (4 + 5)?" | llm-compiler --quiet -
  llm-compiler --timeline run.svg --graph plan.svg "Which is longer, the Nile or the Amazon?"
  llm-compiler --thread trip "How high is Mount Fuji?"
  llm-compiler            (a chat)

\b
Ends with: 0 answered, 1 an error, 2 wrong usage, 3 waits for an approval that nobody could be asked for, 130 Ctrl-C.
"""
MODEL_HELP = (
    "The model, as provider:model. Default: LLM_COMPILER_MODEL, else OpenAI's with a key"
    ", else offline"  # demo
    "."
)
THREAD_HELP = (
    "The conversation to go on with, or to begin; it is kept. Without a question, a run that broke off or waits for "
    "you goes on."
)
TIMELINE_HELP = "Save a picture of what ran when, and of what the time went into."
GRAPH_HELP = "Save a picture of the plan as a graph; .mmd is Mermaid text."
MCP_NOT_INSTALLED = "{name} is not installed; llm-compiler mcp needs the extra 'mcp': pip install -e '.[mcp]'"
ASK = "ask"

_UsageError: type[Exception] = typer.BadParameter.mro()[1]  # the base of Typer's own; it has no public name


class Commands(TyperGroup):
    """The commands; without the name of one, the arguments are for `ask`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """A command's name counts as the first argument only, so that `llm-compiler --quiet eval` is a question."""
        return super().parse_args(ctx, args if args and args[0] in self.commands else [ASK, *args])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command and its arguments, by the name that its help shows."""
        name, command, rest = super().resolve_command(ctx, args)
        return f"[{ASK}]" if name == ASK else name, command, rest


class Ask(TyperCommand):
    """`ask`, whose help is the program's, and so lists the other commands."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The options, and then the commands."""
        super().format_options(ctx, formatter)
        ctx.parent.command.format_commands(ctx.parent, formatter)


app = typer.Typer(cls=Commands, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


app.command("eval", epilog=evaluation.EPILOG)(evaluation.evaluate)


@app.callback()
def _group() -> None:
    """Typer makes a group of a single command only if there is a callback."""


def main() -> NoReturn:
    """The console script: runs the command, and ends the process with its exit code.

    0: answered. 1: an error, told in one line on stderr. 2: wrong usage. 3: the run waits for the user, who isn't
    there. 130: Ctrl-C.
    """
    gc.set_threshold(100_000, 10, 10)  # or what is imported would be looked through again and again
    signal.signal(signal.SIGINT, stop)
    if not sys.warnoptions:
        # Neither warnings nor log messages: they would run into the view. Servers are loaded before it begins.
        warnings.simplefilter("ignore")
        logging.getLogger().addHandler(logging.NullHandler())
        logging.getLogger("tools.mcp.load").addHandler(logging.StreamHandler())
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        code = app(standalone_mode=False) or 0
    except Exception as error:  # noqa: BLE001 — whatever goes wrong is told in one line
        tell(error)
        code = 2 if isinstance(error, _UsageError) else 1
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        # A tool that timed out still blocks its thread, and Python would wait for it.
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"llm-compiler {own_version()}")
        raise typer.Exit


@app.command(ASK, cls=Ask, epilog=EXAMPLES, hidden=True)
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
    thread: Annotated[str | None, typer.Option(metavar="NAME", help=THREAD_HELP)] = None,
    timeline: Annotated[Path | None, typer.Option(metavar="FILE.svg|png|html", help=TIMELINE_HELP)] = None,
    graph: Annotated[Path | None, typer.Option(metavar="FILE.svg|png|html|mmd", help=GRAPH_HELP)] = None,
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Answer a question: plan tool calls, run them in parallel while the plan is still being written, join the
    results."""
    load_dotenv(".env")
    # demo
    if not as_json and not quiet:  # which show no note that says so
        os.environ["DEMO_LATENCY"] = os.environ.get("DEMO_LATENCY") or "1"
    # /demo
    options = Options(model, as_json, quiet, show_plan, thread, timeline, graph)
    if as_json and quiet:
        raise WrongUsageError("--json and --quiet exclude each other.")
    if thread is not None and not thread.strip():
        raise WrongUsageError("The thread's name is empty.")
    _check_pictures(timeline, graph, chat=question is None and options.has_user)
    if question is None:
        if options.has_user:
            chat(options)
        elif thread:
            asyncio.run(answering.resume(options))
        else:
            raise WrongUsageError("There is no question. Give one, or - to read it from standard input.")
        return
    question = (sys.stdin.read() if question == "-" else question).strip()
    if not question:
        raise WrongUsageError("The question is empty.")
    if options.live:
        from rich.console import Console

        Console(highlight=False).print(printable(question), style="bold", markup=False)
    asyncio.run(answering.ask(question, options))


def _check_pictures(timeline: Path | None, graph: Path | None, *, chat: bool) -> None:
    """See to it that pictures can be saved, before a run is paid for."""
    if not timeline and not graph:
        return
    if chat:
        raise WrongUsageError("--timeline and --graph are for one question; give it.")
    from apps.pictures.pictures import GRAPH_FORMATS, TIMELINE_FORMATS, PictureError, check

    try:
        if timeline:
            check(timeline, TIMELINE_FORMATS)
        if graph:
            check(graph, GRAPH_FORMATS)
    except PictureError as error:
        raise WrongUsageError(str(error)) from error


threads = typer.Typer(invoke_without_command=True)
app.add_typer(threads, name="threads")


@threads.callback()
def list_threads(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False
) -> None:
    """List the conversations that were kept, the last used first.

    They are in the database that CHECKPOINT_DB names (sqlite:///file.db or postgresql://…), or else in a file of the
    user's. Those that wait for an approval are "waiting". Those whose last question has no answer are "broken", or it
    is on its way in another process. llm-compiler --thread NAME goes on with them.
    """
    if ctx.invoked_subcommand is None:
        from apps.cli.threads import print_threads

        load_dotenv(".env")
        asyncio.run(print_threads(as_json=as_json))


@threads.command("delete")
def delete_thread(name: Annotated[str, typer.Argument(metavar="NAME", help="Its name.")]) -> None:
    """Delete a conversation for good."""
    from apps.cli import threads as thread_list

    load_dotenv(".env")
    asyncio.run(thread_list.delete_thread(name))


@app.command("mcp")
def mcp() -> None:
    """Serve the agent as a tool of the Model Context Protocol on standard input and output, for hosts such as Claude
    Desktop and Cursor; they start it."""
    load_dotenv(".env")
    try:
        from apps.server.mcp import serve_stdio
    except ModuleNotFoundError as error:
        raise RuntimeError(MCP_NOT_INSTALLED.format(name=error.name)) from error
    asyncio.run(serve_stdio())


if __name__ == "__main__":
    main()
