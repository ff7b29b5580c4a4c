"""The chat: questions and answers in one conversation."""

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import typer

from apps.cli.ask import ask, resume
from apps.cli.console import Options, read_line, say, starting, tell

if TYPE_CHECKING:
    from collections.abc import Coroutine

HELLO = "Ask away; /help says what else there is."
HELP = """\
/help   this
/quit   ends the chat, as Ctrl-D does
Everything else is a question. The answers before it are known to the agent. Ctrl-C stops at once."""
UNKNOWN = "There is no {command}; /help lists what there is."


def chat(options: Options) -> None:
    """Ask and answer until `/quit` or Ctrl-D. What a thread has left undone comes first."""
    say(HELLO)
    with asyncio.Runner() as runner:  # one event loop: the models' connections belong to it
        if options.thread:
            _tell_errors(runner, resume(options, or_else=None))
        session = None
        first = True
        while (question := _read_question()) is not None:
            if not options.thread and session is None:
                with starting(options):
                    from apps.runs.threads import Session

                session = Session.in_memory()
            _tell_errors(runner, ask(question, options, session, note=first))
            first = False


def _tell_errors(runner: asyncio.Runner, work: "Coroutine[Any, Any, None]") -> None:
    """Do a part of a chat, which goes on whatever happens."""
    try:
        runner.run(work)
    except typer.Exit:
        pass  # the run waits for an answer that the user didn't give
    except Exception as error:  # noqa: BLE001 — the chat goes on
        tell(error)


def _read_question() -> str | None:
    while True:
        try:
            line = read_line("\n> ").strip()
        except EOFError:
            say("")
            return None
        match line:
            case "":
                pass
            case "/quit":
                return None
            case "/help":
                say(HELP)
            case _ if line.startswith("/") and line[1:].isalpha():
                say(UNKNOWN.format(command=line), sys.stderr)
            case _:
                return line
