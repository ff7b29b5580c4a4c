"""`langgraph dev` serves the graphs, as Studio and every client of the LangGraph server use them."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from textwrap import indent
from typing import Any

import httpx
import pytest
from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk.client import LangGraphClient
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from agent import Context, as_tool
from tests.support import PATIENCE, ROOT
from tests.support.documents import python
from tests.support.langgraph_dev import Server, running
from tests.support.model_server import ChatRequest, Gate, ModelServer, Reply
from tests.support.mountains import PLAN, QUESTIONS

CONFIG: dict[str, Any] = json.loads((ROOT / "langgraph.json").read_text())
SCRIPTED = "scripted"
"""The graph of studio_graph.py, beside those of the repository."""

MOUNTAINS = "mountains"
"""That of mountains.py."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, _running_model_server: ModelServer) -> Iterator[Server]:
    """The server with the repository's graphs, and two that the scripted model plans for."""
    graphs: dict[str, Any] = {
        name: {**entry, "path": str(ROOT / entry["path"])} for name, entry in CONFIG["graphs"].items()
    }
    graphs[SCRIPTED] = f"{ROOT}/tests/support/studio_graph.py:graph"
    graphs[MOUNTAINS] = f"{ROOT}/tests/support/mountains.py:graph"
    with running(graphs, tmp_path_factory.mktemp("server"), _running_model_server) as server:
        yield server


def asking(question: str) -> dict[str, Any]:
    """The input with a question."""
    return {"messages": [{"role": "user", "content": question}]}


EVEREST = asking(QUESTIONS[0])


async def streamed(client: LangGraphClient, *where: Any, **how: Any) -> list[tuple[str, Any]]:
    """What a run streams; it must not fail."""
    parts = [(part.event, part.data) async for part in client.runs.stream(*where, **how)]
    assert not [data for event, data in parts if event == "error"]
    return parts


def last(values: Any) -> str:
    """What the last message says."""
    return str(values["messages"][-1]["content"])


async def test_the_snippet_of_a_client_gets_an_answer(server: Server, model_server: ModelServer) -> None:
    model_server.script(planner=['1. join("238 metres.")'])
    code = python("get_client").replace("http://127.0.0.1:2026", server.url).replace("llm_compiler", MOUNTAINS)
    given: dict[str, Any] = {}
    async with server.client():
        exec("async def ask():\n" + indent(code, "    ") + "    return state", given)
        assert last(await given["ask"]()) == "238 metres."


# --- what Studio shows


async def test_every_graph_of_the_repository_is_served_with_its_description(server: Server) -> None:
    async with server.client() as client:
        served = {
            assistant["graph_id"]: assistant["description"] for assistant in await client.assistants.search(limit=100)
        }
    described = {name: entry["description"] for name, entry in CONFIG["graphs"].items()}
    assert served == {**described, SCRIPTED: None, MOUNTAINS: None}


async def test_the_graph_is_drawn_with_the_stream_between_planner_and_executor(server: Server) -> None:
    async with server.client() as client:
        drawn: Any = await client.assistants.get_graph(MOUNTAINS)
    assert {"planner", "executor", "approval", "joiner"} <= {node["id"] for node in drawn["nodes"]}
    edges = {(edge["source"], edge["target"]): edge for edge in drawn["edges"]}
    assert edges["planner", "executor"]["conditional"]  # Studio draws it dashed
    assert edges["planner", "executor"]["data"] == "tasks"


async def test_the_schemas_are_clean_json_schemas(server: Server) -> None:
    async with server.client() as client:
        (assistant,) = await client.assistants.search(graph_id=MOUNTAINS, limit=1, sort_by="created_at")
        schemas: Any = await client.assistants.get_schemas(assistant["assistant_id"])
    assert list(schemas["input_schema"]["properties"]) == ["messages"]
    assert list(schemas["output_schema"]["properties"]) == ["messages"]
    assert "messages" in schemas["state_schema"]["properties"]
    for name in ("input_schema", "output_schema", "state_schema", "context_schema"):
        defined = schemas[name].get("$defs", {})
        for reference in _references(schemas[name]):
            assert reference.removeprefix("#/$defs/") in defined, (name, reference)
    fields = schemas["context_schema"]["properties"]
    assert fields.keys() == Context.model_fields.keys()
    for name, field in fields.items():
        assert field["description"], name
        assert "type" in field or "anyOf" in field, name


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


# --- running


async def test_each_stream_mode_shows_its_side_of_a_run(server: Server, model_server: ModelServer) -> None:
    model_server.script(planner=[PLAN, '1. height("K9")\n2. join()'], joiner=["I know of no K9, and can't tell."])
    modes: Any = ["values", "updates", "messages-tuple", "custom", "tasks"]
    async with server.client() as client:
        thread = await client.threads.create()
        parts = await streamed(client, thread["thread_id"], MOUNTAINS, input=EVEREST, stream_mode=modes)
        state: Any = await client.threads.get_state(thread["thread_id"])
        failing = asking("How tall is K9?")  # so that the joiner is asked
        joined = await streamed(client, None, MOUNTAINS, input=failing, stream_mode="messages-tuple")
    spoken = [data for event, data in joined if event == "messages"]
    pieces = [message["content"] for message, about in spoken if about["langgraph_node"] == "joiner"]
    assert len(pieces) > 3
    assert "".join(pieces) == "I know of no K9, and can't tell."
    seen: dict[str, list[Any]] = {}
    for event, data in parts:
        seen.setdefault(event, []).append(data)
    assert "238" in last(seen["values"][-1])
    assert seen["values"][-1]["messages"] == state["values"]["messages"]
    assert {"planner", "executor", "joiner"} <= {node for update in seen["updates"] for node in update}
    kinds = Counter(event["type"] for event in seen["custom"])
    assert (kinds["task_planned"], kinds["task_started"], kinds["task_finished"]) == (3, 3, 3)
    started = [task for task in seen["tasks"] if "input" in task]
    finished = [task for task in seen["tasks"] if "result" in task]
    assert {"planner", "executor", "joiner"} <= {task["name"] for task in started} & {task["name"] for task in finished}
    # The conversation is one that every chat UI can show: calls, and a result for each.
    _, plan, *results, _ = state["values"]["messages"]
    assert [call["id"] for call in plan["tool_calls"]] == [result["tool_call_id"] for result in results]


async def test_a_thread_has_more_than_one_turn(server: Server, model_server: ModelServer) -> None:
    model_server.script(
        planner=['1. height("K2")\n2. join("$1 m.")', '3. height("Mount Everest")\n4. join("$3 m.")'],
    )
    async with server.client() as client:
        thread = await client.threads.create()
        for question, answer in [("How tall is K2?", "8611"), ("And Mount Everest?", "8849")]:
            values = await client.runs.wait(thread["thread_id"], MOUNTAINS, input=asking(question))
            assert answer in last(values)
        state: Any = await client.threads.get_state(thread["thread_id"])
    assert [m["content"] for m in state["values"]["messages"] if m["type"] == "human"] == [
        "How tall is K2?",
        "And Mount Everest?",
    ]


async def test_an_assistant_has_a_context_of_its_own(server: Server, model_server: ModelServer) -> None:
    model_server.handler = lambda request: PLAN if request.is_planner else "I can't tell."
    async with server.client() as client:
        assistant = await client.assistants.create(MOUNTAINS, context={"max_tasks": 1}, name="hasty")
        values: Any = await client.runs.wait(None, assistant["assistant_id"], input=EVEREST)
        failed = [m["content"] for m in values["messages"] if m["type"] == "tool" and m["status"] == "error"]
        assert any("max_tasks" in text for text in failed)


@pytest.mark.parametrize(("context", "named"), [({"max_tasks": "many"}, "max_tasks"), ({"model": "no:such"}, "'no'")])
async def test_a_wrong_context_is_refused_with_a_message(server: Server, context: dict[str, Any], named: str) -> None:
    """Unknown keys never reach the graph: the server itself drops them."""
    async with server.client() as client:
        stream = client.runs.stream(None, MOUNTAINS, input=EVEREST, context=context)
        errors = [part.data for part in [part async for part in stream] if part.event == "error"]
    assert named in errors[0]["message"]


async def test_runs_at_once_each_get_their_own_answer(server: Server, model_server: ModelServer) -> None:
    def answer(request: ChatRequest) -> str:
        name = request.user.split()[1]
        return f'1. research("{name}")\n2. join()' if request.is_planner else f"about {name}"

    model_server.handler = lambda request: answer(request) if request.role != "other" else f"{request.user} is red"
    async with server.client() as client:
        results: list[Any] = await asyncio.gather(
            *(client.runs.wait(None, SCRIPTED, input=asking(f"What's subject{n} like?")) for n in range(5))
        )
    for number, values in enumerate(results):
        assert last(values) == f"about subject{number}"
        assert values["messages"][-2]["content"] == f"subject{number} is red"


# --- what the server speaks beside its own protocol


async def test_each_graph_is_a_tool_of_its_mcp_endpoint(server: Server, model_server: ModelServer) -> None:
    model_server.script(planner=[PLAN])
    async with (
        server.client(),
        streamable_http_client(f"{server.url}/mcp") as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        result = await session.call_tool(MOUNTAINS, EVEREST)
    named = CONFIG["graphs"].keys() - {"llm_compiler"}  # which may be any graph, with a name of its own
    assert tools.keys() >= {*named, SCRIPTED, MOUNTAINS}
    described = {graph["description"] for graph in CONFIG["graphs"].values()}
    assert described <= {tool.description for tool in tools.values()}
    (block,) = result.content
    assert (block.type, result.isError) == ("text", False)
    assert "Mount Everest is 238 m taller than K2." in block.text


async def test_each_graph_answers_another_agent(server: Server, model_server: ModelServer) -> None:
    """A2A, the protocol between agents."""
    model_server.script(planner=[PLAN])
    message = {"role": "user", "messageId": "1", "parts": [{"kind": "text", "text": QUESTIONS[0]}]}
    request = {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {"message": message}}
    async with server.client() as client, httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as other:
        (assistant,) = await client.assistants.search(graph_id=MOUNTAINS, metadata={"created_by": "system"})
        headers = {"Accept": "application/json"}
        answer = await other.post(f"/a2a/{assistant['assistant_id']}", json=request, headers=headers)
    task = answer.json()["result"]
    assert task["status"]["state"] == "completed"
    (artifact,) = task["artifacts"]
    (part,) = artifact["parts"]
    assert part["text"] == "Mount Everest is 238 m taller than K2."


# --- stopping, pausing, going back


async def test_each_graph_is_a_tool_of_another_agent(server: Server, model_server: ModelServer) -> None:
    model_server.script(planner=['1. join("238 metres.")'])
    async with server.client() as client:
        asked = as_tool(RemoteGraph(MOUNTAINS, client=client), name="mountains", description="knows mountains")
        assert await asked.ainvoke({"question": QUESTIONS[0]}) == "238 metres."


async def test_a_cancelled_run_stops_its_tools(server: Server, model_server: ModelServer) -> None:
    gate = Gate()
    model_server.script(Reply(["red", gate]), planner=['1. research("apples")\n2. join()'])
    async with server.client() as client:
        thread = await client.threads.create()
        run = await client.runs.create(thread["thread_id"], SCRIPTED, input=asking("What are apples like?"))
        await gate.reached()
        await client.runs.cancel(thread["thread_id"], run["run_id"], wait=True)
        asked = await model_server.exchange(0, "other")
        await asked.until(lambda: asked.state == "disconnected")
        assert (await client.runs.get(thread["thread_id"], run["run_id"]))["status"] == "interrupted"


async def test_an_approval_interrupts_the_run_and_resumes_it(server: Server, model_server: ModelServer) -> None:
    model_server.script("red", planner=['1. research("apples")\n2. book("LH1")\n3. join()'], joiner=["Booked."])
    async with server.client() as client:
        thread = await client.threads.create()
        await streamed(client, thread["thread_id"], SCRIPTED, input=asking("Book it."))
        state: Any = await client.threads.get_state(thread["thread_id"])
        (waiting,) = state["interrupts"]
        (request,) = waiting["value"]["action_requests"]
        assert (request["name"], request["args"]) == ("book", {"flight": "LH1"})
        assert (await client.threads.get(thread["thread_id"]))["status"] == "interrupted"
        edited = {"type": "edit", "edited_action": {"name": "book", "args": {"flight": "LH2"}}}
        values = await client.runs.wait(thread["thread_id"], SCRIPTED, command={"resume": {"decisions": [edited]}})
    assert last(values) == "Booked."
    assert [m["content"] for m in values["messages"] if m["type"] == "tool"] == ["red", "booked LH2"]  # type: ignore[call-overload]


def how_tall(request: ChatRequest) -> str:
    """The plan for a question about one mountain."""
    return f'1. height("{"Mount Everest" if "Everest" in request.user else "K2"}")\n2. join("$1 m.")'


async def test_a_thread_is_forked_from_any_checkpoint(server: Server, model_server: ModelServer) -> None:
    model_server.handler = how_tall
    async with server.client() as client:
        thread = await client.threads.create()
        name = thread["thread_id"]
        await client.runs.wait(name, MOUNTAINS, input=asking("How tall is K2?"))
        history: Any = await client.threads.get_history(name, limit=50)
        unfinished = [state for state in history if state["next"]]
        assert {node for state in unfinished for node in state["next"]} >= {"planner", "executor", "joiner"}
        for state in unfinished:
            values = await client.runs.wait(name, MOUNTAINS, input=None, checkpoint=state["checkpoint"])
            assert "8611" in last(values), state["next"]


async def test_an_edited_message_is_answered_anew(server: Server, model_server: ModelServer) -> None:
    model_server.handler = how_tall
    async with server.client() as client:
        name = (await client.threads.create())["thread_id"]
        await client.runs.wait(name, MOUNTAINS, input=asking("How tall is K2?"))
        history: Any = await client.threads.get_history(name, limit=50)
        (asked,) = [state for state in history if "planner" in state["next"]]
        edited = {**asked["values"]["messages"][0], "content": "How tall is Mount Everest?"}
        fork: Any = await client.threads.update_state(name, {"messages": [edited]}, checkpoint=asked["checkpoint"])
        values = await client.runs.wait(name, MOUNTAINS, input=None, checkpoint=fork["checkpoint"])
    assert "8849" in last(values)
    assert all("8611" not in message["content"] for message in values["messages"])


# --- last, because it looks at what all the others made the server print

ITS_OWN = ("`durability` has no effect", "Remove `format_exc_info`")
"""Warnings that the server gives for every graph, of a stateless run and of a run that fails."""


async def test_the_server_warns_of_nothing_of_ours(server: Server) -> None:
    async with server.client():
        pass
    printed = server.log.read_text()
    assert "Blocking call" not in printed
    warnings = [line for line in printed.splitlines() if "Warning: " in line]
    assert not [line for line in warnings if not any(known in line for known in ITS_OWN)]
