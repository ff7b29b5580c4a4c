"""LangServe's routes. This file alone knows LangServe, which is in maintenance: what replaces it replaces this file."""

import asyncio
import json
import os
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

import anyio
import langserve
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from langchain_core.runnables import RunnableConfig
from langchain_core.tracers.log_stream import LogStreamCallbackHandler, RunLogPatch
from langserve import add_routes
from pydantic import BaseModel, ConfigDict, FailFast, Field, model_validator
from pydantic.config import JsonDict
from sse_starlette import EventSourceResponse

from apps.runs.report import Report
from apps.server.agent import ServedAgent
from apps.server.encoding import to_json
from apps.server.errors import OF_RUNS, explain
from apps.server.schema import AgentInput
from apps.server.settings import ClientConfig
from apps.server.streams import SERVER_SENT, LiveRun, Message, ServerSent, Stream, first_of

PLAYGROUND = Path(langserve.__file__).parent / "playground" / "dist"
EXAMPLE: JsonDict = {"question": "How tall is K2?"}
STREAM = """\
Server-sent events: `metadata` with the `run_id`; `data`, each one JSON object with a `type`: the agent's progress,
`answer_text`, `approval`, and the `result` last; then `end`, or `error` with `status_code` and `message`."""
EVENTS = """\
Server-sent events: `data`, each one event of LangChain's `astream_events` (version 2), of everything inside the run;
then `end`, or `error` with `status_code` and `message`."""
LOG = """\
Server-sent events: `data`, each with the `ops` (JSON patches) of LangChain's `astream_log`, of everything inside the
run; then `end`, or `error` with `status_code` and `message`."""


class RunRequest(BaseModel):
    """A run."""

    model_config = ConfigDict(title="Run request", json_schema_extra={"examples": [{"input": EXAMPLE}]})

    input: AgentInput
    config: ClientConfig | None = None
    kwargs: dict[str, Any] = Field(default_factory=dict, description="LangServe's clients send it; not used.")


class StreamRequest(RunRequest):
    """What `/agent/stream` takes."""

    model_config = ConfigDict(title="Stream request")

    on_disconnect: Literal["cancel", "continue"] = Field(
        default="cancel",
        description="What becomes of the run if its client goes: one that continues can be read again in its thread.",
    )


class TraceRequest(RunRequest):
    """What `/agent/stream_events` and `/agent/stream_log` take: some of what is inside a run can be left out."""

    model_config = ConfigDict(title="Trace request")

    include_names: list[str] | None = None
    include_types: list[str] | None = None
    include_tags: list[str] | None = None
    exclude_names: list[str] | None = None
    exclude_types: list[str] | None = None
    exclude_tags: list[str] | None = None

    @property
    def filters(self) -> dict[str, Any]:
        """What is left out, as LangChain's `astream_events` takes it."""
        return self.model_dump(exclude=set(RunRequest.model_fields))


class BatchRequest(BaseModel):
    """Several runs."""

    model_config = ConfigDict(title="Batch request", json_schema_extra={"examples": [{"inputs": [EXAMPLE, EXAMPLE]}]})

    inputs: Annotated[list[AgentInput], FailFast()]
    config: ClientConfig | list[ClientConfig] | None = Field(
        default=None, description="For all inputs; or as many as there are inputs."
    )
    kwargs: dict[str, Any] = Field(default_factory=dict, description="LangServe's clients send it; not used.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if isinstance(self.config, list) and len(self.config) != len(self.inputs):
            raise ValueError(f"The number of configs ({len(self.config)}) is not that of inputs ({len(self.inputs)}).")
        return self


class RunMetadata(BaseModel):
    """What is told of a run beside its output."""

    run_id: str = Field(description="Its id in traces.")


class RunResponse(BaseModel):
    """What comes of a run."""

    output: Report
    metadata: RunMetadata


class BatchMetadata(BaseModel):
    """What is told of several runs beside their outputs."""

    run_ids: list[str] = Field(description="Their ids in traces.")


class BatchResponse(BaseModel):
    """What comes of several runs."""

    output: list[Report]
    metadata: BatchMetadata


def add_agent(router: APIRouter, agent: ServedAgent) -> None:
    """Serve the agent under `/agent`: LangServe's protocol, schemas and playground, with runs of ours.

    LangServe's own runs fail on requests of another form instead of refusing them, and its streams tell their client
    no more than "Internal Server Error", answer 200 before they know whether there is anything to stream, and write to
    clients who have gone.
    """
    streamed: dict[str, Any] = {"response_class": EventSourceResponse, "responses": SERVER_SENT | OF_RUNS}

    @router.post("/agent/invoke", response_model=RunResponse, responses=OF_RUNS, tags=["agent"])
    async def invoke(request: RunRequest) -> Response:
        """The result of a run."""
        config = _config(request.config)
        output = await agent.ainvoke(request.input, config)
        return _json(RunResponse(output=output, metadata=RunMetadata(run_id=str(config["run_id"]))))

    @router.post("/agent/batch", response_model=BatchResponse, responses=OF_RUNS, tags=["agent"])
    async def batch(request: BatchRequest) -> Response:
        """The results of several runs at once; the first that fails stops the others."""
        given = request.config if isinstance(request.config, list) else [request.config] * len(request.inputs)
        configs = [_config(each) for each in given]
        output = await agent.abatch(request.inputs, configs)
        run_ids = [str(config["run_id"]) for config in configs]
        return _json(BatchResponse(output=output, metadata=BatchMetadata(run_ids=run_ids)))

    def _stream(events: AsyncGenerator[Any], *first: Message) -> Stream:
        return Stream(events, lambda events: _server_sent(events, *first), agent.limits.shutdown_timeout)

    @router.post("/agent/stream", description=STREAM, tags=["agent"], **streamed)
    async def stream(request: StreamRequest) -> EventSourceResponse:
        config = _config(request.config)
        keep_in = agent.thread_to_keep(request.input, config) if request.on_disconnect == "continue" else None
        events = agent.events(request.input, config)
        first = await first_of(events)
        begun = {"event": "metadata", "data": json.dumps({"run_id": str(config["run_id"])})}, _data(first)
        if not keep_in:
            return _stream(events, *begun)
        run = agent.live.add(keep_in, LiveRun(request.input.asks, _server_sent(events, *begun), events))
        return ServerSent(run.read(), agent.limits.shutdown_timeout)

    @router.post("/agent/stream_events", description=EVENTS, tags=["agent"], **streamed)
    async def stream_events(request: TraceRequest) -> EventSourceResponse:
        config = _config(request.config)
        await agent.check(request.input, config)
        events = agent.astream_events(request.input, config, version="v2", **request.filters)
        return _stream(cast("AsyncGenerator[Any]", events))

    @router.post("/agent/stream_log", description=LOG, tags=["agent"], **streamed)
    async def stream_log(request: TraceRequest) -> EventSourceResponse:
        config = _config(request.config)
        await agent.check(request.input, config)
        return _stream(_log(agent, request, config))

    @router.get("/agent/c/{config}/input_schema", include_in_schema=False)
    async def input_schema(config: str) -> dict[str, Any]:  # noqa: ARG001 — there is one, whatever the settings
        """The playground asks for it anew when a setting is changed, and has no form without it."""
        return agent.get_input_schema().model_json_schema()

    add_routes(
        router,
        agent,
        path="/agent",
        dependencies=[Depends(_check_file)],
        enabled_endpoints=["playground", "input_schema", "output_schema", "config_schema"],
        enable_feedback_endpoint=False,
        enable_public_trace_link_endpoint=False,
    )


def _json(response: BaseModel) -> Response:
    return Response(to_json(response), media_type="application/json")


def _check_file(request: Request) -> None:
    """LangServe tries to open whatever its playground is asked for.

    Raises:
        HTTPException: There is no such file.
    """
    name = request.path_params.get("file_path")
    if name and not os.path.isfile(PLAYGROUND / name):  # noqa: PTH113 — `Path.is_file` raises for a name that can't be
        raise HTTPException(404)


def _config(given: ClientConfig | None) -> RunnableConfig:
    """What a run is started with."""
    config: RunnableConfig = {"run_id": uuid.uuid4(), "run_name": "/agent"}
    if given and given.configurable:
        config["configurable"] = given.configurable.model_dump(exclude_none=True)
    return config


async def _log(agent: ServedAgent, request: TraceRequest, config: RunnableConfig) -> AsyncGenerator[dict[str, Any]]:
    """LangChain's log of a run, as LangServe sends it. `astream_log` would wait for the run when it is closed."""
    log = LogStreamCallbackHandler(auto_close=False, _schema_format="original", **request.filters)

    async def run() -> None:
        try:
            output = await agent.ainvoke(request.input, {**config, "callbacks": [log]})
            ended = [("add", "/streamed_output/-"), ("replace", "/final_output")]
            await log.send_stream.send(RunLogPatch(*({"op": op, "path": path, "value": output} for op, path in ended)))
        finally:
            await log.send_stream.aclose()

    running = asyncio.create_task(run())
    try:
        async for patch in log:
            yield {"ops": [_not_taken_for_a_message(op) for op in patch.ops]}
        await running
    finally:
        running.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([running])


def _not_taken_for_a_message(op: dict[str, Any]) -> dict[str, Any]:
    """LangServe's client takes a tool's entry in the log for a `ToolMessage`, and fails on one without this field."""
    match op:
        case {"value": {"type": "tool"} as value}:
            return {**op, "value": {"tool_call_id": None, **value}}
    return op


async def _server_sent(events: AsyncGenerator[Any], *first: Message) -> AsyncGenerator[Message]:
    try:
        for message in first:
            yield message
        async for event in events:
            yield _data(event)
    except Exception as error:  # noqa: BLE001 — told to the client, and logged
        yield {"event": "error", "data": json.dumps(explain(error).body())}
    else:
        yield {"event": "end", "data": ""}


def _data(event: Any) -> Message:
    return {"event": "data", "data": to_json(event).decode()}
