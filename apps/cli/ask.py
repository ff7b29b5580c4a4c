"""What the command line does with a question: asks it, and shows the run as the options and standard output ask for."""

import json
import sys
from contextlib import aclosing, asynccontextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import typer

from apps.cli.console import WAITING, Options, WrongUsageError, read_line, say, starting

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from langgraph.types import Command

    from apps.runs.run import Event, Run
    from apps.runs.threads import Session, Thread

NOTHING_TO_RESUME = (
    'There is nothing to resume in thread {name!r}. Ask a question in it: llm-compiler --thread {name} "…"'
)
STILL_WAITS = "Thread {name!r} waits for your answer. Give it first: llm-compiler --thread {name}"
LEFT_UNDONE = "The question before has no answer: {question}"
GOES_ON = "Goes on with: {question}"
WAITS = "The run waits for your answer. Give it at a terminal: llm-compiler --thread {name}"


async def ask(question: str, options: Options, session: "Session | None" = None, *, note: bool = True) -> None:
    """Answer a question and show how, in the way that the options and standard output ask for.

    Args:
        question: The question.
        options: What the command line asks for.
        session: The conversation, if it is neither that of `options.thread` nor a new one.
        note: Whether to say what there is to say of the model.

    Raises:
        typer.Exit: The run waits for an answer that can't be asked for here.
    """
    async with _open(options, session) as session:
        thread = await session.thread()
        if thread.state == "waiting":
            raise WrongUsageError(STILL_WAITS.format(name=thread.name))
        if thread.state == "broken" and options.thread:
            say(LEFT_UNDONE.format(question=thread.questions[-1]), sys.stderr)
        await _follow(_new_run(question), options, session, thread, note=note)


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
        say(GOES_ON.format(question=thread.questions[-1]), sys.stderr)
        run = _new_run(thread.questions[-1])
        run.recall(thread)
        command: Command[Any] | bool = True
        if thread.waits_for:
            run.waits_for = thread.waits_for
            command = await _answer(run, options, session)
            run = _new_run(run.question)
            run.recall(thread)
        await _follow(run, options, session, thread, command)


def _new_run(question: str) -> "Run":
    from apps.runs.run import Run

    return Run(question)


@asynccontextmanager
async def _open(options: Options, session: "Session | None" = None) -> "AsyncIterator[Session]":
    if session:
        yield session
        return
    with starting(options):
        from apps.runs.threads import Session as Sessions

    if options.thread:
        async with Sessions.open(options.thread) as session:
            yield session
    else:
        yield Sessions.in_memory()


async def _follow(
    run: "Run",
    options: Options,
    session: "Session",
    thread: "Thread",
    command: "Command[Any] | bool" = False,
    *,
    note: bool = False,
) -> None:
    """Show the run until its answer, asking the user as often as it waits for something."""
    from agent import Context
    from apps.runs.run import follow

    history = [] if command else thread.closing
    while True:
        context = Context(model=options.model)
        events = follow(run, session=session, history=history, resume=command, context=context)
        async with aclosing(events):
            await _show(run, events, options, note=note)
        if not run.waits_for:
            break
        command, note, history = await _answer(run, options, session), False, []
        run = _new_run(run.question)
        run.recall(await session.thread())
    if options.as_json:
        _print_report(run, options.thread)
    _save_pictures(run, options)


async def _show(run: "Run", events: "AsyncGenerator[Event]", options: Options, *, note: bool) -> None:
    if options.as_json or options.quiet:
        await _show_at_the_end(run, events, options)
    elif options.live:
        await _show_live(run, events, options, note=note)
    else:
        await _show_in_lines(run, events, options, note=note)


async def _show_live(run: "Run", events: "AsyncGenerator[Event]", options: Options, *, note: bool) -> None:
    from rich.console import Console

    from apps.cli.live_view import LiveView

    with LiveView(run, Console(), show_plan=options.show_plan, note=note):
        async for _ in events:
            pass


async def _show_in_lines(run: "Run", events: "AsyncGenerator[Event]", options: Options, *, note: bool) -> None:
    from apps.cli.plain_view import plain_lines
    from apps.runs.wording import notes_on, printable, summary

    out = sys.stdout
    with redirect_stdout(sys.stderr):  # what tools print
        async for event in events:
            for line in notes_on(run.model) if note else []:
                say(line, out)
            note = note and not run.model
            for line in plain_lines(run, event, show_plan=options.show_plan):
                say(line, out)
    if not run.waits_for:
        say(f"\n{printable(run.answer).strip()}\n\n{summary(run)}", out)


async def _show_at_the_end(run: "Run", events: "AsyncGenerator[Event]", options: Options) -> None:
    with redirect_stdout(sys.stderr):  # what tools print
        async for _ in events:
            pass
    if options.quiet and not run.waits_for:
        from apps.runs.wording import printable

        plans = run.plans if options.show_plan else []
        say(printable("\n\n".join([*plans, run.answer])).strip())


def _print_report(run: "Run", thread: str | None) -> None:
    from apps.runs.report import report_of

    values = json.dumps(report_of(run, thread).model_dump(), default=str)
    # JSON has no infinity.
    say(json.dumps(json.loads(values, parse_constant=str), indent=2), sys.stdout)


def _save_pictures(run: "Run", options: Options) -> None:
    if options.timeline or options.graph:
        from apps.pictures.pictures import save_plan_graph, save_timeline

        if options.timeline:
            save_timeline(run, options.timeline)
        if options.graph:
            save_plan_graph(run, options.graph)


async def _answer(run: "Run", options: Options, session: "Session") -> "Command[Any]":
    """What the user says to what the run asks for.

    Raises:
        typer.Exit: There is no user at a terminal, or they went away; the run can be resumed.
    """
    from langgraph.types import Command

    from agent.conversation.messages import own_plans, tasks_of
    from apps.cli.approvals import answer_to

    if options.has_user:
        try:
            tasks = [task for plan in own_plans(run.messages) for task in tasks_of(plan) if not task.size]
            positional = {task.tool: task.positional for task in tasks}
            answers = {asked.id: answer_to(asked.value, read_line, say, positional) for asked in run.waits_for}
            return Command(resume=answers)
        except EOFError:
            say("")
    name = await _keep(session, options)
    if options.as_json:
        _print_report(run, name)
    else:
        say(WAITS.format(name=name))
        for asked in run.waits_for:
            say(json.dumps(asked.value, indent=2, default=str))
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
