"""The server as OpenAI's own client sees it."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from apps.runs import graphs
from apps.server.app import create_app
from apps.server.limits import Limits
from tests.support import PATIENCE
from tests.support.model_server import Gate, HttpError, ModelServer, Reply
from tests.support.serving import Serve, Tools, ask, post, serving

PLAN = '1. search("K2")\n2. join()'
QUESTION: list[Any] = [{"role": "user", "content": "How tall is K2?"}]
KEY = "correct horse"


def client(url: str, key: str = "unused") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}v1", api_key=key, max_retries=0, timeout=PATIENCE)


async def test_a_question_is_answered(model_server: ModelServer, serve: Serve) -> None:
    model_server.script(planner=[PLAN], joiner=["8611 m"])
    async with serve() as url, client(url) as remote:
        (model,) = (await remote.models.list()).data
        done = await remote.chat.completions.create(model=model.id, messages=QUESTION)
    (choice,) = done.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "8611 m", "stop")
    assert done.model == model.id == "llm_compiler"
    assert done.usage
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens > 0
    assert "reasoning_content" not in (choice.message.model_extra or {})


async def test_an_answer_is_streamed_with_the_plan_as_reasoning(model_server: ModelServer, serve: Serve) -> None:
    model_server.script(
        planner=[PLAN, '2. search("Everest")\n3. join()'],
        joiner=[Reply("Wait.", [("replan", {"feedback": "And Everest?"})]), "238 m"],
    )
    async with serve() as url, client(url) as remote:
        stream = await remote.chat.completions.create(
            model="llm_compiler",
            messages=[{"role": "developer", "content": "Be brief."}, *QUESTION],
            reasoning_effort="low",
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    *parts, stop, totals = chunks
    deltas = [chunk.choices[0].delta for chunk in parts]
    reasons = "".join((delta.model_extra or {}).get("reasoning_content", "") for delta in deltas)
    assert reasons == f'{PLAN}\n\nPlanned again: And Everest?\n2. search("Everest")\n3. join()'
    assert "".join(delta.content or "" for delta in deltas).split("\n\n")[-1] == "238 m"
    assert (deltas[0].role, stop.choices[0].finish_reason) == ("assistant", "stop")
    assert totals.usage
    assert totals.usage.total_tokens > 0


async def test_a_conversation_is_the_clients_to_keep(model_server: ModelServer, serve: Serve) -> None:
    model_server.script(planner=[PLAN, PLAN, PLAN, "2. join()"], joiner=["8611 m"] * 3 + ["Sure."])
    async with serve(max_threads=2, max_runs=2) as url, client(url) as remote:
        await ask(url, {"question": "How tall is K2?", "thread_id": "t"})
        messages = [*QUESTION, {"role": "assistant", "content": "Some 8600 m."}, {"role": "user", "content": "Sure?"}]
        for _ in range(2):
            await remote.chat.completions.create(model="llm_compiler", messages=messages)
        await ask(url, {"question": "Sure?", "thread_id": "t"})
    first, second, _, last = [request for request in model_server.requests if request.is_planner]
    assert "8600" not in str(first.messages)
    assert "8600" in str(second.messages)
    assert "8611 m" in str(last.messages), "no thread has taken the place of this one"


async def test_what_waits_for_an_approval_says_where_to_give_it(
    model_server: ModelServer, serve: Serve, tools: Tools
) -> None:
    model_server.script(planner=['1. book("A")\n2. join()'], joiner=["Booked."])
    async with serve() as url, client(url) as remote:
        done = await remote.chat.completions.create(model="llm_compiler", messages=QUESTION)
        said, _, thread = str(done.choices[0].message.content).partition(f"{url}#")
        assert said == "This waits for your approval: "
        result = await ask(url, {"decisions": [{"type": "approve"}], "thread_id": thread})
    assert (result["answer"], tools.called) == ("Booked.", ["A"])


TOOL: dict[str, Any] = {"type": "function", "function": {"name": "f"}}
TOOLS_OF_ANOTHER_MODEL: list[Any] = [
    {"role": "assistant", "content": None, "tool_calls": [{**TOOL, "id": "1"}]},
    {"role": "tool", "tool_call_id": "1", "content": "12"},
    {"role": "assistant", "tool_calls": [{**TOOL, "id": "2"}]},
    {"role": "tool", "tool_call_id": "2", "content": "13"},
]
TITLE = (
    '### Task:\nGenerate a title. JSON format: {"title": "…"}\n<chat_history>\nUSER: How tall is K2?\n</chat_history>'
)


@pytest.mark.parametrize(
    "request_",
    [
        {"temperature": 0.2, "max_tokens": 16, "max_completion_tokens": 1000, "stop": ["x"], "user": "ann", "seed": 1},
        {"user": {"name": "Ann"}, "metadata": {"task": "title"}, "tools": [], "tool_choice": "none", "n": 1},
        {"response_format": {"type": "text"}, "stream_options": None, "reasoning_effort": None, "store": False},
        {"messages": [{"role": "user", "content": TITLE}]},
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "system", "content": "Be kind."},
                *QUESTION,
            ]
        },
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {}}]}]},
        {"messages": [*QUESTION, {"role": "assistant", "content": ""}, *QUESTION]},
        {"messages": [*QUESTION, *TOOLS_OF_ANOTHER_MODEL, *QUESTION]},
    ],
    ids=lambda request: ", ".join(request),
)
async def test_what_chats_send_is_answered(model_server: ModelServer, serve: Serve, request_: dict[str, Any]) -> None:
    model_server.script(planner=["1. join()"], joiner=["8611 m"])
    async with serve() as url, client(url) as remote:
        model = await remote.models.retrieve("llm_compiler")
        done = await remote.chat.completions.create(**{"model": model.id, "messages": QUESTION, **request_})
    assert done.choices[0].message.content == "8611 m"


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"tools": [TOOL]}, "the agent has its own, and calls no others"),
        ({"functions": [{"name": "f"}]}, "the agent has tools of its own"),
        ({"response_format": {"type": "json_object"}}, "answers have the form that the agent was made for"),
        ({"n": 2}, "there is one answer"),
        ({"n": -1}, "n: Input should be greater than or equal to 1"),
        ({"stream": "yes"}, "stream: Input should be a valid boolean"),
        ({"messages": []}, "messages is empty"),
        ({"messages": "Hi"}, "messages: Input should be a valid list"),
        ({"messages": [{"role": "user", "content": "x" * 101}]}, "LLM_COMPILER_MAX_QUESTION_CHARS"),
        ({"messages": [{"role": "system", "content": "A title?"}]}, "The last message is the system's"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "content: Only text can be read.*'image_url'",
        ),
    ],
    ids=lambda given: ", ".join(given) if isinstance(given, dict) else "",
)
async def test_what_can_not_be_met_is_refused_with_the_reason(serve: Serve, request_: dict[str, Any], why: str) -> None:
    async with serve(max_question_chars=100) as url, client(url) as remote:
        with pytest.raises(openai.UnprocessableEntityError, match=why) as refused:
            await remote.chat.completions.create(**{"model": "llm_compiler", "messages": QUESTION, **request_})
    assert refused.value.type == "invalid_request_error"


async def test_a_stream_begins_with_the_plan(model_server: ModelServer, serve: Serve) -> None:
    gate = Gate()
    model_server.script(planner=[Reply(["1. ", gate, "join()"])], joiner=["8611 m"])
    async with serve() as url, client(url) as remote:
        stream = await remote.chat.completions.create(model="llm_compiler", messages=QUESTION, stream=True)
        assert (await anext(stream)).choices[0].delta.content == ""
        gate.open()
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "8611 m"


async def test_who_may_not_ask_and_what_fails_is_an_error_of_the_client(
    model_server: ModelServer, serve: Serve
) -> None:
    model_server.script(planner=[HttpError(401, "no")])
    async with (
        serve(api_key=KEY) as url,
        client(url, KEY) as remote,
        client(url, "wrong") as stranger,
    ):
        create = partial(remote.chat.completions.create, model="llm_compiler", messages=QUESTION)
        with pytest.raises(openai.AuthenticationError, match="not the server's key"):
            await stranger.models.list()
        with pytest.raises(openai.NotFoundError, match=r"'gpt-x'\. The models are: llm_compiler\."):
            await create(model="gpt-x")
        with pytest.raises(openai.NotFoundError, match=r"'gpt-x'\. The models are: llm_compiler\."):
            await remote.models.retrieve("gpt-x")
        with pytest.raises(openai.APIStatusError, match="refused the key") as failed:
            await create(stream=True)
        assert failed.value.status_code == 502


async def test_a_client_who_goes_takes_the_run_along(model_server: ModelServer, serve: Serve, tools: Tools) -> None:
    model_server.script(planner=[PLAN])
    tools.close("K2")
    async with serve() as url, client(url) as remote:
        stream = await remote.chat.completions.create(
            model="llm_compiler", messages=QUESTION, stream=True, reasoning_effort="high"
        )
        await tools.until(lambda: tools.called == ["K2"])
        await stream.close()
        await tools.until(lambda: tools.cancelled == ["K2"])


# --- each graph is a model

SHOP = """
from langchain_core.tools import tool
from agent import create_llm_compiler

@tool
def buy(thing: str) -> str:
    "buys a thing"
    return f"{thing} is bought"

buy.metadata = {"requires_approval": True}
graph = create_llm_compiler([buy])
"""
MOUNTAINS = """
from agent import create_llm_compiler

def height(of: str) -> int:
    "a height"
    return 8611

graph = create_llm_compiler([height])
"""
MODELS = ["mountains", "shop", "needs_more", "has_a_secret"]


@pytest.fixture
def project(model_server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose `langgraph.json` lists two agents, and two that can't be loaded; the second agent is served."""
    modules = {
        "shop": SHOP,
        "mountains": MOUNTAINS,
        "needs_more": "import no_such_package",
        "has_a_secret": "raise ValueError('hunter2')",
    }
    for name, text in modules.items():
        (tmp_path / f"of_models_{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, f"of_models_{name}", raising=False)
    places = {name: f"./of_models_{name}.py:graph" for name in modules}
    (tmp_path / "langgraph.json").write_text(json.dumps({"graphs": places}))
    monkeypatch.setattr(graphs, "FILE", tmp_path / "langgraph.json")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("LLM_COMPILER_GRAPH", "mountains")
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    monkeypatch.setenv("OPENAI_BASE_URL", model_server.base_url)
    return tmp_path


@pytest.mark.usefixtures("project")
async def test_each_graph_is_a_model_and_the_served_one_is_the_first() -> None:
    async with serving(create_app(limits=Limits())) as url, client(url) as remote:
        assert [model.id for model in (await remote.models.list()).data] == MODELS
        assert [(await remote.models.retrieve(name)).id for name in MODELS] == MODELS
        with pytest.raises(openai.NotFoundError, match=f"The models are: {', '.join(MODELS)}\\."):
            await remote.models.retrieve("gpt-x")


@pytest.mark.usefixtures("project")
async def test_a_completion_runs_the_graph_that_it_names(model_server: ModelServer) -> None:
    model_server.script(planner=["1. join()", "1. join()"], joiner=["We sell all.", "High."])
    async with serving(create_app(limits=Limits())) as url, client(url) as remote:
        done = await remote.chat.completions.create(model="shop", messages=QUESTION)
        stream = await remote.chat.completions.create(model="mountains", messages=QUESTION, stream=True)
        chunks = [chunk async for chunk in stream]
    assert (done.model, done.choices[0].message.content) == ("shop", "We sell all.")
    assert {chunk.model for chunk in chunks} == {"mountains"}
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "High."
    shop, mountains = [request.system for request in model_server.requests if request.is_planner]
    assert ("buy(" in shop, "height(" in shop) == (True, False)
    assert ("buy(" in mountains, "height(" in mountains) == (False, True)


@pytest.mark.usefixtures("project")
async def test_where_the_answer_begins_the_reasoning_ends(model_server: ModelServer) -> None:
    rest = Gate()
    model_server.script(planner=[Reply(['1. join("K2 ', "is a ", rest, "high ", "mountain ", 'of 8611 m.")'])])
    deltas = []
    async with serving(create_app(limits=Limits())) as url, client(url) as remote:
        stream = await remote.chat.completions.create(
            model="mountains", messages=QUESTION, reasoning_effort="low", stream=True
        )
        async for chunk in stream:
            deltas.append(chunk.choices[0].delta.model_dump())
            if deltas[-1]["content"]:
                rest.open()
    said = [bool(delta["content"]) for delta in deltas if delta["content"] or delta.get("reasoning_content")]
    assert said == sorted(said), "first False, then True"
    assert said.count(True) > 1


async def test_what_waits_for_an_approval_goes_on_with_its_graph_at_any_server(
    model_server: ModelServer, project: Path
) -> None:
    model_server.script(planner=['1. buy("shoes")\n2. join()'], joiner=["Bought."])
    database = f"sqlite:///{project}/threads.db"
    async with serving(create_app(limits=Limits(), database=database)) as url, client(url) as remote:
        done = await remote.chat.completions.create(model="shop", messages=QUESTION)
    thread = str(done.choices[0].message.content).rpartition("#")[2]
    async with serving(create_app(limits=Limits(), database=database)) as url:
        result = await ask(url, {"decisions": [{"type": "approve"}], "thread_id": thread})
    assert (result["answer"], result["tasks"][0]["result"]) == ("Bought.", "shoes is bought")


@pytest.mark.parametrize(
    ("name", "why"), [("needs_more", "no_such_package is not installed"), ("has_a_secret", "ValueError")]
)
async def test_a_graph_that_can_not_be_loaded_says_why_and_nothing_of_the_servers_inside(
    project: Path, name: str, why: str
) -> None:
    async with serving(create_app(limits=Limits())) as url, client(url) as remote:
        with pytest.raises(openai.InternalServerError) as failed:
            await remote.chat.completions.create(model=name, messages=QUESTION)
    body = failed.value.response.json()
    said = f"The graph can't be loaded ({why}). The log of this server says more."
    assert body == {"error": {"message": said, "type": "server_error", "param": None, "code": None}}
    assert str(project) not in said


async def test_a_thread_whose_graph_is_gone_says_so(model_server: ModelServer, project: Path) -> None:
    model_server.script(planner=['1. buy("shoes")\n2. join()'])
    async with serving(create_app(limits=Limits())) as url, client(url) as remote:
        done = await remote.chat.completions.create(model="shop", messages=QUESTION)
        thread = str(done.choices[0].message.content).rpartition("#")[2]
        (project / "langgraph.json").write_text('{"graphs": {"mountains": "./of_models_mountains.py:graph"}}')
        async with httpx.AsyncClient(timeout=PATIENCE) as browser:
            shown = await browser.get(f"{url}agent/threads/{thread}")
        decided = await post(url, "invoke", {"input": {"decisions": [{"type": "approve"}], "thread_id": thread}})
    for response in (shown, decided):
        assert response.status_code == 500
        assert response.json()["message"].startswith("The graph can't be loaded (it is not there any more).")
