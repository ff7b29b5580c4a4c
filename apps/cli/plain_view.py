"""A run in lines of plain text, for pipes."""

from collections.abc import Iterator

from apps.runs.run import Event, Run
from apps.runs.wording import call_of, duration, in_short, numbers, printable

RESULT_CHARS = 100


def plain_lines(run: Run, event: Event, *, show_plan: bool) -> Iterator[str]:
    """An event in lines of text, for a pipe.

    Args:
        run: The run, which has taken note of the event.
        event: What has just happened.
        show_plan: Whether the plan is shown in the model's own words, too.
    """
    key = event.get("task"), event.get("element")
    task = next((task for task in run.tasks if (task.number, task.element) == key), None)
    name = task.name if task else ""
    match event["type"]:
        case "task_planned" if task:
            needs = f"  after {numbers(task.dependencies)}" if task.dependencies else ""
            yield f"planned   {name}. {call_of(task)}{needs}"
        case "task_started":
            yield f"started   {name}."
        case "task_finished" | "task_failed" | "task_skipped" if task:
            spent = f" in {duration(task.seconds())}" if task.started else ""
            call = in_short(call_of(task), RESULT_CHARS // 2)
            yield f"{task.state:<8}  {name}. {call}{spent}: {in_short(task.outcome, RESULT_CHARS)}"
        case "plan_finished":
            yield f"planned   in {duration(run.rounds[-1].plan.seconds())}"
            if show_plan:
                yield from ("", printable(run.rounds[-1].text).strip(), "")
        case "replanning":
            yield f"replan    {len(run.rounds) - 1}: {in_short(run.rounds[-1].reason, RESULT_CHARS)}"
