"""Coming back to a thread over real HTTP: what it holds, and the run that goes on in it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from apps.server.streams import KEPT_CHARS, LiveRun, Message
from tests.support import PATIENCE
from tests.support.model_server import HttpError, ModelServer
from tests.support.serving import Events, Serve, Tools, ask, post, streaming
from tests.support.waiting import let_pass

PLAN = '1. search("K2")\n2. join()'
QUESTION = {"question": "How tall is K2?", "thread_id": "t"}


async def conversation(url: str, thread: str = "t") -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        response = await client.get(f"{url}agent/threads/{thread}")
    assert response.status_code == 200, response.text
    return dict(response.json())


async def delete(url: str, path: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        return await client.delete(f"{url}agent/threads/{path}")


@asynccontextmanager
async def reading_again(url: str) -> AsyncIterator[Events]:
    async with (
        httpx.AsyncClient(timeout=PATIENCE) as client,
        client.stream("POST", f"{url}agent/threads/t/stream", json={}) as response,
    ):
        assert response.status_code == 200
        yield Events(response)


async def start_and_leave(url: str, **input: Any) -> None:
    async with streaming(url, {**QUESTION, **input}, on_disconnect="continue") as events:
        await events.until("plan_finished")  # and so it can be resumed


async def test_a_run_goes_on_without_its_client_and_is_read_again(
    model_server: ModelServer, serve: Serve, tools: Tools
) -> None:
    model_server.script(planner=[PLAN], joiner=["8611 m"])
    door = tools.close("K2")
    async with serve() as url:
        await start_and_leave(url)
        running = await conversation(url)
        assert running["state"] == "running"
        assert [(turn["question"], turn["answer"]) for turn in running["turns"]] == [(QUESTION["question"], None)]
        async with reading_again(url) as one, reading_again(url) as other:
            for events in (one, other):
                await events.until("plan_started")
                await events.until("task_started")
            door.set()
            for events in (one, other):
                assert (await events.until("result"))["answer"] == "8611 m"
                assert [kind async for kind, _ in events] == ["end"]
        (turn,) = (await conversation(url))["turns"]
        assert (turn["answer"], [task["result"] for task in turn["tasks"]]) == ("8611 m", ["K2 is 8611 m"])
        assert (await post(url, "threads/t/stream", {})).status_code == 404
    assert tools.called == ["K2"]


async def test_a_run_is_stopped_and_resumed(
    model_server: ModelServer, serve: Serve, tools: Tools, tmp_path: Path
) -> None:
    model_server.script(planner=[PLAN], joiner=["8611 m"])
    door = tools.close("K2")
    async with serve(f"sqlite:///{tmp_path}/threads.db") as url:
        await start_and_leave(url)
        await tools.until(lambda: tools.called == ["K2"])
        assert (await delete(url, "t/stream")).status_code == 204
        assert tools.cancelled == ["K2"]
        stopped = await conversation(url)
        assert (stopped["state"], stopped["turns"][0]["answer"]) == ("broken", None)
        door.set()
        assert (await ask(url, {"resume": True, "thread_id": "t"}))["answer"] == "8611 m"
        assert (await delete(url, "t/stream")).status_code == 204
        assert (await conversation(url))["state"] == "finished"


async def test_a_conversation_has_every_turn_and_how_it_came_about(model_server: ModelServer, serve: Serve) -> None:
    model_server.script(
        planner=[PLAN, '2. book("A")\n3. join()', '3. search("C")\n4. join()'],
        joiner=["8611 m", "Booked.", HttpError(401, "no")],
    )
    async with serve() as url:
        await ask(url, QUESTION)
        await ask(url, {**QUESTION, "question": "Book a flight."})
        waiting = await conversation(url)
        assert waiting["state"] == "waiting"
        first, second = waiting["turns"]
        assert (first["question"], first["answer"], first["plans"]) == (QUESTION["question"], "8611 m", [PLAN])
        assert second["approval"]["request"]["action_requests"][0]["args"] == {"flight": "A"}
        assert second["plans"] == ['2. book("A")\n3. join()']

        await ask(url, {"decisions": [{"type": "approve"}], "thread_id": "t"})
        done = await conversation(url)
        assert (done["state"], done["turns"][1]["approval"]) == ("finished", None)
        assert [(task["task"], task["result"]) for task in done["turns"][1]["tasks"]] == [(2, "booked A")]

        assert (await post(url, "invoke", {"input": {**QUESTION, "question": "And C?"}})).status_code == 502
        broken = await conversation(url)
        assert broken["state"] == "broken"
        assert [turn["answer"] for turn in broken["turns"]] == ["8611 m", "Booked.", None]


async def test_a_conversation_is_forgotten_with_what_runs_in_it(
    model_server: ModelServer, serve: Serve, tools: Tools
) -> None:
    model_server.script(planner=[PLAN, PLAN], joiner=["8611 m"])
    async with serve() as url:
        await ask(url, QUESTION)
        tools.close("K2")
        await start_and_leave(url)
        assert (await delete(url, "t")).status_code == 204
        assert tools.cancelled == ["K2"]
        for path in ("t", "nobody"):
            async with httpx.AsyncClient(timeout=PATIENCE) as client:
                gone = await client.get(f"{url}agent/threads/{path}")
            assert gone.status_code == 404
            assert gone.json()["message"] == f"There is no thread '{path}'."
        assert (await delete(url, "t")).status_code == 204


async def test_what_another_client_reads_is_not_forgotten(
    model_server: ModelServer, serve: Serve, tools: Tools
) -> None:
    model_server.script(planner=[PLAN], joiner=["8611 m"])
    door = tools.close("K2")
    async with serve() as url, streaming(url, QUESTION) as events:
        await events.until("task_started")
        assert (await delete(url, "t")).status_code == 409
        door.set()
        assert (await events.until("result"))["answer"] == "8611 m"


async def test_runs_that_go_on_are_bounded(model_server: ModelServer, serve: Serve, tools: Tools) -> None:
    model_server.script(planner=[PLAN] * 2)
    tools.close("K2")
    async with serve(max_runs=2) as url:
        for thread in ("t", "u"):
            await start_and_leave(url, thread_id=thread)
        full = await post(url, "stream", {"input": {**QUESTION, "thread_id": "v"}, "on_disconnect": "continue"})
        assert full.status_code == 503
        assert full.headers["Retry-After"]
        nameless = await post(url, "stream", {"input": "How tall is K2?", "on_disconnect": "continue"})
        assert nameless.status_code == 422
        assert "thread_id" in nameless.json()["message"]
    assert tools.cancelled == ["K2", "K2"], "they end with the server"


async def test_a_run_that_goes_on_ends_in_its_time(model_server: ModelServer, serve: Serve, tools: Tools) -> None:
    model_server.script(planner=[PLAN])
    tools.close("K2")
    async with serve(run_timeout=1000) as url:
        await start_and_leave(url)
        await tools.until(lambda: tools.called == ["K2"])
        let_pass(1000)
        await tools.until(lambda: tools.cancelled == ["K2"])


async def test_what_a_run_has_told_is_kept_up_to_a_size() -> None:
    """The last of it is kept, however long it is."""

    async def messages() -> AsyncGenerator[Message]:
        for number in range(100):
            yield {"event": "data", "data": f"{number} " + "x" * (KEPT_CHARS // 10)}
        yield {"event": "data", "data": "result" + "x" * 2 * KEPT_CHARS}

    source = messages()
    run = LiveRun("?", source, source)
    early = [message["data"] async for message in run.read()]
    late = [message["data"] async for message in run.read()]
    assert early[-1].startswith("result")
    assert late[-1].startswith("result")
    assert sum(map(len, late[:-1])) <= KEPT_CHARS
