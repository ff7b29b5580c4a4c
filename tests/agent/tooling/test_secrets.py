"""No key gets out, even where the model's server repeats it in what it says of an error."""

import json
import logging
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import BaseMessage, messages_to_dict
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver

from agent import create_llm_compiler, load_model
from agent.servers.errors import REFUSED
from agent.tooling.secrets import without_secrets
from apps.runs.errors import in_one_line
from tests.support.model_server import HttpError, ModelServer
from tests.support.mountains import TOOLS
from tests.support.terminal import COMMAND

KEY = "sk-proj-4f8a0c2e6b1d9735THEKEY"
OTHER_KEY = "opaque7f3b9d1e5a"
ECHO = f"Incorrect API key provided: {KEY}. Authorization: Bearer {KEY}; x-other-key: {OTHER_KEY}."
IN_WORDS = '1. estimate("height of K2")\n2. join()'
STATUSES = [401, 500]


@pytest.fixture(autouse=True)
def keys(model_server: ModelServer) -> None:
    """The keys in the environment, and the server as its model."""
    os.environ |= {"OPENAI_API_KEY": KEY, "OTHER_API_KEY": OTHER_KEY, "OPENAI_BASE_URL": model_server.base_url}
    os.environ |= {"LLM_COMPILER_MODEL": "openai:test-model", "LLM_COMPILER_TOOL_RETRIES": "1"}
    os.environ |= {"LLM_COMPILER_GRAPH": "tests.support.mountains"}


def assert_no_key(*shown: object) -> None:
    for text in map(str, shown):
        assert not any(secret in text for secret in (KEY, OTHER_KEY, "THEKEY")), text


class Trace(AsyncCallbackHandler):
    """Notes what any tracer is told, but for the errors, which are the client's own."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], **about: Any
    ) -> None:
        self.told.append(repr((serialized, messages, about)))

    async def on_chain_start(self, serialized: dict[str, Any], inputs: dict[str, Any], **about: Any) -> None:
        self.told.append(repr((serialized, inputs, about)))

    async def on_chain_end(self, outputs: dict[str, Any], **about: Any) -> None:
        self.told.append(repr((outputs, about)))

    async def on_tool_start(self, serialized: dict[str, Any], input_str: str, **about: Any) -> None:
        self.told.append(repr((serialized, input_str, about)))


async def run() -> tuple[list[Any], list[BaseMessage], Exception | None, Trace, list[str]]:
    """Events and messages of a run, what it raised, what a tracer was told, and the errors saved with the thread."""
    trace = Trace()
    model = ChatOpenAI(model="test-model", max_retries=0)
    graph = create_llm_compiler(TOOLS, model=model, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}, "callbacks": [trace]}
    events: list[Any] = []
    raised: Exception | None = None
    try:
        async for event in graph.astream({"messages": "How high?"}, config, stream_mode=["custom", "updates"]):
            events.append(event)  # noqa: PERF401 — those before the error count too
    except Exception as error:  # noqa: BLE001 — the client's own
        raised = error
    state = await graph.aget_state(config)
    return events, state.values["messages"], raised, trace, [str(task.error) for task in state.tasks]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("role", ["planner", "joiner"])
async def test_a_failed_model_call_tells_no_key(role: str, status: int, model_server: ModelServer) -> None:
    failures = [HttpError(status, ECHO)] * (2 if role == "joiner" and status in REFUSED else 1)
    replies: dict[str, Any] = {"planner": ['1. height("K2")\n2. join()'], role: failures}
    model_server.script(**replies)
    events, messages, raised, trace, saved = await run()
    assert raised is not None
    assert_no_key(events, messages, messages_to_dict(messages), repr(raised), in_one_line(raised), *trace.told, *saved)
    assert str(status) in in_one_line(raised)
    assert any(str(status) in error for error in saved)


async def test_nor_one_that_only_the_program_knows(
    model_server: ModelServer, make_chat_model: Callable[..., ChatOpenAI]
) -> None:
    model_server.script(planner=[HttpError(401, "There is no key open sesame.")])
    graph = create_llm_compiler(TOOLS, model=make_chat_model(api_key="open sesame"))
    with pytest.raises(Exception, match=r"There is no key \*\*\*\.") as raised:
        await graph.ainvoke({"messages": "How high?"})
    assert "open sesame" not in repr(vars(raised.value))


@pytest.mark.parametrize("status", STATUSES)
async def test_a_failed_model_call_of_a_tool_tells_no_key(status: int, model_server: ModelServer) -> None:
    model_server.script(*[HttpError(status, ECHO)] * (2 if status == 500 else 1), planner=[IN_WORDS], joiner=["No."])
    events, messages, raised, trace, _ = await run()
    assert raised is None
    assert str(status) in str(messages[2].text)
    assert_no_key(events, messages, messages_to_dict(messages), *trace.told)
    assert_no_key(*(request.body for request in model_server.requests))


async def test_a_tool_that_raises_with_a_key_tells_none(model_server: ModelServer) -> None:
    async def page(url: str) -> str:
        """A page."""
        raise ConnectionResetError(f"GET {url}?key={OTHER_KEY} with {KEY}")

    model_server.script(planner=['1. page("https://example.com")\n2. join()'], joiner=["No."])
    graph = create_llm_compiler([page])
    events = [e async for e in graph.astream({"messages": "?"}, stream_mode=["custom", "values"])]
    assert_no_key(events)
    assert "GET https://example.com?key=*** with ***" in str(events)


@pytest.mark.parametrize(
    ("name", "said", "shown"),
    [
        ("GITHUB_PAT", "denied to hunter2-hunter2", "denied to ***"),
        ("PGPASSWD", "denied to hunter2-hunter2", "denied to ***"),
        ("MY_CREDENTIAL", "?q=hunter2%2Fhunter2", "?q=***"),
        ("AUTH_BEARER", "hunter2/hunter2 is wrong", "*** is wrong"),
        ("", "can't reach postgres://ann:hunter2@host/db", "can't reach postgres://***@host/db"),
        ("", "Authorization: Bearer eyJhbGciOi.J9", "Authorization: Bearer ***"),
        ("", "Authorization: Basic YW5uOmh1bnRlcjI=", "Authorization: Basic ***"),
        ("AUTHOR", "by hunter2-hunter2", "by hunter2-hunter2"),
        ("MONKEY_ISLAND", "to hunter2-hunter2", "to hunter2-hunter2"),
    ],
)
def test_keys_are_known_by_their_variables_name_or_by_their_shape(name: str, said: str, shown: str) -> None:
    if name:
        os.environ[name] = "hunter2/hunter2" if "/" in said or "%" in said else "hunter2-hunter2"
    assert without_secrets(said) == shown


def command(model_server: ModelServer, *options: str) -> subprocess.CompletedProcess[str]:
    arguments = [*COMMAND, *options, "How high?"]
    environment = {**os.environ, "LANGSMITH_TRACING": "false"}
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("options", [["--json"], []])
def test_the_command_line_tells_no_key(options: list[str], model_server: ModelServer) -> None:
    model_server.script(planner=[HttpError(400, ECHO)])
    result = command(model_server, *options)
    assert result.returncode == 1
    assert "400" in result.stderr
    assert_no_key(result.stdout, result.stderr)


def test_the_json_of_the_command_line_has_no_key(model_server: ModelServer) -> None:
    model_server.script(HttpError(401, ECHO), planner=[IN_WORDS], joiner=["I can't tell."])
    result = command(model_server, "--json")
    assert json.loads(result.stdout)["tasks"][0]["status"] == "failed"
    assert_no_key(result.stdout, result.stderr)


def test_models_do_not_show_their_key(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        model = load_model("openai:test-model")
    assert_no_key(model, repr(model), model.to_json(), json.dumps(model.to_json(), default=str), caplog.text)
    assert_no_key(model._identifying_params, model._get_invocation_params(), model.model_dump())
