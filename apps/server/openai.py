"""OpenAI's protocol for every client of chat completions: each graph is a model, under its name.

A client sends the conversation with each request, and so no thread is kept; only of a run that waits for an approval,
which the page can give: the answer has its address. Steps of the plan come as `reasoning_content`, if the request has a
`reasoning_effort` other than `none`. What would sample a model otherwise (`temperature`, `max_tokens`, …) is not used;
what would be another answer (tools of the client's, a form that it must have, several answers) is refused.
"""

import json
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict
from starlette.responses import JSONResponse, Response

from apps.runs.graphs import DEFAULT, listed, served_name
from apps.server.agent import Event, ServedAgent
from apps.server.errors import OF_ALL, OF_RUNS, OpenAIProblem, RefusedError, documented, explain
from apps.server.schema import AgentInput
from apps.server.streams import SERVER_SENT, Message, Stream, first_of

UNKNOWN_MODEL = "There is no model {model!r}. The models are: {names}."
REFUSED = {
    "tools": "tools: the agent has its own, and calls no others. Send none.",
    "functions": "functions: the agent has tools of its own, and calls no others. Send none.",
    "response_format": "response_format: answers have the form that the agent was made for. Send none.",
    "n": "n: there is one answer.",
}
"""What can't be met of a request, by its field."""

WAITS = "This waits for your approval: {page}"
REPLANS = "\n\nPlanned again: {feedback}\n"
EXAMPLE: JsonDict = {"messages": [{"role": "user", "content": "How tall is K2?"}]}
VOID = "\n\n"
"""What parts the words that did not turn out to be the answer from those that follow."""


def _as_ours(messages: Any) -> Any:
    """The conversation without the calls and results of tools, which a chat has from other models before this one.
    OpenAI calls system messages the developer's now."""
    if not isinstance(messages, list):
        return messages
    ours: list[Any] = []
    for message in messages:
        match message:
            case {"role": "tool" | "function"}:
                continue
            case {"role": "assistant"} if not message.get("content"):
                continue
            case {"role": "developer"}:
                ours.append({**message, "role": "system"})
            case _:
                ours.append(message)
    return ours


class StreamOptions(BaseModel):
    """What a stream has beside the answer."""

    include_usage: bool = Field(default=False, strict=True)


class ChatRequest(BaseModel):
    """What is used of a request; the rest is taken, and ignored."""

    model_config = ConfigDict(
        title="Chat completion request", extra="allow", json_schema_extra={"examples": [{"model": DEFAULT, **EXAMPLE}]}
    )

    model: str = Field(description="A graph, as /v1/models names it.")
    messages: Annotated[list[Any], BeforeValidator(_as_ours)] = Field(description="The conversation.")
    stream: bool | None = Field(default=None, strict=True)
    stream_options: StreamOptions | None = None
    reasoning_effort: str | None = Field(default=None, description="Unless none: the plan comes as reasoning_content.")
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    response_format: dict[str, Any] | None = None
    n: int | None = Field(default=None, ge=1, strict=True)

    @property
    def refused(self) -> str | None:
        """The first field that can't be met."""
        wanted = {
            "tools": self.tools,
            "functions": self.functions,
            "response_format": (self.response_format or {}).get("type", "text") != "text",
            "n": (self.n or 1) > 1,
        }
        return next((name for name, value in wanted.items() if value), None)


@dataclass
class _Chat:
    """An answer on its way."""

    name: str
    page: str
    """The address of the thread's page."""

    reasons: bool
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))
    begun: bool = False
    """Whether the stream has begun, with nothing yet, so that nobody takes it for dead while the plan is written."""

    sent: str = ""
    """Of the answer, as it now seems to be."""

    usage: dict[str, int] = field(default_factory=dict)
    answer: str = ""
    """When it is complete."""

    def deltas(self, event: Event) -> list[dict[str, str]]:
        """What an event adds to the message."""
        match event:
            case {"type": "plan_text", "text": str(text)} if self.reasons:
                return [{"reasoning_content": text}]
            case {"type": "plan_text"} if not self.begun:
                self.begun = True
                return [{"content": ""}]
            case {"type": "replanning", "feedback": str(feedback)}:
                reason = [{"reasoning_content": REPLANS.format(feedback=feedback)}] if self.reasons else []
                return [*reason, *self._void()]
            case {"type": "answer_text", "text": str(text)}:
                void = self._void() if event.get("restart") else []
                self.sent += text
                return [*void, {"content": text}]
            case {"type": "result", "approval": approval, "answer": answer, "usage": usage}:
                self.usage = _usage(usage)
                self.answer = WAITS.format(page=self.page) if approval else str(answer)
                void = [] if self.answer.startswith(self.sent) else self._void()
                return [*void, {"content": self.answer.removeprefix(self.sent)}]
        return []

    def _void(self) -> list[dict[str, str]]:
        void = [{"content": VOID}] if self.sent else []
        self.sent = ""
        return void

    def chunk(self, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
        """One of OpenAI's chunks."""
        return {
            **self._about("chat.completion.chunk"),
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }

    def whole(self, deltas: list[dict[str, str]]) -> dict[str, Any]:
        """OpenAI's completion."""
        message = {"role": "assistant", "content": self.answer}
        if self.reasons:
            message["reasoning_content"] = "".join(delta.get("reasoning_content", "") for delta in deltas)
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return {**self._about("chat.completion"), "choices": [choice], "usage": self.usage}

    def totals(self) -> dict[str, Any]:
        """The chunk that has the usage alone."""
        return {**self._about("chat.completion.chunk"), "choices": [], "usage": self.usage}

    def _about(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.name}


def add_openai(router: APIRouter, agent: ServedAgent, *, alone: bool) -> None:
    """Serve the agent under `/v1`, and beside it, unless it is alone, the graphs of `langgraph.json`, which are loaded
    when they are asked."""

    def names() -> list[str]:
        return list(dict.fromkeys([served_name(), *([] if alone else listed())]))

    def check(model: str) -> None:
        if model not in names():
            raise RefusedError(404, UNKNOWN_MODEL.format(model=model[:100], names=", ".join(names())))

    @router.get("/v1/models", responses=_as_openai(OF_ALL), tags=["v1"])
    def models() -> dict[str, Any]:
        """The graphs; the first is the one that is served on all other paths."""
        return {"object": "list", "data": [one_model(name) for name in names()]}

    @router.get("/v1/models/{model:path}", responses=_as_openai(OF_ALL | documented(404)), tags=["v1"])
    def one_model(model: str) -> dict[str, Any]:
        """A graph, by its name."""
        check(model)
        return {"id": model, "object": "model", "created": 0, "owned_by": "llm-compiler"}

    errors = _as_openai(OF_ALL | OF_RUNS | documented(404))

    @router.post("/v1/chat/completions", responses=SERVER_SENT | errors, tags=["v1"])
    async def chat_completions(asked: ChatRequest, request: Request) -> Response:
        """The answer to a conversation."""
        check(asked.model)
        if asked.refused:
            raise RefusedError(422, REFUSED[asked.refused])
        thread = uuid.uuid4().hex
        given = AgentInput.model_validate({"messages": asked.messages, "thread_id": thread})
        chosen = agent if asked.model == served_name() else await agent.with_graph(asked.model)
        chat = _Chat(asked.model, f"{request.base_url}#{thread}", asked.reasoning_effort not in (None, "none"))
        deltas = _run(chosen, given, chat)
        if not asked.stream:
            return JSONResponse(chat.whole([delta async for delta in deltas]))
        first = await first_of(deltas)
        usage = asked.stream_options is not None and asked.stream_options.include_usage
        return Stream(deltas, lambda deltas: _chunks(chat, first, deltas, usage), agent.limits.shutdown_timeout)


def _as_openai(errors: dict[int | str, dict[str, Any]]) -> dict[int | str, dict[str, Any]]:
    """Errors for the OpenAPI document, with the body that they have here."""
    return {status: {**error, "model": OpenAIProblem} for status, error in errors.items()}


async def _run(agent: ServedAgent, asked: AgentInput, chat: _Chat) -> AsyncGenerator[dict[str, str]]:
    """The deltas of the message."""
    async with aclosing(agent.events_once(asked, "/v1/chat/completions")) as events:
        async for event in events:
            for delta in chat.deltas(event):
                yield delta


async def _chunks(
    chat: _Chat, first: dict[str, str], deltas: AsyncGenerator[dict[str, str]], usage: bool
) -> AsyncGenerator[Message]:
    try:
        yield _data(chat.chunk({"role": "assistant", **first}))
        async for delta in deltas:
            if "content" in delta or not chat.sent:  # chats would show a thought in the midst of the answer
                yield _data(chat.chunk(delta))
    except Exception as error:  # noqa: BLE001 — told to the client, and logged
        yield _data(explain(error).body("/v1/chat/completions"))
        return
    yield _data(chat.chunk({}, "stop"))
    if usage:
        yield _data(chat.totals())
    yield {"data": "[DONE]"}


def _data(chunk: dict[str, Any]) -> Message:
    return {"data": json.dumps(chunk)}


def _usage(models: dict[str, dict[str, int]]) -> dict[str, int]:
    """Tokens of all models, by OpenAI's names."""
    names = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens", "total_tokens": "total_tokens"}
    return {name: sum(counts.get(ours, 0) for counts in models.values()) for name, ours in names.items()}
