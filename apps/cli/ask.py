"""What the command line does with a question: asks it, and shows the run as the options and standard output ask for."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import typer

from apps.cli.console import WAITING, Options, WrongUsageError, read_line, say, starting, tell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from langgraph.types import Command, Interrupt

    from apps.runs.report import Event, Run
    from apps.runs.threads import Session

NOTHING_TO_RESUME = (
    'There is nothing to resume in thread {name!r}. Ask a question in it: llm-compiler --thread {name} "…"'
)
STILL_WAITS = "Thread {name!r} waits for your answer. Give it first: llm-compiler --thread {name}"
LEFT_UNDONE = "The question before has no answer: {question}"
GOES_ON = "Goes on with: {question}"
WAITS = "The run waits for your answer. Give it at a terminal: llm-compiler --thread {name}"


def chat(options: Options) -> None:
    """Questions and answers in one conversation, until `/quit` or Ctrl-D. What a thread has left undone comes first."""
    typer.echo("Ask away; /quit or Ctrl-D ends.")
    memory: Session | None = None
    with asyncio.Runner() as runner:  # one event loop: the models' connections belong to it
        if options.thread:
            _tell_errors(runner, resume(options, or_else=None))
        while (question := _read_question()) is not None:
            if not options.thread:
                memory = memory or _session_in_memory(options)
            _tell_errors(runner, ask(question, options, memory))


def _tell_errors(runner: asyncio.Runner, work: "Coroutine[Any, Any, None]") -> None:
    """Do a part of a chat, which goes on whatever happens."""
    try:
        runner.run(work)
    except typer.Exit:
        pass  # the run waits for an answer that the user didn't give
    except Exception as error:  # noqa: BLE001 — the chat goes on
        tell(error)


def _read_question() -> str | None:
    try:
        while not (line := read_line("\n> ").strip()):
            pass
    except EOFError:
        typer.echo()
        return None
    return None if line == "/quit" else line


async def ask(question: str, options: Options, session: "Session | None" = None) -> None:
    """Answer a question and show how, in the way that the options and standard output ask for.

    Args:
        question: The question.
        options: What the command line asks for.
        session: The conversation, if it is neither that of `options.thread` nor a new one.

    Raises:
        typer.Exit: The run waits for an answer that can't be asked for here.
    """
    async with _open(options, session) as session:
        thread = await session.thread()
        if thread.state == "waiting":
            raise WrongUsageError(STILL_WAITS.format(name=thread.name))
        if thread.state == "broken" and options.thread:
            typer.echo(LEFT_UNDONE.format(question=thread.questions[-1]), err=True)
        await _go_on(_new_run(question), options, session, False)


async def resume(options: Options, or_else: str | None = NOTHING_TO_RESUME) -> None:
    """Go on with what the thread has begun.

    Args:
        options: What the command line asks for, a thread among it.
        or_else: What is wrong if there is nothing to go on with; None if nothing is.

    Raises:
        WrongUsageError: There is nothing to go on with.
        typer.Exit: The run waits for an answer that can't be asked for here.
    """
    async with _open(options) as session:
        thread = await session.thread()
        if thread.state in ("empty", "finished"):
            if or_else:
                raise WrongUsageError(or_else.format(name=thread.name))
            return
        typer.echo(GOES_ON.format(question=thread.questions[-1]), err=True)
        run = _new_run(thread.questions[-1])
        run.recall(thread.turn, planned=thread.planned)
        command = await _answer(thread.waits_for, options, session) if thread.waits_for else True
        await _go_on(run, options, session, command)


def _new_run(question: str) -> "Run":
    from apps.runs.report import Run

    return Run(question)


@asynccontextmanager
async def _open(options: Options, session: "Session | None" = None) -> "AsyncIterator[Session]":
    if session:
        yield session
    elif options.thread:
        with starting(options):
            from apps.runs.threads import Session as Sessions

        async with Sessions.open(options.thread) as session:
            yield session
    else:
        yield _session_in_memory(options)


def _session_in_memory(options: Options) -> "Session":
    with starting(options):
        from apps.runs.threads import Session

    return Session.in_memory()


async def _go_on(run: "Run", options: Options, session: "Session", command: "Command[Any] | bool") -> None:
    """Show the run until its answer, asking the user as often as it waits for something."""
    while True:
        try:
            if options.as_json or options.quiet:
                await _answer_at_the_end(run, options, session, command)
            elif options.live:
                await _answer_live(run, options, session, command)
            else:
                await _answer_in_lines(run, options, session, command)
        except _PausedError as paused:
            command = await _answer(paused.requests, options, session)
            thread = await session.thread()
            run = _new_run(run.question)
            run.recall(thread.turn, planned=thread.planned)
        else:
            _save_pictures(run, options)
            return


def _save_pictures(run: "Run", options: Options) -> None:
    if options.timeline or options.graph:
        from apps.pictures.pictures import save_plan_graph, save_timeline

        if options.timeline:
            save_timeline(run, options.timeline)
        if options.graph:
            save_plan_graph(run, options.graph)


class _PausedError(Exception):
    """The run waits for the user."""

    def __init__(self, requests: "list[Interrupt]") -> None:
        super().__init__()
        self.requests = requests


async def _answer(requests: "list[Interrupt]", options: Options, session: "Session") -> "Command[Any]":
    """What the user says to what a run asks for.

    Raises:
        typer.Exit: There is no user at a terminal, or they went away; the run can be resumed.
    """
    from langgraph.types import Command

    from apps.cli.approvals import answer_to

    if options.has_user:
        try:
            return Command(resume={asked.id: answer_to(asked.value, read_line, typer.echo) for asked in requests})
        except EOFError:
            typer.echo()
    name = await _keep(session, options)
    if options.as_json:
        waiting = {"thread": name, "waiting": [{"id": asked.id, "value": asked.value} for asked in requests]}
        say(json.dumps(waiting, indent=2, default=str), sys.stdout)
    else:
        values = "\n".join(json.dumps(asked.value, indent=2, default=str) for asked in requests)
        say(f"{WAITS.format(name=name)}\n{values}", sys.stdout)
    raise typer.Exit(WAITING)


async def _keep(session: "Session", options: Options) -> str:
    """The name under which the run can be resumed."""
    if options.thread:
        return options.thread
    from apps.runs.checkpoints import open_checkpointer

    name = f"paused-{uuid4().hex[:8]}"
    async with open_checkpointer() as saver:
        await session.save_in(saver, name)
    return name


async def _follow(
    run: "Run", options: Options, session: "Session", command: "Command[Any] | bool"
) -> "AsyncIterator[Event]":
    """The run's events.

    Raises:
        _PausedError: The run waits for the user.
    """
    from apps.runs.report import follow

    async for event in follow(run, model=options.model, session=session, resume=command):
        yield event
    if requests := (await session.thread()).waits_for:
        raise _PausedError(requests)


async def _answer_live(run: "Run", options: Options, session: "Session", command: "Command[Any] | bool") -> None:
    from rich.console import Console

    from apps.cli.live_view import LiveView

    with LiveView(run, Console(), show_plan=options.show_plan, note=command is False):
        async for _ in _follow(run, options, session, command):
            pass


async def _answer_in_lines(run: "Run", options: Options, session: "Session", command: "Command[Any] | bool") -> None:
    from apps.cli.plain_view import OFFLINE_NOTE, plain_lines, printable, summary

    out, note = sys.stdout, True
    with redirect_stdout(sys.stderr):  # what tools print
        async for event in _follow(run, options, session, command):
            if note and run.model == "offline":
                say(OFFLINE_NOTE, out)
            note = note and not run.model
            for line in plain_lines(run, event, show_plan=options.show_plan):
                say(line, out)
    say(f"\n{printable(run.answer).strip()}\n\n{summary(run)}", out)


async def _answer_at_the_end(run: "Run", options: Options, session: "Session", command: "Command[Any] | bool") -> None:
    from apps.cli.plain_view import printable
    from apps.runs.report import report

    with redirect_stdout(sys.stderr):  # what tools print
        async for _ in _follow(run, options, session, command):
            pass
    if options.as_json:
        values = json.loads(json.dumps(report(run)), parse_constant=str)  # JSON has no infinity
        say(json.dumps(values, indent=2), sys.stdout)
        return
    plans = [round_.text for round_ in run.rounds] if options.show_plan else []
    say(printable("\n\n".join([*plans, run.answer])).strip(), sys.stdout)
