"""What there is to tell of a run when it has ended: what the command line prints as JSON, and the server sends."""

from itertools import pairwise
from typing import Any, Literal

from langchain_core.messages import AnyMessage, HumanMessage
from pydantic import BaseModel, ConfigDict, Field

from agent.conversation.messages import as_made, is_answer, observations, own_plans, tasks_of
from agent.language.tasks import Key, Task
from apps.runs.run import Run, TaskRun
from apps.runs.threads import UNANSWERED, Thread

COUNTS = ("input_tokens", "output_tokens", "total_tokens")


class TaskReport(BaseModel):
    """A tool call and what came of it."""

    model_config = ConfigDict(title="Task")

    task: int = Field(title="Task", description="Its number in the plan.")
    element: int | None = Field(default=None, title="Element", description="Which call of a map it is, from 0.")
    round: int = Field(title="Round", description="Which of the plans it belongs to, from 0.")
    tool: str = Field(title="Tool")
    planned: dict[str, Any] = Field(title="Planned", description="The arguments as the model wrote them.")
    arguments: dict[str, Any] = Field(title="Arguments", description="As called; long ones cut.")
    dependencies: list[int] = Field(title="Dependencies", description="The tasks whose results it needed.")
    status: Literal["done", "failed", "skipped"] = Field(title="Status")
    result: str = Field(title="Result", description="The result as text, or why there is none.")
    started: float | None = Field(default=None, title="Started", description="Unix seconds; null if it was not made.")
    finished: float | None = Field(default=None, title="Finished", description="Unix seconds.")


class Approval(BaseModel):
    """What a paused run waits for."""

    model_config = ConfigDict(title="Approval")

    thread_id: str = Field(title="Thread", description="The thread to answer in.")
    request: Any = Field(
        title="Request",
        description="{action_requests, review_configs, error?}, to be answered with decisions; or what a tool asked, "
        "to be answered with resume.",
    )


class Turn(BaseModel):
    """A question, its answer, and how it came about."""

    model_config = ConfigDict(title="Turn")

    question: str = Field(title="Question")
    answer: str | None = Field(default=None, title="Answer", description="Null if there is none yet.")
    approval: Approval | None = Field(default=None, title="Approval", description="What a paused run waits for.")
    plans: list[str] = Field(default=[], title="Plans", description="Each plan as the model wrote it.")
    replans: list[str] = Field(default=[], title="Replans", description="Why there is a second plan, a third, …")
    tasks: list[TaskReport] = Field(default=[], title="Tasks", description="The tool calls, in plan order.")


class Report(Turn):
    """What there is to tell of a run."""

    model_config = ConfigDict(title="Result")

    type: Literal["result"] = Field(default="result", title="Type")
    thread_id: str | None = Field(title="Thread", description="Send it with the next question to go on.")
    model: str = Field(title="Model", description="The model that answered, as provider:model.")
    usage: dict[str, dict[str, int]] = Field(
        title="Usage", description="Tokens by model: input_tokens, output_tokens, total_tokens."
    )
    timings: dict[str, float] = Field(
        title="Timings",
        description="Seconds: plan, tools, join, total, and one_after_another, which is what the same calls would "
        "have taken in turn. Of a run that paused, until the pause; of one that goes on, from the answer to it.",
    )


def report_of(run: Run, thread_id: str | None) -> Report:
    """The report.

    Args:
        run: The run, at its end or its pause.
        thread_id: The name of its thread, if it is kept.
    """
    approval = Approval(thread_id=thread_id or "", request=run.waits_for[0].value) if run.waits_for else None
    tasks = _tasks(run.messages)
    if run.waits_for:  # in the midst of a plan, because a tool asked something: its observations are nowhere else
        round_, told = len(own_plans(run.messages)), {(task.task, task.element) for task in tasks}
        seen = {(task.number, task.element): task for task in run.tasks if task.ended}
        tasks += [_as_seen(task, round_) for key, task in seen.items() if key not in told]
    return Report(
        question=run.question,
        answer=None if approval else run.answer,
        approval=approval,
        plans=run.plans,
        replans=run.replans,
        tasks=tasks,
        thread_id=thread_id,
        model=run.model,
        usage={
            name: {count: usage[count] for count in COUNTS}  # type: ignore[literal-required]
            for name, usage in run.usage.items()
        },
        timings={name: round(seconds, 4) for name, seconds in run.timings.items()},
    )


def turns_of(thread: Thread) -> list[Turn]:
    """The conversation of a thread, as far as it has been saved."""
    messages = thread.messages
    starts = [place for place, message in enumerate(messages) if isinstance(message, HumanMessage)]
    turns = [_turn(messages[start], messages[start + 1 : end]) for start, end in pairwise([*starts, len(messages)])]
    if turns and thread.waits_for:
        approval = Approval(thread_id=thread.name, request=thread.waits_for[0].value)
        turns[-1] = turns[-1].model_copy(update={"approval": approval})
    return turns


def _turn(question: AnyMessage, messages: list[AnyMessage]) -> Turn:
    plans = own_plans(messages)
    answers = [str(each.text) for each in messages if is_answer(each)]
    return Turn(
        question=str(question.text),
        answer=answers[-1] if answers and answers[-1] != UNANSWERED else None,
        plans=[plan.response_metadata["plan"] for plan in plans],
        replans=[str(plan.text) for plan in plans if plan.content],
        tasks=_tasks(messages),
    )


def _tasks(messages: list[AnyMessage]) -> list[TaskReport]:
    planned: dict[Key, tuple[int, Task]] = {
        task.key: (round_, task) for round_, plan in enumerate(own_plans(messages)) for task in tasks_of(plan)
    }
    reports: list[TaskReport] = []
    for key, message in observations(messages).items():
        if message.response_metadata.get("waiting"):
            continue
        # An element may not be in its plan yet, but its map is.
        if (known := planned.get(key) or planned.get((key[0], None))) is None:
            continue  # what some other program has written to the thread
        round_, task = known
        made, about = as_made(task, message), message.response_metadata
        failed: Literal["failed", "skipped"] = "skipped" if about.get("skipped") else "failed"
        times = {} if "reused" in about else about  # of the call that was made
        reports.append(
            TaskReport(
                task=key[0],
                element=key[1],
                round=round_,
                tool=made.tool,
                planned=task.arguments,
                arguments=made.arguments,
                dependencies=list(task.dependencies),
                status=failed if message.status == "error" else "done",
                result=str(message.text),
                started=times.get("started"),
                finished=times.get("finished"),
            )
        )
    return reports


def _as_seen(task: TaskRun, round_: int) -> TaskReport:
    return TaskReport(
        task=task.number,
        element=task.element,
        round=round_,
        tool=task.tool,
        planned=task.planned_arguments,
        arguments=task.arguments,
        dependencies=task.dependencies,
        status=task.state,  # type: ignore[arg-type]
        result=task.outcome,
        started=task.started,
        finished=task.finished,
    )
