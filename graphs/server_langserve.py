"""LangServe's routes. This file alone knows LangServe, which is in maintenance: what replaces it replaces this file."""

import json
import uuid
import warnings
from collections.abc import AsyncGenerator
from typing import Any

import orjson
from fastapi import FastAPI
from langchain_core._api import LangChainDeprecationWarning
from langchain_core.runnables import RunnableConfig
from langserve import CustomUserType, add_routes
from langserve.serialization import WellKnownLCSerializer
from pydantic import BaseModel, ConfigDict, Field
from sse_starlette import EventSourceResponse
from starlette.types import Receive, Scope, Send

from graphs.server_agent import Event, ServedAgent
from graphs.server_errors import explain
from graphs.server_schema import AgentInput
from graphs.server_settings import ClientConfig

PING_SECONDS = 15
STREAM = """\
Server-sent events: `metadata` with the `run_id`; `data`, each one JSON object with a `type`: the agent's progress,
`answer_text`, `approval`, and the `result` last; then `end`, or `error` with `status_code` and `message`."""


class StreamRequest(BaseModel):
    """What `/agent/stream` takes."""

    model_config = ConfigDict(title="Stream request")

    input: AgentInput
    config: ClientConfig | None = None
    kwargs: dict[str, Any] = Field(default_factory=dict, description="LangServe's clients send it; not used.")


class LangServeInput(AgentInput, CustomUserType):
    """The input, marked so that LangServe hands it on as it is; what it does otherwise, Pydantic calls deprecated."""


class _Serializer(WellKnownLCSerializer):
    """LangServe's own fails on the first object inside the run that isn't JSON."""

    def dumps(self, obj: Any) -> bytes:
        return orjson.dumps(obj, default=_plain, option=orjson.OPT_NON_STR_KEYS)


def _plain(value: object) -> Any:
    """What LangChain's events hold besides JSON: models as JSON, other objects by their type alone, because what they
    hold may be secret."""
    return value.model_dump() if isinstance(value, BaseModel) else f"<{type(value).__name__}>"


def add_agent(app: FastAPI, agent: ServedAgent, path: str) -> None:
    """Serve the agent under the path: LangServe's routes, with a `/stream` of ours.

    LangServe's own `/stream` tells its client no more than "Internal Server Error", answers 200 before it knows whether
    there is anything to stream, and writes to clients who have gone.
    """

    @app.post(f"{path}/stream", description=STREAM, response_class=EventSourceResponse, tags=[path.strip("/")])
    async def stream(request: StreamRequest) -> EventSourceResponse:
        run_id = uuid.uuid4()
        settings = request.config.configurable if request.config else None
        config: RunnableConfig = {"run_id": run_id, "run_name": path}
        if settings:
            config["configurable"] = settings.model_dump(exclude_none=True)
        events = agent.events(request.input, config)
        try:
            first = await anext(events)  # what fails until here is an HTTP error
        except BaseException:
            await events.aclose()
            raise
        return _Stream(run_id, first, events, agent.limits.shutdown_timeout)

    # It is what the playground calls.
    warnings.filterwarnings("ignore", "astream_log is deprecated", LangChainDeprecationWarning)
    add_routes(
        app,
        agent,
        path=path,
        serializer=_Serializer(),
        disabled_endpoints=["stream", "config_hashes"],
        enable_feedback_endpoint=False,
        enable_public_trace_link_endpoint=False,
    )


class _Stream(EventSourceResponse):
    """A run as server-sent events. However it ends, the run ends with it."""

    def __init__(self, run_id: uuid.UUID, first: Event, events: AsyncGenerator[Event], grace: float) -> None:
        self._events = events
        content = _server_sent(run_id, first, events)
        super().__init__(content, ping=PING_SECONDS, shutdown_grace_period=grace)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()


async def _server_sent(
    run_id: uuid.UUID, first: Event, events: AsyncGenerator[Event]
) -> AsyncGenerator[dict[str, str]]:
    yield {"event": "metadata", "data": json.dumps({"run_id": str(run_id)})}
    yield _data(first)
    try:
        async for event in events:
            yield _data(event)
    except Exception as error:  # noqa: BLE001 — told to the client, and logged
        yield {"event": "error", "data": json.dumps(explain(error).body)}
    else:
        yield {"event": "end", "data": ""}


def _data(event: Event) -> dict[str, str]:
    return {"event": "data", "data": orjson.dumps(event, default=_plain).decode()}
