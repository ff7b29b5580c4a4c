"""Progress events, sent to LangGraph's `custom` stream as JSON-serialisable dicts.

Every event has a `type` and a `time` (Unix seconds):

| type | further fields |
|---|---|
| `plan_started` | `round`: 0 for the turn's first plan, 1 for its first replan |
| `plan_text` | `text`: what the model has just written of the plan |
| `task_planned` | `task`: its number; `element`, in a map; `tool`; `arguments` as planned; `dependencies`: numbers |
| `plan_finished` | `round`, `tasks` (how many) |
| `task_paused` | as `task_planned`, the arguments resolved: it waits for an approval |
| `task_started` | the same, and `namespace`: where the events of a graph that the tool runs stand (`subgraphs=True`) |
| `task_retried` | the same, `error`: why, and `delay`: the seconds until the next try |
| `task_finished` | the same, `result` as text, and `reused`: the task that had made the same call, if one had |
| `task_failed`, `task_skipped` | the same, and `error`: why |
| `joiner_started` | |
| `replanning` | `feedback`: what the joiner found missing |

Long arguments and results are cut.
"""

import json
import time
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Literal, Self

from langchain_core.messages import ToolMessage
from langgraph.runtime import Runtime

from agent.excerpt import cut
from agent.references import to_text
from agent.tasks import Task

SHOWN_CHARS = 500


@dataclass(frozen=True)
class Progress:
    """Tells what the run is doing."""

    write: Callable[[Any], None]
    """The run's stream writer."""

    @classmethod
    def of(cls, runtime: Runtime[Any]) -> Self:
        """Tells it as this node. LangGraph takes the sender of an event from the context that it is written in, and the
        tasks that the node starts have others."""
        context = copy_context()
        return cls(lambda event: context.run(runtime.stream_writer, event))

    def plan_started(self, plans_before: int) -> None:
        self._send("plan_started", round=plans_before)

    def plan_text(self, text: str) -> None:
        if text:
            self._send("plan_text", text=text)

    def plan_finished(self, plans_before: int, tasks: int) -> None:
        self._send("plan_finished", round=plans_before, tasks=tasks)

    def task_planned(self, task: Task) -> None:
        self._send("task_planned", **_describe(task, task.arguments))

    def task_paused(self, task: Task, arguments: dict[str, Any]) -> None:
        self._send("task_paused", **_describe(task, arguments))

    def task_started(self, task: Task, arguments: dict[str, Any], namespace: Sequence[str] = ()) -> None:
        self._send("task_started", **_describe(task, arguments), namespace=list(namespace))

    def task_retried(self, task: Task, arguments: dict[str, Any], error: str, delay: float) -> None:
        self._send("task_retried", **_describe(task, arguments), error=cut(error, SHOWN_CHARS), delay=delay)

    def task_done(self, task: Task, outcome: ToolMessage) -> None:
        arguments = outcome.response_metadata.get("arguments", task.arguments)
        kind: Literal["task_finished", "task_skipped", "task_failed"] = "task_finished"
        if outcome.status == "error":
            kind = "task_skipped" if outcome.response_metadata.get("skipped") else "task_failed"
        says = {"result" if kind == "task_finished" else "error": cut(str(outcome.text), SHOWN_CHARS)}
        if reused := outcome.response_metadata.get("reused"):
            says["reused"] = reused
        self._send(kind, **_describe(task, arguments), **says)

    def joiner_started(self) -> None:
        self._send("joiner_started")

    def replanning(self, feedback: str) -> None:
        self._send("replanning", feedback=feedback)

    def _send(self, kind: str, **fields: Any) -> None:
        self.write({"type": kind, "time": time.time(), **fields})


def shown(value: Any, most: int = SHOWN_CHARS) -> Any:
    """A value for people and records: JSON, and text in its place where it is long or not JSON."""
    if isinstance(value, bool | int | float | None):
        return value
    text = to_text(value)
    if isinstance(value, dict | list) and len(text) <= most:
        return json.loads(text)
    return cut(text, most)


def _describe(task: Task, arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "task": task.number,
        **({} if task.element is None else {"element": task.element}),
        "tool": task.tool,
        "arguments": {name: shown(value) for name, value in arguments.items()},
        "dependencies": list(task.dependencies),
    }
