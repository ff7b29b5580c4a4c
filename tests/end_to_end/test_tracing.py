"""Traces: how runs are named and nested, and that LangSmith's own switches are all it takes."""

import gzip
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from langchain_openai import ChatOpenAI

from agent import as_tool, create_llm_compiler
from tests.support import ROOT
from tests.support.model_server import ModelServer
from tests.support.mountains import PLAN
from tests.support.prepared_python import prepared

Tree = tuple[str, list[Any]]

ASK = """\
from langchain_core.tracers.langchain import wait_for_all_tracers
from tests.support.mountains import graph
print(graph.invoke({"messages": "How much taller is Mount Everest than K9?"})["messages"][-1].text)
wait_for_all_tracers()
"""


class Tracer(BaseTracer):
    """Keeps the finished trace."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.runs.append(run)


def tree(run: Run) -> Tree:
    """The names of a run and of those below it, sorted: parallel runs begin in any order."""
    return run.name, sorted((tree(child) for child in run.child_runs), key=str)


async def search(query: str) -> str:
    """searches"""
    return query


def fail(reason: str) -> str:
    """fails"""
    raise ValueError(reason)


async def test_a_trace_reads_like_the_plan(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(
        planner=['1. search("a")\n2. fail("$1")\n3. search.map(["b", "c"])\n4. join()'], joiner=["Done."]
    )
    tracer = Tracer()
    graph = create_llm_compiler([search, fail], model=chat_model)
    await graph.ainvoke({"messages": "Question?"}, {"callbacks": [tracer]})
    (root,) = tracer.runs
    assert tree(root) == (
        "llm_compiler",
        [
            (
                "executor",
                [
                    ("call_tool", [("fail", [])]),
                    ("call_tool", [("search", [])]),
                    ("call_tool", [("search", [])]),
                    ("call_tool", [("search", [])]),
                    ("receive_plan", []),
                ],
            ),
            ("joiner", [("join", [])]),
            ("planner", [("write_plan", [("plan", [])])]),
        ],
    )
    tools = {run.metadata["task"]: run for run in flat(root) if run.run_type == "tool"}
    assert {task: run.name for task, run in tools.items()} == {
        "1": "search",
        "2": "fail",
        "3[0]": "search",
        "3[1]": "search",
    }
    assert tools["1"].inputs == {"query": "a"}
    assert tools["1"].outputs == {"output": "a"}
    assert str(tools["2"].error).startswith("ValueError('a')")
    runs = {run.name: run for run in flat(root)}
    assert runs["plan"].run_type == runs["join"].run_type == "llm"
    assert root.error is None


async def test_an_agent_within_is_traced_under_its_task(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.handler = lambda request: (
        "Done."
        if request.is_joiner
        else '1. search("a")\n2. join()'
        if request.user.startswith("Inner")
        else '1. ask("Inner")\n2. join()'
    )
    inner = create_llm_compiler([search], model=chat_model, name="inner")
    outer = create_llm_compiler([as_tool(inner, name="ask", description="asks")], model=chat_model)
    tracer = Tracer()
    await outer.ainvoke({"messages": "Question?"}, {"callbacks": [tracer]})
    (root,) = tracer.runs
    (ask,) = [run for run in flat(root) if run.name == "ask"]
    (below,) = ask.child_runs
    assert below.name == "inner"
    assert "search" in [run.name for run in flat(below)]


def flat(run: Run) -> list[Run]:
    return [run, *(below for child in run.child_runs for below in flat(child))]


# --- LangSmith


class Collector(ThreadingHTTPServer):
    """Takes what LangSmith's client, or an OpenTelemetry exporter, sends."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.batches: list[dict[str, Any]] = []
        self.spans: list[bytes] = []
        self.keys: set[str | None] = set()


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_GET(self) -> None:
        limits = {"scale_up_qsize_trigger": 1000, "scale_up_nthreads_limit": 1, "scale_down_nempty_trigger": 4}
        size = {"size_limit": 100, "size_limit_bytes": 20_000_000}
        self._answer({"batch_ingest_config": {"use_multipart_endpoint": False, **limits, **size}})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.keys.add(self.headers.get("x-api-key"))
        if self.path.endswith("/runs/batch"):
            self.server.batches.append(json.loads(body))
        elif self.path.endswith("/traces"):
            self.server.spans.append(body)
        self._answer({})

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(collector: Collector, model_server: ModelServer, **environment: str) -> None:
    """Ask in a process of its own: LangSmith reads its switches once."""
    model_server.script(planner=[PLAN.replace("K2", "K9")], joiner=["There is no K9."])
    switches = {
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_ENDPOINT": collector.url,
        "LANGSMITH_API_KEY": "lsv2_test",
        "LANGSMITH_PROJECT": "a project",
        "LLM_COMPILER_MODEL": "openai:test-model",
        "OPENAI_BASE_URL": model_server.base_url,
    }
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    run = subprocess.run(
        prepared("-c", ASK),
        cwd=ROOT,
        env={**kept, **switches, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "There is no K9.\n"


def test_langsmith_is_switched_on_by_environment_variables(collector: Collector, model_server: ModelServer) -> None:
    ask(collector, model_server)
    posted = [run for batch in collector.batches for run in batch.get("post", ())]
    by_id = {run["id"]: run for run in posted}
    tools = {run["extra"]["metadata"]["task"]: run["name"] for run in posted if run["run_type"] == "tool"}
    assert tools == {"1[0]": "height", "1[1]": "height"}
    assert {run["name"] for run in posted if run["run_type"] == "llm"} >= {"plan", "join"}
    (root,) = [run for run in posted if not run.get("parent_run_id")]
    assert (root["name"], root["session_name"]) == ("mountains", "a project")
    assert all(run["trace_id"] == root["id"] for run in posted)
    (plan,) = [run for run in posted if run["name"] == "plan"]
    assert by_id[by_id[plan["parent_run_id"]]["parent_run_id"]]["name"] == "planner"
    assert collector.keys == {"lsv2_test"}


def test_opentelemetry_is_switched_on_by_langsmiths_variable(collector: Collector, model_server: ModelServer) -> None:
    ask(collector, model_server, LANGSMITH_OTEL_ENABLED="true", LANGSMITH_OTEL_ONLY="true")
    spans = b"".join(collector.spans)
    assert spans
    for name in (b"mountains", b"plan", b"height", b"join"):
        assert name in spans
    assert not collector.batches
