"""AG-UI, the protocol of CopilotKit and other front ends: a run as its events, at `/ag-ui`.

A client sends the conversation with each request, and so no thread is kept; only of a run that waits for an approval,
which the page can give: the answer has its address. A task is a tool call; its start, arguments and result come as they
happen. State and tools of the client's own are not used.

The events are made here from the run's, and only their types are the protocol's package: its adapter for LangGraph has
clients write into the graph's state, and lets nobody bound a run.
"""

import json
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from ag_ui.core import (
    BaseEvent,
    RunAgentInput,
    RunErrorEvent,
    RunFinishedEvent,
    RunStartedEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
)
from fastapi import APIRouter, Request
from sse_starlette import EventSourceResponse

from apps.server.agent import Event, ServedAgent
from apps.server.encoding import to_json
from apps.server.errors import OF_RUNS, explain
from apps.server.schema import AgentInput
from apps.server.streams import SERVER_SENT, Message, Stream, first_of

WAITS = "This waits for your approval: {page}"
_ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}


@dataclass
class _Chat:
    """A run on its way."""

    page: str
    """The address of the thread's page."""

    _calls: dict[tuple[int, int | None], str] = field(default_factory=dict)
    _message: str | None = None
    _said: str = ""

    def take(self, event: Event) -> list[BaseEvent]:
        """What an event of ours is in the protocol."""
        match event:
            case {"type": "task_started"}:
                return self._start(event)
            case {"type": "task_finished" | "task_failed" | "task_skipped"}:
                key = event["task"], event.get("element")
                begun = [] if key in self._calls else self._start(event)
                said = str(event.get("result", event.get("error")))
                return [
                    *begun,
                    ToolCallResultEvent(message_id=_new_id(), tool_call_id=self._calls.pop(key), content=said),
                ]
            case {"type": "replanning"}:
                return self._end()
            case {"type": "answer_text", "text": str(text)}:
                return [*(self._end() if event.get("restart") else []), *self._say(text)]
            case {"type": "result", "approval": approval, "answer": answer}:
                answer = WAITS.format(page=self.page) if approval else str(answer)
                void = [] if answer.startswith(self._said) else self._end()
                return [*void, *self._say(answer.removeprefix(self._said)), *self._end()]
        return []

    def _start(self, event: Event) -> list[BaseEvent]:
        call = self._calls[event["task"], event.get("element")] = _new_id()
        return [
            ToolCallStartEvent(tool_call_id=call, tool_call_name=event["tool"]),
            ToolCallArgsEvent(tool_call_id=call, delta=json.dumps(event["arguments"])),
            ToolCallEndEvent(tool_call_id=call),
        ]

    def _say(self, text: str) -> list[BaseEvent]:
        if not text:
            return []
        begun: list[BaseEvent] = []
        if self._message is None:
            self._message = _new_id()
            begun = [TextMessageStartEvent(message_id=self._message, role="assistant")]
        self._said += text
        return [*begun, TextMessageContentEvent(message_id=self._message, delta=text)]

    def _end(self) -> list[BaseEvent]:
        """What was said so far is a message of its own."""
        ended: list[BaseEvent] = [TextMessageEndEvent(message_id=self._message)] if self._message else []
        self._message, self._said = None, ""
        return ended


def add_ag_ui(router: APIRouter, agent: ServedAgent) -> None:
    """Serve the agent at `/ag-ui`."""

    @router.post("/ag-ui", response_class=EventSourceResponse, responses=SERVER_SENT | OF_RUNS, tags=["ag-ui"])
    async def run(asked: RunAgentInput, request: Request) -> EventSourceResponse:
        """A run as AG-UI's events."""
        thread = uuid.uuid4().hex
        given = AgentInput.model_validate({"messages": _messages(asked), "thread_id": thread})
        events = _run(agent, given, _Chat(f"{request.base_url}#{thread}"))
        first = await first_of(events)
        return Stream(events, lambda events: _sent(asked, first, events), agent.limits.shutdown_timeout)


def _messages(asked: RunAgentInput) -> list[Any]:
    """The conversation, without calls of tools and their results, which are told anew in each run."""
    given = [message.model_dump() for message in asked.messages]
    return [
        {"role": _ROLES[each["role"]], "content": each["content"]}
        for each in given
        if each["role"] in _ROLES and each.get("content")
    ]


async def _run(agent: ServedAgent, asked: AgentInput, chat: _Chat) -> AsyncGenerator[list[BaseEvent]]:
    async with aclosing(agent.events_once(asked, "/ag-ui")) as events:
        async for event in events:
            yield chat.take(event)


async def _sent(
    asked: RunAgentInput, first: list[BaseEvent], events: AsyncGenerator[list[BaseEvent]]
) -> AsyncGenerator[Message]:
    try:
        yield _data(RunStartedEvent(thread_id=asked.thread_id, run_id=asked.run_id))
        for event in first:
            yield _data(event)
        async for more in events:
            for event in more:
                yield _data(event)
    except Exception as error:  # noqa: BLE001 — told to the client, and logged
        yield _data(RunErrorEvent(message=explain(error).message))
        return
    yield _data(RunFinishedEvent(thread_id=asked.thread_id, run_id=asked.run_id))


def _data(event: BaseEvent) -> Message:
    return {"data": to_json(event.model_dump(by_alias=True, exclude_none=True)).decode()}


def _new_id() -> str:
    return uuid.uuid4().hex
