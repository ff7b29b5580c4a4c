"""How one tool call is run, whatever kind of tool it is."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolCallId, StructuredTool, Tool, ToolException, tool
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from langgraph.types import Command, Interrupt
from pydantic import BaseModel, field_validator

from agent.tooling.describe import as_tools
from agent.tooling.invoke import ContentAndArtifact, ToolError, explain, invoke, left_behind
from tests.support import PATIENCE
from tests.support.waiting import let_pass, until

MODEL = FakeListChatModel(responses=["8849 - 8611"])


class Place(BaseModel):
    name: str
    tags: list[str]


async def call(function: BaseTool | Callable[..., Any], *, seconds: float = PATIENCE, **given: Any) -> Any:
    """The result of a tool, or of a function made into one."""
    (made,) = as_tools([function]).values()
    return await invoke(made, given, model=MODEL, seconds=seconds)


async def failure(function: BaseTool | Callable[..., Any], *, seconds: float = PATIENCE, **given: Any) -> str:
    """What models are told of a call that fails."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 — `explain` is for any exception
        await call(function, seconds=seconds, **given)
    return explain(caught.value)


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Holds threads of tools until the test releases them; at its end at the latest."""
    event = threading.Event()
    yield event
    event.set()


async def echo(text: str) -> str:
    return text


async def listing(texts: list[str]) -> list[str]:
    return texts


async def add(first: float, second: float = 0) -> float:
    return first + second


# --- sync and async


async def test_an_async_tool_runs_in_the_event_loop() -> None:
    async def where() -> threading.Thread:
        return threading.current_thread()

    assert await call(where) is threading.current_thread()


async def test_a_sync_tool_runs_in_a_thread_and_leaves_the_loop_free(release: threading.Event) -> None:
    loop, started = asyncio.get_running_loop(), asyncio.Event()

    def wait() -> threading.Thread:
        loop.call_soon_threadsafe(started.set)
        assert release.wait(PATIENCE)
        return threading.current_thread()

    running = asyncio.create_task(call(wait))
    await started.wait()
    assert not running.done()
    release.set()
    assert await running is not threading.current_thread()


async def test_a_tool_with_an_async_method_of_its_own_runs_in_the_event_loop() -> None:
    class Where(BaseTool):
        name: str = "where"
        description: str = "says where it runs"

        def _run(self) -> str:
            raise AssertionError("the async method is there")

        async def _arun(self) -> str:
            return threading.current_thread().name

    assert await call(Where()) == threading.current_thread().name


async def test_a_tool_with_a_sync_method_only_runs_in_a_thread() -> None:
    class Where(BaseTool):
        name: str = "where"
        description: str = "says where it runs"

        def _run(self) -> str:
            return threading.current_thread().name

    assert await call(Where()) != threading.current_thread().name


async def test_sync_tools_wait_for_a_place_also_of_one_that_is_given_up(
    release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.tooling.invoke.THREADS", 1)
    loop, hanging, called = asyncio.get_running_loop(), asyncio.Event(), []

    def hang() -> None:
        loop.call_soon_threadsafe(hanging.set)
        release.wait(PATIENCE)

    def one() -> int:
        called.append("one")
        return 1

    given_up = asyncio.create_task(call(hang))
    await hanging.wait()
    given_up.cancel()
    await asyncio.wait([given_up])
    told = await failure(one, seconds=0.05)
    assert told == (
        "No thread was free for one within 0.05 s: 1 calls of sync tools are running, of which 1 took too long and are "
        "not waited for."
    )
    waiting = asyncio.create_task(call(one))
    assert await call(echo, text="An async tool needs none.")
    assert called == []
    release.set()
    assert await waiting == 1


async def test_no_more_sync_tools_run_at_once_than_there_are_places(
    release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.tooling.invoke.THREADS", 2)
    alive, most = 0, 0

    def busy() -> None:
        nonlocal alive, most
        alive += 1
        most = max(most, alive)
        release.wait(0.1)
        alive -= 1

    await asyncio.gather(*(call(busy) for _ in range(10)))
    assert most <= 2
    for _ in range(10):  # each place is given back
        await call(busy)


async def test_a_result_keeps_its_type() -> None:
    place = Place(name="K2", tags=[])

    async def locate() -> Place:
        return place

    assert await call(locate) is place


async def test_a_langchain_tool_of_one_text_runs() -> None:
    assert await call(Tool(name="shout", func=str.upper, description="shouts"), tool_input="k2") == "K2"


async def test_the_arguments_of_a_langchain_tool_with_a_schema_are_mended() -> None:
    class Arguments(BaseModel):
        text: str

    shout = Tool(name="shout", func=str.upper, description="shouts", args_schema=Arguments)
    assert await call(shout, text=5) == "5"


async def test_the_arguments_of_a_tool_with_a_json_schema_are_converted_and_mended() -> None:
    properties = {"x": {"type": "integer"}, "text": {"type": "string"}, "any": {}}
    schema = {"type": "object", "properties": properties, "required": ["x"]}
    made = StructuredTool(name="raw", description="raw", args_schema=schema, func=lambda **given: given)
    assert await call(made, x="5", text=[1], any="5", more="5") == {"x": 5, "text": "[1]", "any": "5", "more": "5"}
    assert await failure(made, text="a") == "Wrong arguments for raw: x: Field required."


async def test_a_tool_finds_the_model_of_the_run_in_its_config() -> None:
    async def ask(config: RunnableConfig) -> Any:
        return config["configurable"]["model"]

    def ask_in_thread(config: RunnableConfig) -> Any:
        return config["configurable"]["model"]

    assert await call(ask) is MODEL
    assert await call(ask_in_thread) is MODEL


# --- failures


async def test_an_exception_of_a_tool_passes() -> None:
    async def fail() -> None:
        raise KeyError("no such city")

    with pytest.raises(KeyError, match="no such city"):
        await call(fail)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such city"), "ValueError: no such city"),
        (ValueError(), "ValueError"),
        (ToolError("It took too long."), "It took too long."),
    ],
)
def test_an_exception_is_explained_by_its_type_and_message(error: Exception, text: str) -> None:
    assert explain(error) == text


async def test_a_langchain_tool_exception_is_a_failure() -> None:
    @tool
    async def locate(city: str) -> str:
        """locates"""
        raise ToolException(f"no such city: {city}")

    assert await failure(locate, city="Atlantis") == "no such city: Atlantis"


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        (True, "no such city: Atlantis"),
        ("Ask for another.", "Ask for another."),
        (lambda error: f"<{error}>", "<no such"),
    ],
)
async def test_an_exception_that_the_tool_would_hand_over_as_a_result_is_a_failure_in_its_words(
    handler: Any, told: str
) -> None:
    @tool
    async def locate(city: str) -> str:
        """locates"""
        raise ToolException(f"no such city: {city}")

    locate.handle_tool_error = handler
    assert told in await failure(locate, city="Atlantis")
    assert locate.handle_tool_error is handler


@pytest.mark.parametrize(
    ("end", "in_thread"),
    [(end, in_thread) for end in (SystemExit(3), asyncio.CancelledError()) for in_thread in (True, False)],
)
async def test_a_tool_that_ends_itself_is_a_failure_and_no_more(end: BaseException, in_thread: bool) -> None:
    async def leave() -> None:
        raise end

    def leave_in_thread() -> None:
        raise end

    raised: BaseException | None = None
    try:
        await call(leave_in_thread if in_thread else leave)
    except BaseException as error:  # noqa: BLE001 — the test is about what comes out
        raised = error
    assert isinstance(raised, ToolError)


async def test_an_async_tool_that_takes_too_long_is_cancelled() -> None:
    ended = asyncio.Event()

    async def hang() -> None:
        let_pass(30)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    assert await failure(hang, seconds=30) == "hang took longer than 30 s and was stopped."
    assert ended.is_set()


async def test_an_async_tool_that_goes_on_although_it_was_cancelled_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("agent.tooling.invoke.STOPPING_SECONDS", 0.01)
    released = asyncio.Event()

    async def stubborn() -> str:
        let_pass(30)
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    assert await failure(stubborn, seconds=30) == "stubborn took longer than 30 s and is not waited for."
    assert "stubborn took too long, was cancelled, and runs on all the same." in caplog.text
    released.set()


async def test_a_sync_tool_that_takes_too_long_is_given_up_and_its_thread_counted(
    release: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    loop, threads = asyncio.get_running_loop(), left_behind()

    def hang() -> None:
        loop.call_soon_threadsafe(let_pass, 30)
        release.wait(PATIENCE)

    assert await failure(hang, seconds=30) == "hang took longer than 30 s and is not waited for."
    assert left_behind() == threads + 1
    assert f"runs on in its thread. Threads left behind so: {threads + 1}." in caplog.text
    release.set()
    await until(lambda: left_behind() == threads)


async def test_a_timeout_of_the_tools_own_is_told_as_its_own() -> None:
    async def slow_server() -> None:
        raise TimeoutError("the server does not answer")

    assert await failure(slow_server) == "TimeoutError: the server does not answer"


async def test_cancelling_a_call_cancels_the_tool() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    running = asyncio.create_task(call(hang))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert cancelled.is_set()


@pytest.mark.parametrize("interrupt", [GraphInterrupt([Interrupt(value="ok?", id="1")]), GraphBubbleUp()])
@pytest.mark.parametrize("in_thread", [False, True])
async def test_an_interrupt_passes_as_it_is(interrupt: GraphBubbleUp, in_thread: bool) -> None:
    async def ask() -> None:
        raise interrupt

    def ask_in_thread() -> None:
        raise interrupt

    with pytest.raises(GraphBubbleUp) as caught:
        await call(ask_in_thread if in_thread else ask)
    assert caught.value is interrupt


async def test_a_validator_of_the_tools_own_speaks_as_wrong_arguments() -> None:
    class Arguments(BaseModel):
        day: str

        @field_validator("day")
        @classmethod
        def check(cls, day: str) -> str:
            if day != "today":
                raise ValueError("only today")
            return day

    @tool(args_schema=Arguments)
    async def forecast(day: str) -> str:
        """forecasts"""
        return day

    for handler in (False, True):
        forecast.handle_validation_error = handler
        assert await failure(forecast, day="tomorrow") == ("Wrong arguments for forecast: day: only today.")


@pytest.mark.parametrize("handler", ["An ISO date.", lambda error: "An ISO date." * error.error_count()])
async def test_wrong_arguments_are_told_in_the_tools_words_if_it_has_some(handler: Any) -> None:
    @tool
    async def forecast(day: int) -> str:
        """forecasts"""
        return str(day)

    forecast.handle_validation_error = handler
    assert await failure(forecast, day="tomorrow") == "An ISO date."


async def test_a_validation_error_within_a_tool_is_its_own() -> None:
    async def parse() -> Place:
        return Place.model_validate({})

    assert (await failure(parse)).startswith("ValidationError: 2 validation errors for Place")


# --- results


async def test_content_and_artifact_come_as_both() -> None:
    @tool(response_format="content_and_artifact")
    async def plot(name: str) -> tuple[str, bytes]:
        """plots"""
        return f"Plot of {name}.", b"PNG"

    @tool(response_format="content_and_artifact")
    def blocks() -> tuple[Any, None]:
        """says"""
        image = {"type": "image", "base64": "UE5H", "mime_type": "image/png"}
        return [{"type": "text", "text": "Look:"}, image], None

    assert await call(plot, name="K2") == ContentAndArtifact("Plot of K2.", b"PNG")
    assert await call(blocks) == "Look:\n[image image/png]"


def _update(*messages: Any, **fields: Any) -> "Command[Any]":
    return Command(update={"messages": list(messages), **fields})


@pytest.mark.parametrize(
    ("returned", "result"),
    [
        (ToolMessage("done", tool_call_id="7"), "done"),
        (ToolMessage("done", artifact=[1], tool_call_id="7"), ContentAndArtifact("done", [1])),
        (_update(ToolMessage("done", tool_call_id="7")), "done"),
        (Command(update=[ToolMessage("done", tool_call_id="7")]), "done"),
        ([_update(ToolMessage("done", tool_call_id="7"))], "done"),
        (["a", 1], ["a", 1]),
        (None, None),
    ],
)
async def test_a_tool_message_is_a_result_alone_and_in_a_command(returned: Any, result: Any) -> None:
    async def act() -> Any:
        return returned

    assert await call(act) == result


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (ToolMessage("no such city", status="error", tool_call_id="7"), "no such city"),
        (Command(goto="elsewhere"), "act returned a Command with goto='elsewhere'. A task of a plan only gives"),
        (Command(graph=Command.PARENT, update={"messages": []}), "graph='__parent__'"),
        (Command(resume=1), "resume=1"),
        (Command(), "a Command with 0 results"),
        (_update(ToolMessage("a", tool_call_id="7"), mood="good"), "an update of 'mood'"),
        (_update(ToolMessage("a", tool_call_id="7"), HumanMessage("b")), "other messages than results"),
        (_update(ToolMessage("a", tool_call_id="7"), ToolMessage("b", tool_call_id="8")), "2 results"),
        ([ToolMessage("a", tool_call_id="7"), ToolMessage("b", tool_call_id="8")], "act returned several messages"),
    ],
)
async def test_what_a_plan_has_no_use_for_is_never_dropped_silently(returned: Any, told: str) -> None:
    async def act() -> Any:
        return returned

    assert told in await failure(act)


# --- the call's id


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_tool_that_wants_its_call_id_has_it_and_its_result_keeps_its_type(in_thread: bool) -> None:
    async def mark(x: int, id_: Annotated[str, InjectedToolCallId]) -> list[Any]:
        """marks"""
        return [x, id_]

    def mark_in_thread(x: int, id_: Annotated[str, InjectedToolCallId]) -> list[Any]:
        """marks"""
        return [x, id_]

    (made,) = as_tools([mark_in_thread if in_thread else mark]).values()
    result = await invoke(made, {"x": "1"}, model=MODEL, seconds=PATIENCE, call_id="task_3")
    assert result == [1, "task_3"]


async def test_a_class_that_wants_its_call_id_has_it_and_its_result_keeps_its_type() -> None:
    class Arguments(BaseModel):
        x: int
        id_: Annotated[str, InjectedToolCallId]

    class Mark(BaseTool):
        name: str = "mark"
        description: str = "marks"
        args_schema: type[BaseModel] = Arguments

        def _run(self, x: int, id_: str) -> list[Any]:
            return [x, id_]

    (made,) = as_tools([Mark()]).values()
    result = await invoke(made, {"x": 1}, model=MODEL, seconds=PATIENCE, call_id="task_3")
    assert result == [1, "task_3"]


async def test_a_tool_that_answers_with_a_message_for_its_call_has_that_for_a_result() -> None:
    async def mark(id_: Annotated[str, InjectedToolCallId]) -> "Command[Any]":
        """marks"""
        return _update(ToolMessage("marked", tool_call_id=id_))

    (made,) = as_tools([mark]).values()
    result = await invoke(made, {}, model=MODEL, seconds=PATIENCE, call_id="task_3")
    assert result == "marked"


# --- arguments


async def test_wrong_arguments_are_named_with_what_is_wrong() -> None:
    assert await failure(add, first="eight", second=None) == (
        "Wrong arguments for add: "
        "first: Input should be a valid number, unable to parse string as a number; "
        "second: Input should be a valid number."
    )


async def test_a_missing_argument_is_named() -> None:
    assert await failure(echo) == "Wrong arguments for echo: text: Field required."


async def test_a_wrong_argument_deep_inside_is_named_by_its_path() -> None:
    async def visit(places: list[Place]) -> None:
        raise AssertionError(places)

    assert await failure(visit, places=[{"name": "K2", "tags": []}, {"tags": [1, None]}]) == (
        "Wrong arguments for visit: places.1.name: Field required; places.1.tags.1: Input should be a valid string."
    )


async def test_a_tool_is_not_run_with_wrong_arguments() -> None:
    ran = False

    async def act(times: int) -> None:
        nonlocal ran
        ran = bool(times) or True

    await failure(act, times="often")
    assert not ran


@pytest.mark.parametrize(("value", "text"), [(8611, "8611"), (1.5, "1.5"), (True, "True"), ([1, "a"], '[1, "a"]')])
async def test_a_value_where_a_text_is_wanted_becomes_text(value: Any, text: str) -> None:
    assert await call(echo, text=value) == text


@pytest.mark.parametrize(("value", "texts"), [("a", ["a"]), (8611, ["8611"]), ([1, "b", 2.5], ["1", "b", "2.5"])])
async def test_a_single_value_where_a_list_is_wanted_becomes_a_list_of_it(value: Any, texts: list[str]) -> None:
    assert await call(listing, texts=value) == texts


async def test_a_number_as_text_where_a_number_is_wanted_becomes_a_number() -> None:
    assert await call(add, first="8611", second="0.5") == 8611.5


async def test_nothing_is_not_mended_into_a_text() -> None:
    assert await failure(echo, text=None) == "Wrong arguments for echo: text: Input should be a valid string."


async def test_a_text_that_may_be_missing_is_mended_too() -> None:
    async def greet(name: str | None = None) -> str | None:
        return name

    assert await call(greet, name=5) == "5"
    assert await call(greet, name=None) is None


async def test_mending_does_not_change_a_result_that_other_tasks_share() -> None:
    shared = [8849, [8611]]

    async def nested(rows: list[list[str]]) -> list[list[str]]:
        return rows

    assert await call(nested, rows=shared) == [["8849"], ["8611"]]
    assert shared == [8849, [8611]]


async def test_a_value_nested_in_a_model_is_mended() -> None:
    async def visit(place: Place) -> Place:
        return place

    assert await call(visit, place={"name": 2, "tags": "high"}) == Place(name="2", tags=["high"])


_SHARED = st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(_SHARED)
async def test_whatever_a_tool_is_given_stays_as_it_was(value: Any) -> None:
    before = repr(value)
    with suppress(ToolError):
        await call(listing, texts=value)
    assert repr(value) == before
