"""The server as its clients use it: a real uvicorn, LangServe's own client and plain HTTP, the model scripted."""

import asyncio
import functools
import json
import operator
import re
import time
from pathlib import Path
from typing import Any, TypedDict

import httpx
import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tracers import RunLog
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langserve import RemoteRunnable

from agent import PROVIDERS
from apps.runs.threads import UNANSWERED
from apps.server.app import create_app
from apps.server.limits import Limits
from tests.support import PATIENCE
from tests.support.model_server import Gate, HttpError, ModelServer, Reply
from tests.support.serving import Serve, Tools, ask, post, streaming
from tests.support.waiting import until

PLAN = '1. search("K2")\n2. join()'
QUESTION = {"question": "How tall is K2?"}


# --- LangServe's client


async def test_langserves_client_asks_one_question(model_server: ModelServer, serve: Serve) -> None:
    model_server.script(planner=[PLAN, PLAN], joiner=["8611 m", "8611 m"])
    async with serve() as url:
        remote: RemoteRunnable[Any, Any] = RemoteRunnable(f"{url}agent/")
        results = [await remote.ainvoke(QUESTION), await asyncio.to_thread(remote.invoke, "How tall is K2?")]
    for result in results:
        assert result["answer"] == "8611 m"
        (task,) = result["tasks"]
        assert (task["task"], task["tool"], task["arguments"]) == (1, "search", {"query": "K2"})
        assert (task["status"], task["result"], task["element"]) == ("done", "K2 is 8611 m", None)
        assert result["timings"]["total"] >= task["finished"] - task["started"] >= 0
        assert result["usage"]["test-model"]["total_tokens"] > 0
        assert result["model"] == "openai:test-model"


async def test_langserves_client_asks_several_at_once(model_server: ModelServer, serve: Serve) -> None:
    def answer(request: Any) -> str:
        name = request.user.split()[-1].rstrip("?") if request.is_planner else ""
        return f'1. search("{name}")\n2. join()' if name else f"It is {'K2' if 'K2 is' in request.user else 'Lhotse'}."

    model_server.handler = answer
    questions = ["How tall is K2?", "How tall is Lhotse?"]
    async with serve() as url:
        remote: RemoteRunnable[Any, Any] = RemoteRunnable(f"{url}agent/")
        for results in [
            await remote.abatch([{"question": each} for each in questions]),
            await asyncio.to_thread(remote.batch, questions, {"configurable": {"max_replans": 0}}),
        ]:
            assert [result["answer"] for result in results] == ["It is K2.", "It is Lhotse."]
            assert results[0]["thread_id"] != results[1]["thread_id"]


async def test_langserves_client_streams_events_and_the_result_last(model_server: ModelServer, serve: Serve) -> None:
    model_server.script(planner=[PLAN, PLAN], joiner=["It is 8,611 m tall."] * 2)
    async with serve() as url:
        remote: RemoteRunnable[Any, Any] = RemoteRunnable(f"{url}agent/")
        for events in [
            [event async for event in remote.astream(QUESTION)],
            await asyncio.to_thread(lambda: list(remote.stream(QUESTION))),
        ]:
            kinds = [event["type"] for event in events]
            order = ["plan_started", "task_planned", "task_started", "task_finished", "joiner_started", "answer_text"]
            assert [kind for kind in dict.fromkeys(kinds) if kind in order] == order
            assert kinds[-1] == "result"
            assert kinds.count("result") == 1
            said = "".join(event["text"] for event in events if event["type"] == "answer_text")
            assert said == events[-1]["answer"] == "It is 8,611 m tall."
            assert "".join(event["text"] for event in events if event["type"] == "plan_text").startswith(
                '1. search("K2")'
            )


async def test_langserves_client_is_told_why_a_run_failed(model_server: ModelServer, serve: Serve) -> None:
    model_server.script(planner=[HttpError(500, "secret prompt")] * 2)
    async with serve() as url:
        remote: RemoteRunnable[Any, Any] = RemoteRunnable(f"{url}agent/")
        with pytest.raises(httpx.HTTPStatusError, match="The model's server answered 500"):
            await remote.ainvoke(QUESTION)
        with pytest.raises(httpx.HTTPStatusError, match="The model's server answered 500"):
            async for _ in remote.astream(QUESTION):
                pass


# --- streaming


async def test_progress_is_sent_while_it_happens(model_server: ModelServer, serve: Serve) -> None:
    planning, joining = Gate(), Gate()
    model_server.script(
        planner=[Reply(['1. search("K2")', planning, "\n2. join()"])], joiner=[Reply(["It is", joining, " 8611"])]
    )
    async with serve() as url, streaming(url, QUESTION) as events:
        assert (await events.until("task_finished"))["result"] == "K2 is 8611 m"  # the plan is still being written
        planning.open()
        assert (await events.until("answer_text"))["text"] == "It is"  # and the answer, too
        joining.open()
        assert (await events.until("result"))["answer"] == "It is 8611"
        assert [kind async for kind, _ in events] == ["end"]


async def test_an_answer_that_begins_anew_says_so(model_server: ModelServer, serve: Serve) -> None:
    replan = Reply("Wait. ", tool_calls=[("replan", {"feedback": "Lhotse too"})])
    model_server.script(planner=[PLAN, '2. search("Lhotse")\n3. join()'], joiner=[replan, "Both are tall."])
    async with serve() as url, streaming(url, QUESTION) as events:
        said = ""
        async for kind, event in events:
            if kind == "data" and event["type"] == "answer_text":
                said = event["text"] if event.get("restart") else said + event["text"]
            elif kind == "data" and event["type"] == "replanning":
                said = ""
            elif kind == "data" and event["type"] == "result":
                assert event["answer"] == said == "Both are tall."
                assert [task["task"] for task in event["tasks"]] == [1, 2]


async def test_a_run_that_fails_in_mid_stream_ends_with_an_error(model_server: ModelServer, serve: Serve) -> None:
    model_server.script(planner=[PLAN], joiner=[HttpError(429, "quota of sk-secret-123456")])
    async with serve() as url, streaming(url, QUESTION) as events:
        *_, (kind, error) = [each async for each in events]
    assert kind == "error"
    assert error["status_code"] == 503
    assert "too many requests" in error["message"]
    assert "sk-" not in error["message"]


@pytest.mark.parametrize("path", ["stream_events", "stream_log"])
async def test_langchains_own_events_end_with_the_error_too(model_server: ModelServer, serve: Serve, path: str) -> None:
    model_server.script(planner=[PLAN], joiner=[HttpError(429, "quota of sk-secret-123456")])
    async with serve() as url:
        response = await post(url, path, {"input": QUESTION})
    assert response.status_code == 200
    error = json.loads(response.text.rpartition("event: error\ndata: ")[2])
    assert error["status_code"] == 503
    assert "too many requests" in error["message"]


async def test_numbers_of_any_length_are_sent(model_server: ModelServer, serve: Serve) -> None:
    number = 10**30
    model_server.script(planner=[f'1. count({number})\n2. join("It is $1.")'] * 4)
    async with serve() as url:
        assert (await ask(url, QUESTION))["answer"] == f"It is {number + 1}."
        for path in ("stream", "stream_events", "stream_log"):
            response = await post(url, path, {"input": QUESTION})
            assert f'"It is {number + 1}."' in response.text
            assert "event: end" in response.text, path


async def test_langchains_own_events_are_streamed_too(model_server: ModelServer, serve: Serve) -> None:
    model_server.script(planner=[PLAN, PLAN], joiner=["8611 m", "8611 m"])
    async with serve() as url:
        remote: RemoteRunnable[Any, Any] = RemoteRunnable(f"{url}agent/")
        seen = [event async for event in remote.astream_events(QUESTION)]
        assert {"planner", "executor", "joiner", "search"} <= {event["name"] for event in seen}
        assert seen[-1]["event"] == "on_chain_end"
        assert seen[-1]["data"]["output"]["answer"] == "8611 m"
        patches = [patch async for patch in remote.astream_log(QUESTION)]
        log = functools.reduce(operator.add, patches, RunLog(state=None)).state
        assert log["final_output"]["answer"] == "8611 m"
        assert {"planner", "executor", "joiner", "search"} <= log["logs"].keys()
        assert log["logs"]["search"]["final_output"]["output"] == "K2 is 8611 m"
        assert "api_key" not in str([seen, log])


async def test_some_of_langchains_events_can_be_left_out(model_server: ModelServer, serve: Serve) -> None:
    model_server.script(planner=[PLAN, PLAN], joiner=["8611 m", "8611 m"])
    async with serve() as url:
        remote: RemoteRunnable[Any, Any] = RemoteRunnable(f"{url}agent/")
        names = {event["name"] async for event in remote.astream_events(QUESTION, include_names=["search"])}
        assert names == {"search"}
        events = [event async for event in remote.astream_events(QUESTION, exclude_types=["chain"])]
        assert {event["event"].split("_")[1] for event in events} == {"chat", "tool"}


# --- what may be asked


async def test_a_conversation_is_given_as_messages(model_server: ModelServer, serve: Serve) -> None:
    model_server.script(planner=["1. join()"] * 4, joiner=["You are Ann."] * 4)
    conversation: list[Any] = [HumanMessage("I am Ann."), AIMessage("Hello."), HumanMessage("Who am I?")]
    as_openai = [
        {"role": role, "content": message.content}
        for role, message in zip(["user", "assistant", "user"], conversation, strict=True)
    ]
    async with serve() as url:
        remote: RemoteRunnable[Any, Any] = RemoteRunnable(f"{url}agent/")
        assert (await remote.ainvoke({"messages": conversation}))["answer"] == "You are Ann."
        as_tuples = [("human", "I am Ann."), ("ai", "Hello."), ("user", "Who am I?")]
        for messages in (as_openai, as_tuples):
            assert (await ask(url, {"messages": messages}))["answer"] == "You are Ann."
        for request in model_server.requests:
            assert [m["content"] for m in request.messages[1:3]] == ["I am Ann.", "Hello."]
        assert (await ask(url, {"messages": "Who am I?"}))["answer"] == "You are Ann."
    assert "Who am I?" in model_server.requests[-1].user


WRONG_INPUT: list[tuple[Any, str]] = [
    ({}, "Give one of question, messages, decisions and resume; there is none"),
    ({"question": "  "}, "question is empty"),
    ({"question": ""}, "question is empty"),
    ({"decisions": [], "thread_id": "t"}, "decisions is empty"),
    ({"messages": [], "question": None}, "messages is empty"),
    ({"messages": [], "decisions": []}, "there is none"),
    ({"question": 3}, "question"),
    ({"question": "x", "messages": [{"content": "y"}]}, "['question', 'messages']"),
    ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}, "the assistant's"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "role"),
    ({"messages": [{"type": ["x"], "content": "x"}]}, "role"),
    ({"messages": [{"content": [{"type": "image_url", "image_url": "file:///etc/passwd"}]}]}, "content"),
    ({"question": "x", "thread_id": "../x"}, "thread_id"),
    ({"decisions": [{"type": "approve"}]}, "thread_id"),
    ({"question": "x", "base_url": "http://evil"}, "base_url"),
    (7, "there is a int"),
]


@pytest.mark.parametrize("path", ["invoke", "stream", "stream_events", "stream_log"])
async def test_wrong_input_is_refused_with_a_message(serve: Serve, path: str) -> None:
    async with serve() as url:
        for wrong, named in WRONG_INPUT:
            response = await post(url, path, {"input": wrong})
            assert response.status_code == 422, wrong
            assert named in response.json()["message"], wrong


NOT_JSON = [
    b'{"input": ',
    b'{"input": "\xff"}',
    b'{"input": %s}' % (b"1" * 5000),
    b'{"input": {"resume": NaN, "thread_id": "t"}}',
    b'{"input": {"resume": 1e999, "thread_id": "t"}}',
    b"",
]


@pytest.mark.parametrize("path", ["agent/invoke", "agent/stream_log", "v1/chat/completions", "ag-ui", "mcp"])
async def test_what_is_not_json_is_called_so(serve: Serve, path: str) -> None:
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    async with serve() as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE, headers=headers) as client:
        for body in NOT_JSON:
            response = await client.post(path, content=body)
            assert response.status_code == 422, body[:30]
            assert "The body is not JSON." in response.text
        for deep in (100_000, 990, 102):
            response = await client.post(path, content=b'{"input": %s}' % (b"[" * deep + b"]" * deep))
            assert response.status_code == 422, deep
            assert "levels" in response.text
        for value in ([], "x", {"input": None}, 7, {"input": json.loads("[" * 90 + "]" * 90)}):
            assert (await client.post(path, json=value)).status_code in (400, 422), value


@pytest.mark.parametrize("wrong", [{"messages": [1] * 9_000}, {f"field{number}": 1 for number in range(9_000)}])
async def test_of_many_errors_the_first_are_told(serve: Serve, wrong: Any) -> None:
    async with serve() as url:
        response = await post(url, "invoke", {"input": wrong})
        assert response.status_code == 422
        assert len(response.json()["detail"]) == 20
        chat = await post(url, "../v1/chat/completions", {"model": "llm_compiler", **wrong})
        assert chat.status_code == 422
        assert len(chat.content) < 10_000


async def test_who_sends_many_large_bodies_does_not_keep_others_waiting(serve: Serve) -> None:
    async with serve() as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        await client.get("healthz")
        posts = [asyncio.create_task(post(url, "invoke", {"input": "x" * 100_000})) for _ in range(20)]
        await asyncio.wait(posts, return_when=asyncio.FIRST_COMPLETED)
        await client.get("healthz")
        assert not all(sent.done() for sent in posts)
        assert {sent.status_code for sent in await asyncio.gather(*posts)} == {422}


async def test_a_body_of_very_many_values_is_refused(serve: Serve) -> None:
    async with serve() as url:
        for body in ({"inputs": [1] * 10_001}, [{"a": 1}] * 6_000, [[]] * 10_001):
            response = await post(url, "batch", body)
            assert response.status_code == 422
            assert response.json()["message"] == "The body has more than 10,000 values in its lists and objects."


async def test_what_is_not_there_is_told_as_all_errors_are(serve: Serve) -> None:
    async with serve() as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        for method, path in [("GET", "nothing.js"), ("GET", "agent/invoke"), ("POST", "nothing"), ("PUT", "healthz")]:
            response = await client.request(method, path, json={})
            assert response.status_code in (404, 405), path
            assert response.json()["status_code"] == response.status_code
            assert response.json()["message"] == f"{method} /{path} is not served. /docs lists what is."
        for folder in ("", "agent/playground/", "agent/playground/assets/"):
            for name in ("%00", "x%00.js", "x" * 5000, "%ff", "index.html/x", "..%2f..%2fserver.py"):
                assert (await client.get(f"{folder}{name}")).status_code == 404, (folder, name[:20])
        assert "/agent/token_feedback" not in (await client.get("openapi.json")).text
        response = await post(url, "batch", {"inputs": ["x", "y"], "config": [{}]})
        assert response.status_code == 422
        assert "configs (1)" in response.json()["message"]


async def test_a_browser_asks_whether_its_copy_of_the_page_is_still_so(serve: Serve) -> None:
    """After an upgrade, old modules would meet new ones."""
    async with serve() as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        for path in ("", "layout.js"):
            had = await client.get(path)
            assert had.headers["Cache-Control"] == "no-cache"
            assert (await client.get(path, headers={"If-None-Match": had.headers["ETag"]})).status_code == 304


# --- threads


@pytest.mark.parametrize("named_in", ["input", "config"])
async def test_a_thread_goes_on_with_the_conversation(model_server: ModelServer, serve: Serve, named_in: str) -> None:
    model_server.script(planner=[PLAN, '2. search("${1}!")\n3. join()'], joiner=["8611 m", "Yes."])
    async with serve() as url:
        first = await ask(url, QUESTION)
        settings: Any = {"configurable": {"thread_id": first["thread_id"]}}
        if named_in == "config":
            second = await ask(url, "Sure?", config=settings)
            for path in ("invoke", "stream", "stream_events"):
                two = await post(url, path, {"input": {"question": "x", "thread_id": "other"}, "config": settings})
                assert two.status_code == 422
                assert "'other'" in two.json()["message"]
        else:
            second = await ask(url, {"question": "Sure?", "thread_id": first["thread_id"]})
        assert [task["task"] for task in second["tasks"]] == [2]  # this turn's alone
        assert second["tasks"][0]["result"] == "K2 is 8611 m! is 8611 m"
    planners = [request for request in model_server.requests if request.is_planner]
    assert ["8611 m" in str(request.messages) for request in planners] == [False, True]


async def test_a_graph_that_asks_from_within_its_own_thread_asks_anew_each_time(
    model_server: ModelServer, serve: Serve
) -> None:
    """LangGraph puts the thread of the graph into the config of all that its nodes call."""
    model_server.script(planner=[PLAN] * 3, joiner=["8611 m"] * 3)

    class Asking(TypedDict):
        threads: list[str]

    async with serve() as url:
        remote: RemoteRunnable[Any, Any] = RemoteRunnable(f"{url}agent/")

        async def ask_three(_: Asking) -> Asking:
            results = [*await remote.abatch([QUESTION, QUESTION]), await remote.ainvoke(QUESTION)]
            return {"threads": [result["thread_id"] for result in results]}

        graph = StateGraph(Asking).add_node(ask_three).add_edge(START, "ask_three")
        config: Any = {"configurable": {"thread_id": "mine"}}
        told = await graph.compile(checkpointer=InMemorySaver()).ainvoke({"threads": []}, config)
    assert len({*told["threads"], "mine"}) == 4


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("fails", [True, False])
async def test_a_question_that_was_stopped_or_failed_is_not_a_part_of_the_next(
    model_server: ModelServer, serve: Serve, tools: Tools, tmp_path: Path, fails: bool, kept: bool
) -> None:
    model_server.script(planner=[PLAN, "1. join()"], joiner=[HttpError(401), "Yes."] if fails else ["Yes."])
    async with serve(f"sqlite:///{tmp_path}/threads.db" if kept else None) as url:
        if fails:
            await post(url, "invoke", {"input": {**QUESTION, "thread_id": "t"}})
        else:
            tools.close("K2")
            async with streaming(url, {**QUESTION, "thread_id": "t"}) as events:
                await events.until("task_started")
            await tools.until(lambda: tools.cancelled == ["K2"])
        asked: Any = {"input": {"question": "Is Lhotse tall?", "thread_id": "t"}}

        async def is_answered() -> bool:
            response = await post(url, "invoke", asked)
            return response.status_code != 409 and response.json()["output"]["answer"] == "Yes."

        await until(is_answered)  # the run before ends unseen
    said = [(m["role"], m["content"]) for m in model_server.requests[-1].messages if m["role"] != "system"]
    assert said[0][1].startswith("How tall is K2?")
    assert said[1:] == [("assistant", UNANSWERED), ("user", "Is Lhotse tall?")]


async def test_a_run_that_died_goes_on(model_server: ModelServer, serve: Serve, tools: Tools, tmp_path: Path) -> None:
    model_server.script(planner=[PLAN], joiner=[HttpError(401), "8611 m"])
    database = f"sqlite:///{tmp_path}/threads.db"
    thread = {"thread_id": "t"}
    async with serve(database) as url:
        assert (await post(url, "invoke", {"input": {**QUESTION, **thread}})).status_code == 502
    async with serve(database) as url:
        done = await ask(url, {"resume": True, **thread})
        assert done["answer"] == "8611 m"
        assert [(task["tool"], task["result"]) for task in done["tasks"]] == [("search", "K2 is 8611 m")]
        assert tools.called == ["K2"]
        over = await post(url, "invoke", {"input": {"resume": True, **thread}})
        assert over.status_code == 409


async def test_a_thread_answers_one_request_at_a_time(model_server: ModelServer, serve: Serve, tools: Tools) -> None:
    model_server.script(planner=[PLAN, PLAN], joiner=["8611 m", "8611 m"])
    door = tools.close("K2")
    async with serve() as url, streaming(url, {**QUESTION, "thread_id": "t"}) as events:
        await events.until("task_started")
        for path in ("stream", "stream_events"):
            refused = await post(url, path, {"input": {**QUESTION, "thread_id": "t"}})
            assert refused.status_code == 409
            assert "'t'" in refused.json()["message"]
        door.set()
        await events.until("result")
        await ask(url, {**QUESTION, "thread_id": "t"})


async def test_threads_in_memory_are_bounded(model_server: ModelServer, serve: Serve) -> None:
    model_server.script(planner=[PLAN] * 3 + ["2. join()", "2. join()"], joiner=["8611 m"] * 5)
    async with serve(max_threads=2, max_runs=2) as url:
        for thread in "abc":
            await ask(url, {**QUESTION, "thread_id": thread})
        await ask(url, {"question": "Sure?", "thread_id": "b"})
        await ask(url, {"question": "Sure?", "thread_id": "a"})
    *_, remembered, forgotten = [request for request in model_server.requests if request.is_planner]
    assert "8611 m" in str(remembered.messages)
    assert "8611 m" not in str(forgotten.messages)


# --- approvals


@pytest.mark.parametrize("kept", [True, False])
async def test_a_run_pauses_for_an_approval_and_goes_on(
    model_server: ModelServer, serve: Serve, tools: Tools, tmp_path: Path, kept: bool
) -> None:
    model_server.script(planner=['1. search("K2")\n2. book("LH1")\n3. join()'], joiner=["Booked."])
    async with serve(f"sqlite:///{tmp_path}/threads.db" if kept else None) as url:
        async with streaming(url, QUESTION) as events:
            pause = await events.until("approval")
            assert [request["name"] for request in pause["request"]["action_requests"]] == ["book"]
            result = await events.until("result")
        assert result["answer"] is None
        assert result["approval"] == {"thread_id": pause["thread_id"], "request": pause["request"]}
        assert [(task["tool"], task["status"]) for task in result["tasks"]] == [("search", "done")]
        assert tools.called == ["K2"]
        thread = {"thread_id": pause["thread_id"]}

        for path in ("invoke", "stream", "stream_events", "stream_log"):
            other = await post(url, path, {"input": {**QUESTION, **thread}})
            assert other.status_code == 409
            assert "decisions" in other.json()["message"]

        again = await ask(url, {"decisions": [{"type": "aprove"}], **thread})
        assert "aprove" in again["approval"]["request"]["error"]
        assert again["tasks"] == result["tasks"]

        async with streaming(url, {"decisions": [{"type": "approve"}], **thread}) as events:
            done = await events.until("result")
        assert done["answer"] == "Booked."
        assert [(task["tool"], task["result"]) for task in done["tasks"]] == [
            ("search", "K2 is 8611 m"),
            ("book", "booked LH1"),
        ]
        assert tools.called == ["K2", "LH1"]
        for path in ("invoke", "stream", "stream_events", "stream_log"):
            late = await post(url, path, {"input": {"decisions": [{"type": "approve"}], **thread}})
            assert late.status_code == 409
            assert "waits for no decisions" in late.json()["message"]


async def timed(url: str, input: Any) -> tuple[dict[str, Any], float]:
    """The result of a run, and the seconds that its client has waited for it."""
    started = time.monotonic()
    result = await ask(url, input)
    return result, time.monotonic() - started


async def test_each_request_of_a_run_that_pauses_has_its_own_time(
    model_server: ModelServer, serve: Serve, tools: Tools
) -> None:
    model_server.script(planner=['1. search("K2")\n2. book("to $1")\n3. join()'], joiner=["It is booked."])
    async with serve() as url:
        paused, waited = await timed(url, QUESTION)
        seconds = paused["timings"]
        assert 0 < seconds["plan"] <= seconds["total"] <= waited
        assert seconds["one_after_another"] >= seconds["plan"]

        again, waited = await timed(url, {"decisions": [{"type": "aprove"}], "thread_id": paused["thread_id"]})
        assert again["approval"]["request"]["error"]
        assert again["timings"].pop("total") <= waited
        assert set(again["timings"].values()) == {0}  # nothing was planned or called
        assert again["tasks"] == paused["tasks"] != []

        approve = {"decisions": [{"type": "approve"}], "thread_id": paused["thread_id"]}
        done, waited = await timed(url, approve)
        assert done["answer"] == "It is booked."
        search, book = done["tasks"]
        assert search["finished"] < book["started"]  # and yet its time is the other request's
        seconds = done["timings"]
        assert seconds["plan"] == 0
        assert seconds["tools"] == pytest.approx(book["finished"] - book["started"], abs=1e-3)
        assert 0 < seconds["join"] + seconds["tools"] <= seconds["total"] <= waited


async def test_a_run_that_pauses_several_times_has_all_that_was_done(
    model_server: ModelServer, serve: Serve, tools: Tools
) -> None:
    plan = '1. search.map(["K2", "Lhotse"])\n2. book("$1[0]")\n3. book("$2")\n4. ask_back("$3?")\n5. search("$4")'
    model_server.script(planner=[f'{plan}\n6. join("$5")'])
    approve = {"decisions": [{"type": "approve"}]}
    async with serve() as url:
        run = await ask(url, QUESTION)
        thread, done = {"thread_id": run["thread_id"]}, [(1, 0), (1, 1)]
        assert [(task["task"], task["element"]) for task in run["tasks"]] == done
        for answer, number in [(approve, 2), (approve, 3), ({"resume": "yes"}, 4)]:
            run = await ask(url, {**answer, **thread})
            done.append((number, None))
            assert [(task["task"], task["element"]) for task in run["tasks"]][: len(done)] == done
            assert all(task["status"] == "done" for task in run["tasks"])
    assert run["answer"] == "said yes is 8611 m"
    assert len(run["tasks"]) == 6


@pytest.mark.parametrize("answer", ["the mountain", ""])
async def test_a_tool_that_asks_back_gets_its_answer(model_server: ModelServer, serve: Serve, answer: str) -> None:
    model_server.script(planner=['1. ask_back("Which K2?")\n2. join()'], joiner=["The mountain."])
    async with serve() as url:
        paused = await ask(url, QUESTION)
        assert paused["approval"]["request"] == "Which K2?"
        done = await ask(url, {"resume": answer, "thread_id": paused["thread_id"]})
    assert done["tasks"][0]["result"] == f"said {answer}"


# --- schemas and pages


async def test_schemas_and_documentation_describe_the_api(serve: Serve) -> None:
    async with serve() as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        fields = (await client.get("agent/input_schema")).json()["properties"]
        assert {"question", "messages", "thread_id", "decisions"} == fields.keys()
        assert all(field["title"] and field["description"] for field in fields.values())
        output = (await client.get("agent/output_schema")).json()
        assert {"answer", "tasks", "approval", "thread_id", "usage", "timings"} <= output["properties"].keys()
        assert "null" not in str(fields)  # the playground's form can't show it
        config = (await client.get("agent/config_schema")).json()["$defs"]["Configurable"]["properties"]
        assert config["max_replans"]["default"] == 2
        assert all(field["description"] for field in config.values())
        api = (await client.get("openapi.json")).json()
        assert {"type": "null"} in api["components"]["schemas"]["AgentInput"]["properties"]["decisions"]["anyOf"]
        paths = api["paths"]
        assert {"/agent/invoke", "/agent/batch", "/agent/stream", "/agent/stream_events", "/healthz"} <= paths.keys()


async def test_the_documentation_needs_no_network(serve: Serve) -> None:
    async with serve() as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        for path in ("docs", "redoc"):
            page = (await client.get(path)).text
            files = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
            assert files
            assert all(file.startswith("/") for file in files), files
            assert "//" not in re.sub(r"<!--.*?-->", "", page, flags=re.DOTALL).replace("</", "")
            for file in files:
                assert (await client.get(file)).status_code == 200, file


async def test_the_playground_loads_with_all_its_files(serve: Serve) -> None:
    async with serve() as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        page = await client.get("agent/playground/")
        assert page.status_code == 200
        files = [part.split('"')[0] for part in page.text.split("/agent/playground/")[1:]]
        assert len(files) >= 3
        for file in files:
            assert (await client.get(f"agent/playground/{file}")).status_code == 200, file
        # It asks for this when a setting is changed.
        schemas = [await client.get(f"agent/{path}input_schema") for path in ("", "c/N4XyA/")]
        assert schemas[0].json() == schemas[1].json()


async def test_the_first_request_finds_the_model_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def make(name: str) -> FakeListChatModel:
        made.append(name)
        return FakeListChatModel(responses=[])

    monkeypatch.setitem(PROVIDERS, "mine", make)
    monkeypatch.setenv("LLM_COMPILER_GRAPH", "tests.support.mountains")
    monkeypatch.setenv("LLM_COMPILER_PLANNER_MODEL", "mine:large")
    monkeypatch.setenv("LLM_COMPILER_JOINER_MODEL", "mine:small")
    app = create_app(limits=Limits())
    async with app.router.lifespan_context(app):
        assert made == ["large", "small"]


async def test_a_model_that_cant_be_had_fails_runs_and_not_the_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LLM_COMPILER_GRAPH", "tests.support.mountains")
    monkeypatch.setenv("LLM_COMPILER_MODEL", "nosuch:large")
    app = create_app(limits=Limits())
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")
    async with app.router.lifespan_context(app), client:
        assert (await client.get("healthz")).status_code == 200
        failed = await client.post("agent/invoke", json={"input": QUESTION})
        assert failed.status_code == 500
        assert "nosuch" not in failed.text  # what the operator has to do, the log says
        assert "nosuch" in caplog.text


async def test_the_server_says_that_it_is_up(serve: Serve) -> None:
    async with serve() as url, httpx.AsyncClient(timeout=PATIENCE) as client:
        assert (await client.get(f"{url}healthz")).json() == {"status": "ok"}
        for path in ("healthz", "agent/playground/", ""):  # not within a frame of a foreign page
            assert (await client.get(url + path)).headers["X-Frame-Options"] == "DENY"
