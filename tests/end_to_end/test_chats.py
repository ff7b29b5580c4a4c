"""What a chat UI shows of a run, as it happens: LangGraph's JavaScript SDK and its React hook, asking `langgraph dev`.

LangChain's own agent with the same tools is asked as well: what is shown of its decisions is shown of this one's.
"""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.langgraph_dev import Server, running
from tests.support.model_server import ChatRequest, Gate, ModelServer, Reply

SCRIPTS = ROOT / "tests/javascript"
LOOP = "paying_loop"
NAMES = ["compiler", "paying_compiler", LOOP]
QUESTION = "What are they?"

pytestmark = pytest.mark.skipif(
    not shutil.which("node") or not (SCRIPTS / "node_modules/.package-lock.json").is_file(),
    reason="Its packages are not on this machine: apt-get install nodejs npm; make tests/javascript/node_modules",
)

Moment = dict[str, Any]
"""What is to be seen at a moment: `at`, in seconds, `messages`, and the `interrupt` that is to be answered, if any."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, _running_model_server: ModelServer) -> Iterator[Server]:
    """A server with the agents."""
    graphs = {name: f"{ROOT}/tests/support/chats.py:{name}" for name in NAMES}
    with running(graphs, tmp_path_factory.mktemp("server"), _running_model_server) as server:
        yield server


async def script(
    name: str, server: Server, assistant: str, *steps: str, on: Callable[[Any], None] = lambda _: None
) -> list[Any]:
    """What a script of `tests/javascript` prints; `on` is called with each of it."""
    async with server.client():
        command = ["node", f"{name}.mjs", server.url, assistant, *(steps or [QUESTION])]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=SCRIPTS, stdout=asyncio.subprocess.PIPE, limit=10**7
        )
    printed = []
    assert process.stdout
    try:
        async for line in process.stdout:
            printed.append(json.loads(line))
            on(printed[-1])
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
    return printed


async def chat(
    server: Server, assistant: str, *steps: str, on: Callable[[list[Any]], None] = lambda _: None
) -> list[Any]:
    """The messages that a chat shows in the end. All that it shows before stays, or grows; a form for decisions is
    below what it is about."""
    moments: list[Moment] = await script("chat", server, assistant, *steps, on=lambda moment: on(moment["messages"]))
    seen: dict[str, Any] = {}
    last = {message["id"]: message for message in moments[-1]["messages"]}
    for moment in moments[1:]:
        now = {message["id"]: message for message in moment["messages"]}
        assert seen.keys() <= now.keys() <= last.keys(), "nothing comes that goes again"
        for id_, message in now.items():
            calls = [call[0] for call in message["calls"]]
            assert last[id_]["text"].startswith(message["text"]) or message["text"].startswith("Not made yet")
            assert calls == [call[0] for call in last[id_]["calls"]][: len(calls)]
            is_empty = message["type"] == "ai" and not (message["text"] or calls)
            assert not is_empty or assistant == LOOP, "no bubble is empty"
        if moment.get("interrupt"):
            assert moment["messages"][-1]["type"] in ("ai", "tool"), "Agent Chat UI shows no other form"
            made = {call[0] for message in moment["messages"] for call in message["calls"]}
            told = {message["of"] for message in moment["messages"] if message["type"] == "tool"}
            assert made == told or assistant == LOOP, "Agent Chat UI adds a result of its own to other calls"
        seen = now
    return list(moments[-1]["messages"])


def texts(messages: list[Any], kind: str) -> list[str]:
    """What messages of this type say."""
    return [message["text"] for message in messages if message["type"] == kind]


async def test_calls_results_and_answer_appear_as_they_come(server: Server, model_server: ModelServer) -> None:
    researched, written = Gate(), Gate()

    def model(request: ChatRequest) -> Reply:
        if request.is_planner:
            return Reply('1. look_up("a")\n2. research("b")\n3. join()')
        return Reply(["They are ", written, "both red."] if request.is_joiner else ["red", researched])

    order: list[str] = []

    def look(messages: list[Any]) -> None:
        if any(message["calls"] for message in messages):
            order.append("a call")
        if texts(messages, "tool") == ["about a"]:
            order.append("a result")
            researched.open()
        if texts(messages, "ai")[-1:] == ["They are "]:
            order.append("the beginning of the answer")
            written.open()

    model_server.handler = model
    messages = await chat(server, "compiler", on=look)
    assert list(dict.fromkeys(order)) == ["a call", "a result", "the beginning of the answer"]
    assert texts(messages, "tool") == ["about a", "red"]
    assert [message["type"] for message in messages] == ["human", "ai", "tool", "tool", "ai"]
    assert messages[-1]["text"] == "They are both red."
    assert {message["of"] for message in messages[2:4]} == {call[0] for call in messages[1]["calls"]}


async def test_another_plan_and_an_answer_of_its_own_appear_without_a_trace_of_how_they_came(
    server: Server, model_server: ModelServer
) -> None:
    written = Gate()
    replan = Reply("Let me look at b, too.", tool_calls=[("replan", {"feedback": "And b?"})])
    second = Reply(['2. look_up("b")\n3. join("I know $1 and', written, ' $2.")'])
    model_server.script(planner=['1. look_up("a")\n2. join()', second], joiner=[replan])

    def look(messages: list[Any]) -> None:
        if texts(messages, "ai")[-1:] == ["I know about a and"]:
            written.open()

    messages = await chat(server, "compiler", on=look)
    assert texts(messages, "ai") == ["", "Let me look at b, too.", "And b?", "I know about a and about b."]


def decision(type_: str, **given: Any) -> str:
    """The answer to a form."""
    return json.dumps({"decisions": [{"type": type_, **given}]})


@pytest.mark.parametrize("assistant", ["paying_compiler", LOOP])
async def test_calls_are_decided_about_in_every_turn(assistant: str, server: Server, model_server: ModelServer) -> None:
    numbers = count(1, 3)

    def model(request: ChatRequest) -> Reply:
        if request.is_planner:
            number = next(numbers)
            return Reply(f'{number}. look_up("a")\n{number + 1}. pay("ada", 5)\n{number + 2}. join()')
        if request.is_joiner or request.messages[-1]["role"] == "tool":
            return Reply("As you say.")
        return Reply(tool_calls=[("look_up", {"name": "a"}), ("pay", {"name": "ada", "amount": 5})])

    model_server.handler = model
    bob = {"name": "pay", "args": {"name": "bob", "amount": 7}}
    decisions = [decision("approve"), decision("edit", edited_action=bob), decision("reject", message="Not her.")]
    messages = await chat(server, assistant, *(step for one in decisions for step in ("Pay.", one)))
    assert [message["type"] for message in messages] == ["human", "ai", "tool", "tool", "ai"] * 3
    paid = [text for text in texts(messages, "tool") if text != "about a"]
    assert paid[0] == "paid 5 to ada"
    assert "paid 7 to bob" in paid[1]
    assert "Not her." in paid[2]
    if assistant != LOOP:
        calls = [message["calls"][1][2] for message in messages if message["calls"]]
        assert [call["name"] for call in calls] == ["ada", "bob", "ada"], "what was called is what is told"


async def test_the_event_stream_has_tools_progress_and_messages_under_the_ids_of_the_state(
    server: Server, model_server: ModelServer
) -> None:
    model_server.script(planner=['1. look_up("a")\n2. look_up("b")\n3. join()'], joiner=["Both are known."])
    events = await script("events", server, "compiler")
    told: dict[str, list[Any]] = {}
    for event in events:
        if not event["params"]["namespace"]:
            told.setdefault(event["method"], []).append(event["params"]["data"])
    _, plan, *_, answer = told["values"][-1]["messages"]
    started = [data for data in told["tools"] if data["event"] == "tool-started"]
    assert [data["tool_name"] for data in started] == ["look_up", "look_up"]
    begun = [data["id"] for data in told["messages"] if data["event"] == "message-start"]
    assert begun == [plan["id"], answer["id"]]
    deltas = [data["delta"] for data in told["messages"] if data["event"] == "content-block-delta"]
    words = [delta["text"] for delta in deltas if delta["type"] == "text-delta"]
    assert "".join(words) == "Both are known."
    assert len(words) > 2
    assert "task_finished" in [data.get("type") for data in told["custom"]]
