"""What the OpenAPI document says is true: schemathesis makes requests of it, good and bad, and checks the answers."""

import asyncio
import os
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import httpx
import pytest
from langchain_openai import ChatOpenAI

from tests.support import PATIENCE, ROOT
from tests.support.model_server import ModelServer
from tests.support.prepared_python import prepared
from tests.support.serving import Tools, serving_agent

SCHEMATHESIS = [
    *prepared("-c", "from schemathesis.cli import schemathesis; schemathesis()"),
    *("--config-file", str(Path(__file__).with_name("schemathesis.toml")), "run"),
]


@pytest.mark.timeout(600)  # it takes some 5 s of CPU, which on a busy machine are minutes
async def test_the_server_does_what_its_openapi_document_says(
    model_server: ModelServer, chat_model: ChatOpenAI, tmp_path: Path
) -> None:
    model_server.handler = lambda request: '1. search("K2")\n2. join()' if request.role == "planner" else "8611 m"
    async with serving_agent(chat_model, Tools()) as url:
        running = await asyncio.create_subprocess_exec(
            *SCHEMATHESIS,
            f"{url}openapi.json",
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=PIPE,
            stderr=STDOUT,
        )
        said, _ = await running.communicate()
    assert running.returncode == 0, said.decode()
    assert {"planner", "joiner"} <= {request.role for request in model_server.requests}, "its examples are answered"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "agent/invoke", "POST"),
        ("PUT", "v1/chat/completions", "POST"),
        ("DELETE", "healthz", "GET"),
        ("GET", "agent/threads/mine/stream", "POST"),
        ("POST", "agent/threads/mine", "GET"),
        ("POST", "healthz", "GET"),
    ],
)
async def test_another_method_than_a_paths_own_is_405(
    chat_model: ChatOpenAI, method: str, path: str, allowed: str
) -> None:
    async with serving_agent(chat_model, Tools()) as url, httpx.AsyncClient(timeout=PATIENCE) as client:
        response = await client.request(method, url + path)
    assert response.status_code == 405
    assert response.headers["allow"] == allowed
