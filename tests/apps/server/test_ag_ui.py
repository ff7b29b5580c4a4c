"""The server as front ends of AG-UI see it: each event is read by the models of the protocol's own package."""

import json
from typing import Any

import httpx
from ag_ui.core import Event, RunAgentInput, UserMessage
from pydantic import TypeAdapter

from tests.support import PATIENCE
from tests.support.model_server import HttpError, ModelServer, Reply
from tests.support.serving import Serve, Tools, ask

EVENT: TypeAdapter[Any] = TypeAdapter(Event)
PLAN = '1. search("K2")\n2. join()'
TEXT = ["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END"]
CALL = ["TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END"]


def asking(*messages: Any, **more: Any) -> dict[str, Any]:
    """A request."""
    said = messages or (UserMessage(id="1", content="How tall is K2?"),)
    asked = RunAgentInput(
        thread_id="t", run_id="r", messages=list(said), state={}, tools=[], context=[], forwarded_props={}
    )
    return {**asked.model_dump(mode="json", by_alias=True), **more}


async def run(url: str, **more: Any) -> list[Any]:
    """The events of a run."""
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        response = await client.post(f"{url}ag-ui", json=asking(**more))
    assert response.status_code == 200, response.text
    events = response.text.split("\n\n")  # as the protocol's client in JavaScript reads a stream, which knows no CRLF
    return [EVENT.validate_json(event.removeprefix("data: ")) for event in events if event.startswith("data: ")]


def kinds(events: list[Any]) -> list[str]:
    """The types of events, in order; those that follow each other, once."""
    names = [event.type.value for event in events]
    return [name for place, name in enumerate(names) if name not in names[max(0, place - 1) : place]]


async def test_a_run_is_told_in_order(model_server: ModelServer, serve: Serve) -> None:
    model_server.script(planner=[PLAN], joiner=["It is 8611 m tall."])
    async with serve() as url:
        events = await run(url)
    assert kinds(events) == ["RUN_STARTED", *CALL, "TOOL_CALL_RESULT", *TEXT, "RUN_FINISHED"]
    started, call, arguments, _, result, *words, finished = events
    assert (started.thread_id, started.run_id) == (finished.thread_id, finished.run_id) == ("t", "r")
    assert (call.tool_call_name, json.loads(arguments.delta)) == ("search", {"query": "K2"})
    assert (result.tool_call_id, result.content) == (call.tool_call_id, "K2 is 8611 m")
    assert "".join(word.delta for word in words[1:-1]) == "It is 8611 m tall."
    assert len({word.message_id for word in words}) == 1


async def test_half_a_character_in_an_id_is_no_error(model_server: ModelServer, serve: Serve) -> None:
    model_server.script(planner=["1. join()"], joiner=["Hi!"])
    async with serve() as url, httpx.AsyncClient(timeout=PATIENCE) as client:
        body = json.dumps(asking(threadId="t\ud83d"))
        response = await client.post(f"{url}ag-ui", content=body, headers={"content-type": "application/json"})
    assert "RUN_FINISHED" in response.text
    assert "RUN_ERROR" not in response.text


async def test_what_turns_out_not_to_be_the_answer_is_a_message_of_its_own(
    model_server: ModelServer, serve: Serve
) -> None:
    model_server.script(
        planner=[PLAN, '2. serch("Everest")\n3. join()'],
        joiner=[Reply("Wait.", [("replan", {"feedback": "And Everest?"})]), "238 m"],
    )
    async with serve() as url:
        events = await run(url)
    again = [*CALL, "TOOL_CALL_RESULT", *TEXT]
    assert kinds(events) == ["RUN_STARTED", *again, *again, "RUN_FINISHED"]
    results = [event.content for event in events if event.type == "TOOL_CALL_RESULT"]
    assert "There is no tool 'serch'" in results[1]


async def test_what_waits_for_an_approval_says_where_to_give_it(
    model_server: ModelServer, serve: Serve, tools: Tools
) -> None:
    model_server.script(planner=['1. book("A")\n2. join()'], joiner=["Booked."])
    async with serve() as url:
        events = await run(url)
        (said,) = [event.delta for event in events if event.type == "TEXT_MESSAGE_CONTENT"]
        words, _, thread = said.partition(f"{url}#")
        assert (words, tools.called) == ("This waits for your approval: ", [])
        result = await ask(url, {"decisions": [{"type": "approve"}], "thread_id": thread})
    assert (result["answer"], tools.called) == ("Booked.", ["A"])


async def test_what_fails_is_told_without_its_inside_and_state_of_clients_is_not_taken(
    model_server: ModelServer, serve: Serve
) -> None:
    model_server.script(planner=[PLAN, PLAN], joiner=[HttpError(401, "secret"), "8611 m"])
    async with serve() as url:
        *_, failed = await run(url)
        *_, finished = await run(url, state={"plan": "forged", "messages": []})
    assert failed.type == "RUN_ERROR"
    assert "secret" not in failed.message
    assert finished.type == "RUN_FINISHED"


async def test_the_key_and_the_limits_are_those_of_the_server(serve: Serve) -> None:
    async with serve(api_key="correct horse", max_question_chars=3) as url, httpx.AsyncClient() as client:
        stranger = await client.post(f"{url}ag-ui", json=asking())
        refused = await client.post(f"{url}ag-ui", json=asking(), headers={"X-API-Key": "correct horse"})
    assert (stranger.status_code, refused.status_code) == (401, 422)
    assert "LLM_COMPILER_MAX_QUESTION_CHARS" in refused.text
