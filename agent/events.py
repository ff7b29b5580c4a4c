"""Progress events, sent to LangGraph's `custom` stream as JSON-serialisable dicts.

Every event has a `type` and a `time` (Unix seconds):

| type | further fields |
|---|---|
| `plan_started` | `round`: 0 for the turn's first plan, 1 for its first replan; `anew` if it was but a thought yet |
| `plan_text` | `text`: what the model has written of the plan since the last one |
| `task_planned` | `task`: number; `element`, in a map; `tool`; `arguments` as planned; `call`: text; `dependencies` |
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

import time
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Self

from langchain_core.messages import ToolMessage
from langgraph.runtime import Runtime

from agent.conversation.messages import as_made
from agent.language.excerpt import excerpt
from agent.language.tasks import Task
from agent.language.values import as_json, render_call
from agent.streaming import MessageStream

SHOWN_CHARS = 500


@dataclass(frozen=True)
class Progress:
    """Tells what the run is doing."""

    write: Callable[[Any], None]
    """The run's stream writer."""

    messages: MessageStream = field(default_factory=MessageStream)
    """Where messages are shown before they are in the state, if anywhere."""

    @classmethod
    def of(cls, runtime: Runtime[Any]) -> Self:
        """Tells it as this node. LangGraph takes the sender of an event from the context that it is written in, and the
        tasks that the node starts have others."""
        context = copy_context()
        return cls(lambda event: context.run(runtime.stream_writer, event), MessageStream.here())

    def tell(self, kind: str, **fields: Any) -> None:
        """Send an event of the run as a whole."""
        self.write({"type": kind, "time": time.time(), **fields})

    def tell_of(self, task: Task, kind: str, arguments: Mapping[str, Any], **fields: Any) -> None:
        """Send an event of a task."""
        short = {name: as_json(value, SHOWN_CHARS) for name, value in arguments.items()}
        element = {} if task.element is None else {"element": task.element}
        self.tell(
            kind,
            task=task.number,
            **element,
            tool=task.tool,
            arguments=short,
            call=render_call(task.tool, short, positional=task.positional, mapped=task.is_map),
            dependencies=list(task.dependencies),
            **fields,
        )

    def tell_outcome(self, task: Task, outcome: ToolMessage) -> None:
        """Send what came of a task."""
        notes = outcome.response_metadata
        failed = outcome.status == "error"
        kind = "task_finished" if not failed else "task_skipped" if notes.get("skipped") else "task_failed"
        says = {"error" if failed else "result": excerpt(str(outcome.text), SHOWN_CHARS)}
        if reused := notes.get("reused"):
            says["reused"] = reused
        made = as_made(task, outcome)
        self.tell_of(made, kind, made.arguments, **says)
