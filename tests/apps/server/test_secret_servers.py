"""What a model's server says and its models think stays on the server, whatever path a client takes."""

import json
from functools import partial

import httpx
import pytest
from langchain_openai import ChatOpenAI

from tests.support import PATIENCE
from tests.support.model_server import Body, ModelServer, Reply
from tests.support.serving import Serve, Tools, post, serving_agent

QUESTION = {"question": "How tall is K2?"}
PLAN = '1. search("K2")\n2. join()'
KEY = "hunter2-is-my-password"
PATHS = ["invoke", "batch", "stream", "stream_events", "stream_log"]


@pytest.fixture
def serve(model_server: ModelServer) -> Serve:
    """Serves an agent whose model has this key."""
    model = ChatOpenAI(model="test-model", base_url=model_server.base_url, api_key=KEY, max_retries=0)  # type: ignore[arg-type]
    return partial(serving_agent, model, Tools())


@pytest.mark.parametrize(("path", "status"), [*((path, 400) for path in PATHS), ("invoke", 401), ("invoke", 500)])
async def test_what_the_models_server_says_of_an_error_reaches_no_client(
    path: str, status: int, model_server: ModelServer, serve: Serve
) -> None:
    said = f'{{"error": {{"message": "Incorrect API key {KEY}", "details": "prompt: {KEY}"}}, "trace": "zebra"}}'
    model_server.handler = lambda _: Body(said, status)
    async with serve() as url:
        response = await post(url, path, {"input": QUESTION, "inputs": [QUESTION]})
    assert KEY not in response.text
    assert "zebra" not in response.text
    assert "Incorrect API key" not in response.text


@pytest.mark.parametrize(
    ("path", "form"),
    [
        *((path, "<think>{}</think>") for path in PATHS[:3]),
        ("stream", "[THINK]{}[/THINK]"),
        ("stream", "Well: {}</think>"),
    ],
)
async def test_thoughts_reach_no_client(path: str, form: str, model_server: ModelServer, serve: Serve) -> None:
    thought = form.replace("{}", '1. search("secret")\n2. join("secret")')
    model_server.script(planner=[thought + PLAN], joiner=[Reply(thought + "8611 m")])
    async with serve() as url:
        response = await post(url, path, {"input": QUESTION, "inputs": [QUESTION]})
    assert "8611 m" in response.text
    assert "secret" not in response.text


@pytest.mark.parametrize("path", PATHS)
async def test_half_a_character_in_a_question_is_no_error(path: str, model_server: ModelServer, serve: Serve) -> None:
    model_server.script(planner=["1. join()"], joiner=["Hi!"])
    body = {"question": "Hi \ud83d"}
    async with serve() as url, httpx.AsyncClient(timeout=PATIENCE) as client:
        sent = json.dumps({"input": body, "inputs": [body]})
        response = await client.post(f"{url}agent/{path}", content=sent, headers={"content-type": "application/json"})
    assert response.status_code == 200
    assert "Hi!" in response.text
