"""The result of a run, read from the conversation that it leaves."""

from collections.abc import Container, Sequence

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.types import StateSnapshot

from agent.conversation.messages import observations, tasks_of, this_turn
from agent.language.tasks import Key
from agent.state import PausedPlan
from apps.runs.report import Run
from apps.server.schema import AgentResult, Approval, TaskResult

COUNTS = ("input_tokens", "output_tokens", "total_tokens")


def result_of(run: Run, snapshot: StateSnapshot, thread: str) -> AgentResult:
    """The result.

    Args:
        run: What was seen of the run.
        snapshot: How the run left its thread.
        thread: The thread's name.
    """
    messages = snapshot.values.get("messages", [])
    approval = Approval(thread_id=thread, request=snapshot.interrupts[0].value) if snapshot.interrupts else None
    tasks = _tasks_of([*this_turn(messages), *_set_aside(snapshot)])
    if approval:
        tasks += _finished(run, but={(task.task, task.element) for task in tasks})
    return AgentResult(
        answer=None if approval else str(messages[-1].text),
        approval=approval,
        tasks=tasks,
        thread_id=thread,
        model=run.model,
        usage={
            name: {count: usage[count] for count in COUNTS}  # type: ignore[literal-required]
            for name, usage in run.usage.items()
        },
        timings={name: round(seconds, 4) for name, seconds in run.timings.items()},
    )


def _set_aside(snapshot: StateSnapshot) -> list[AnyMessage]:
    """The plan that waits for an approval, with the observations so far: it is not in the conversation yet."""
    paused: PausedPlan | None = snapshot.values.get("paused")
    return [paused["plan"], *paused["done"]] if paused and snapshot.interrupts else []


def _tasks_of(messages: Sequence[AnyMessage]) -> list[TaskResult]:
    plans = [message for message in messages if isinstance(message, AIMessage) and message.tool_calls]
    planned = {task.key: task for plan in plans for task in tasks_of(plan)}
    tasks = []
    for (number, element), message in observations(messages).items():
        # An element may not be in its plan yet, but its map is.
        if (task := planned.get((number, element)) or planned.get((number, None))) is None:
            continue  # what some other program has written to the thread
        about = message.response_metadata
        failed = "skipped" if about.get("skipped") else "failed"
        tasks.append(
            TaskResult(
                task=number,
                element=element,
                tool=task.tool,
                arguments=about.get("arguments", task.arguments),
                dependencies=list(task.dependencies),
                status=failed if message.status == "error" else "done",  # type: ignore[arg-type]
                result=str(message.text),
                started=about.get("started"),
                finished=about.get("finished"),
            )
        )
    return tasks


def _finished(run: Run, but: Container[Key]) -> list[TaskResult]:
    """What this request has seen done of a run that paused in the midst of a plan, because a tool asked something."""
    return [
        TaskResult(
            task=task.number,
            element=task.element,
            tool=task.tool,
            arguments=task.arguments,
            dependencies=task.dependencies,
            status=task.state,
            result=task.outcome,
            started=task.started,
            finished=task.finished,
        )
        for task in run.tasks
        if task.state in ("done", "failed", "skipped") and (task.number, task.element) not in but
    ]
