"""PostgreSQL is restarted under a server, in order and as after a crash: what runs goes on, and what is asked in the
meantime is answered or refused in so many words."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import httpx
import psycopg

from tests.support import PATIENCE
from tests.support.model_server import ChatRequest, ModelServer
from tests.support.serving import Serve, Tools, ask, post, streaming
from tests.support.waiting import until

Restart = Callable[[str], Awaitable[None]]

QUESTION = "How tall is K2?"


def model(request: ChatRequest) -> str:
    """Plans the call that the question wants."""
    if request.role == "joiner":
        return "8611 m"
    asked = re.findall(r"(?:How tall is (\w+)\?|Book (\w+)\.)", str(request.messages[-1]))
    mountain, flight = asked[-1]
    number = 1 + 2 * (len(asked) - 1)
    return f'{number}. search("{mountain}")\n{number + 1}. join()' if mountain else f'{number}. book("{flight}")'


async def are_locked(url: str, threads: int) -> bool:
    """Whether so many threads are locked in the database."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = await connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        return await cursor.fetchone() == (threads,)


async def test_runs_go_on_and_threads_stay_locked(
    restart_postgres: Restart, postgres_url: str, model_server: ModelServer, serve: Serve, tools: Tools
) -> None:
    model_server.handler = model
    door = tools.close("K2")
    async with serve(postgres_url) as url, streaming(url, {"question": QUESTION, "thread_id": "read"}) as events:
        await events.until("task_started")
        alone = {"input": {"question": QUESTION, "thread_id": "alone"}, "on_disconnect": "continue"}
        async with streaming(url, **alone) as others:
            await others.until("task_started")
        assert (await ask(url, {"question": "Book LH1.", "thread_id": "waits"}))["approval"]

        await restart_postgres("immediate")

        await until(lambda: are_locked(postgres_url, 2))
        async with serve(postgres_url) as other:
            for thread in ("read", "alone"):
                refused = await post(other, "invoke", {"input": {"question": QUESTION, "thread_id": thread}})
                assert refused.status_code == 409
        assert (await ask(url, {"question": "How tall is Lhotse?", "thread_id": "new"}))["answer"] == "8611 m"
        approved = await ask(url, {"decisions": [{"type": "approve"}], "thread_id": "waits"})
        assert [task["result"] for task in approved["tasks"]] == ["booked LH1"]
        door.set()
        assert (await events.until("result"))["answer"] == "8611 m"

        async def has_ended() -> bool:
            async with httpx.AsyncClient(timeout=PATIENCE) as client:
                known = (await client.get(f"{url}agent/threads/alone")).json()
            return bool(known["state"] == "finished" and known["turns"][0]["answer"] == "8611 m")

        await until(has_ended)
    assert sorted(tools.called) == ["K2", "K2", "LH1", "Lhotse"]


async def test_what_is_asked_in_the_meantime_is_answered_or_refused(
    restart_postgres: Restart, postgres_url: str, model_server: ModelServer, serve: Serve, tools: Tools
) -> None:
    model_server.handler = model
    statuses: dict[str, int] = {}
    restarting = True

    async def ask_and_ask(url: str, name: str) -> None:
        turn = 0
        while restarting or turn < 2:
            thread, turn = f"{name}-{turn}", turn + 1
            response = await post(url, "invoke", {"input": {"question": QUESTION, "thread_id": thread}})
            statuses[thread] = response.status_code
            assert response.status_code in (200, 503), response.text

    async with serve(postgres_url) as url:
        asking = [asyncio.create_task(ask_and_ask(url, name)) for name in "abcd"]
        await tools.until(lambda: len(tools.called) > 4)
        await restart_postgres("fast")
        restarting = False
        await asyncio.gather(*asking)
        assert (await ask(url, {"question": QUESTION, "thread_id": "new"}))["answer"] == "8611 m"
        for thread, status in statuses.items():
            async with httpx.AsyncClient(timeout=PATIENCE) as client:
                known = await client.get(f"{url}agent/threads/{thread}")
            if status == 200:
                assert known.json()["turns"][0]["answer"] == "8611 m"
            elif known.status_code == 200 and known.json()["state"] == "broken":
                assert (await ask(url, {"resume": True, "thread_id": thread}))["answer"] == "8611 m"
