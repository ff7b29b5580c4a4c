"""The command line as a process: what people see, what pipes get, and how it ends."""

import asyncio
import io
import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from pydantic import ValidationError
from rich.cells import cell_len
from rich.console import Console

from agent import Context, ModelError, load_model
from apps.cli.live_view import LiveView
from apps.runs.errors import REFUSED_KEY, in_one_line
from apps.runs.run import Run
from apps.runs.threads import UNANSWERED
from tests.support.model_server import Gate, HttpError, ModelServer, Reply
from tests.support.mountains import PLAN, QUESTIONS
from tests.support.prepared_python import prepared
from tests.support.terminal import (
    COMMAND,
    INSTALLED_COMMAND,
    MOUNTAINS,
    PREPARED_COMMAND,
    Terminal,
    environment,
    mountains,
    scripted,
)
from tests.support.waiting import until_said

QUESTION = QUESTIONS[0]
ANSWER = "Mount Everest is 238 m taller than K2."
K2_PLAN = '1. height("K2")\n2. join()'
BLOCKING_TOOL = """
import sys, threading, types
from agent import create_llm_compiler

def block() -> str:
    "Blocks its thread for ever."
    print("noise of a tool")
    threading.Event().wait()
    return ""

graphs = types.ModuleType("graphs.llm_compiler")
graphs.graph = create_llm_compiler([block])
sys.modules["graphs.llm_compiler"] = graphs

from apps.cli.main import main
main()
"""
"""The command line over a graph with a sync tool that never ends."""


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Runs the command in an empty folder: `run(question, input=…, env=…)`."""

    def run(*arguments: str, command: list[str] = COMMAND, **options: Any) -> subprocess.CompletedProcess[str]:
        defaults: dict[str, Any] = {"env": environment(), "stdin": subprocess.DEVNULL}
        if "input" in options:
            del defaults["stdin"]
        options = {**defaults, "cwd": tmp_path, "capture_output": True, "text": True, **options}
        return subprocess.run([*command, *arguments], check=False, **options)

    return run


# Answers


def test_a_pipe_gets_plain_lines_and_then_the_answer(run: Any, model_server: ModelServer) -> None:
    model_server.script(planner=[PLAN])
    result = run(QUESTION, command=INSTALLED_COMMAND, env=mountains(model_server))
    assert (result.returncode, result.stderr) == (0, "")
    *lines, blank, answer, _, last = result.stdout.splitlines()
    assert lines[0] == 'planned   1[0]. height("Mount Everest")'
    assert any(re.fullmatch(r"done      2\. subtract\(8849, 8611\) in .* m?s: 238.*", line) for line in lines)
    assert (blank, answer) == ("", ANSWER)
    took = r"3 tasks · plan .+ m?s · total .+ m?s · one after another .+ m?s( \(.+×\))?"
    assert re.fullmatch(rf"{took} · openai:test-model", last)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", result.stdout)


def test_json_has_answer_plans_tasks_timings_and_usage(run: Any, model_server: ModelServer) -> None:
    model_server.script(
        planner=[
            '1. height("K2")\n2. subtract($1, b=1)\n3. hight("K2")\n4. subtract(1, $3)\n5. join()',
            "6. join()",
        ],
        joiner=[Reply("Hmm.", tool_calls=[("replan", {"feedback": "It is called height."})]), "It\u2019s \x9b43."],
    )
    result = run("--json", QUESTION, env=mountains(model_server))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.isascii()
    assert result.stdout.replace("\n", "").isprintable()
    report = json.loads(result.stdout)
    assert (report["question"], report["answer"]) == (QUESTION, "It\u2019s \x9b43.")
    assert report["model"] == "openai:test-model"
    assert report["replans"] == ["It is called height."]
    assert [text.count("\n") for text in report["plans"]] == [4, 0]
    first, done, failed, skipped = report["tasks"]
    assert [task["tool"] for task in report["tasks"]] == ["height", "subtract", "hight", "subtract"]
    assert (done["task"], done["round"], done["status"], done["result"]) == (2, 0, "done", "8610.0")
    assert (done["planned"], done["arguments"]) == ({"a": "$1", "b": 1}, {"a": 8611, "b": 1})
    assert done["dependencies"] == [1]
    assert (failed["status"], failed["started"]) == ("failed", None)
    assert "There is no tool 'hight'." in failed["result"]
    assert skipped["status"] == "skipped"
    timings = report["timings"]
    spent = sum(task["finished"] - task["started"] for task in (first, done))
    assert timings["tools"] == pytest.approx(spent, abs=1e-3)
    parts = timings["plan"] + timings["tools"] + timings["join"]
    assert timings["one_after_another"] == pytest.approx(parts, abs=1e-3)
    assert 0 < max(timings["plan"], timings["join"]) <= timings["total"]
    assert report["usage"]["test-model"]["output_tokens"] > 10


def test_a_replan_is_shown_with_its_reason_and_plans_as_they_were_written(run: Any, model_server: ModelServer) -> None:
    plan = "Thought: more.\n3. subtract(44, 2)\n4. join()"
    model_server.script(
        planner=[K2_PLAN, plan],
        joiner=[Reply("Hmm.", tool_calls=[("replan", {"feedback": "More,\nplease."})]), "It is \x1b[31m42."],
    )
    output = run("--show-plan", QUESTION, env=mountains(model_server)).stdout
    lines = output.splitlines()
    assert lines.index("replan    1: More, please.") < lines.index("planned   3. subtract(44, 2)")
    assert f"\n\n{plan}\n\n" in output
    assert lines[-3] == "It is [31m42."
    assert lines[-1].startswith("2 tasks")


def test_quiet_prints_the_answer_only_and_dotenv_yields_to_the_environment(
    run: Any, model_server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHON_DOTENV_DISABLED")
    settings = mountains(model_server)
    (tmp_path / ".env").write_text(
        f"OPENAI_BASE_URL={settings.pop('OPENAI_BASE_URL')}\nLLM_COMPILER_MODEL=nosuch:thing\n"
    )
    model_server.script(planner=["1. join()"], joiner=["Hello!"])
    result = run("--quiet", "-", input="Hi\n", env=settings)
    assert (result.returncode, result.stdout, result.stderr) == (0, "Hello!\n", "")
    assert model_server.requests[0].user == "Hi"


COMMANDS = "\x1b]0;title\x07 \x1b[2J \x9b31m \u202eabc\u2066"
"""What would command a terminal, or turn the direction of writing."""


def commands_in(text: str) -> list[str]:
    return re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", text)


def test_nothing_that_others_have_written_commands_the_terminal(
    run: Any, model_server: ModelServer, state_folder: Any
) -> None:
    refusal = HttpError(400, f"No {COMMANDS}")
    plan = f'1. serch("{COMMANDS}")\n2. join()'
    model_server.script(planner=[*[plan] * 3, refusal, refusal], joiner=[f"Yes {COMMANDS}"] * 3)
    ask = partial(run, env=mountains(model_server))
    answered = [ask(*how, "Hello?") for how in ([], ["--quiet"], ["--json"])]
    failed, told = ask("--thread", "t", f"Hello {COMMANDS}?"), ask("--thread", "t")
    assert [each.returncode for each in (*answered, failed)] == [0, 0, 0, 1]
    assert "Error: The model's server answered 400: No" in failed.stderr
    assert told.stderr.startswith("Goes on with: Hello")
    assert commands_in("".join(part for each in (*answered, failed, told) for part in (each.stdout, each.stderr))) == []


def test_a_reader_that_has_gone_is_no_error(tmp_path: Path, model_server: ModelServer) -> None:
    model_server.handler = lambda _: PLAN
    process = subprocess.Popen(
        [*COMMAND, QUESTION], cwd=tmp_path, env=mountains(model_server), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    process.stdout.close()
    assert process.stderr
    assert (process.stderr.read(), process.wait()) == (b"", 1)
    process.stderr.close()


# Errors


def test_help_and_version(run: Any) -> None:
    told = run("--help", command=PREPARED_COMMAND).stdout
    assert told.startswith("Usage: llm-compiler [ask] [OPTIONS] [QUESTION]")
    assert 'llm-compiler "' in told
    assert "--thread NAME" in told
    assert "  threads  List the conversations that were kept, the last used first." in told
    assert "delete" in run("threads", "--help").stdout
    assert re.fullmatch(r"llm-compiler \d+\.\d+\.\d+\n", run("--version").stdout)


@pytest.mark.parametrize("arguments", [["ask", "threads", "--quiet"], ["--quiet", "threads"]])
def test_a_question_may_be_the_name_of_a_command(run: Any, model_server: ModelServer, arguments: list[str]) -> None:
    model_server.script(planner=["1. join()"], joiner=["Threads."])
    assert run(*arguments, env=mountains(model_server)).stdout == "Threads.\n"
    assert model_server.requests[0].user == "threads"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--thread", " ", "Hello"], "The thread's name is empty."),
        (["threads", "delete"], "Missing argument 'NAME'."),
        ([], "There is no question. Give one, or - to read it from standard input."),
        ([" "], "The question is empty."),
        (["-"], "The question is empty."),
        (["--nonsense", "Hello"], "No such option: --nonsense"),
        (["Hello", "--model"], "Option '--model' requires an argument."),
        (["--json", "--quiet", "Hello"], "--json and --quiet exclude each other."),
    ],
)
def test_wrong_usage_is_told_in_a_line(run: Any, arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"Error: {message}\n")


def test_a_missing_key_is_told_in_a_line(run: Any) -> None:
    result = run("--model", "openai:gpt-4.1-mini", "Hello", env=environment(**MOUNTAINS))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: openai:gpt-4.1-mini needs OPENAI_API_KEY.")
    assert result.stderr.count("\n") == 1


def test_an_unknown_provider_is_named() -> None:
    with pytest.raises(ModelError) as raised:
        load_model("nosuch:thing")
    assert in_one_line(raised.value).startswith("nosuch:thing can't be used: Unsupported provider='nosuch'. ")


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (404, "The model's server answered 404: No *** Check the model's name"),
        (429, "The model's server answered 429: No *** Too many requests, or no quota left: wait"),
        (500, "The model's server answered 500: No ***"),
    ],
)
async def test_other_refusals_are_told_in_a_line(
    model_server: ModelServer, chat_model: ChatOpenAI, monkeypatch: pytest.MonkeyPatch, status: int, told: str
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "very secret,\nindeed.")
    model_server.script(HttpError(status, "No very secret,\nindeed."))
    with pytest.raises(openai.APIStatusError) as raised:
        await chat_model.ainvoke("Hello")
    assert in_one_line(raised.value).startswith(told)


async def test_a_server_that_is_not_there_is_named(make_chat_model: Callable[..., ChatOpenAI]) -> None:
    with pytest.raises(openai.APIConnectionError) as raised:
        await make_chat_model(base_url="http://127.0.0.1:9/v1").ainvoke("Hello")
    told = in_one_line(raised.value)
    assert told.startswith("No connection to http://127.0.0.1:9 (")
    assert told.endswith("Is the model's server running, and OPENAI_BASE_URL right?")
    assert "\n" not in told


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
async def test_a_server_that_a_proxy_does_not_reach_can_be_asked_directly(
    make_chat_model: Callable[..., ChatOpenAI], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with pytest.raises(openai.APIConnectionError) as raised:
        await make_chat_model(base_url="http://127.0.0.1:8/v1").ainvoke("Hello")
    assert in_one_line(raised.value).endswith(
        f" It is asked by way of {variable}; NO_PROXY=127.0.0.1 asks it directly."
    )
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert "PROXY" not in in_one_line(raised.value)


@pytest.mark.parametrize("value", ["some", "0"])
def test_a_setting_that_cannot_be_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LLM_COMPILER_MAX_TASKS", value)
    with pytest.raises(ValidationError) as raised:
        Context()
    told = f"The environment variable LLM_COMPILER_MAX_TASKS is {value!r}: Input should be "
    assert in_one_line(raised.value).startswith(told)


def test_a_wrong_value_in_a_context_is_named() -> None:
    with pytest.raises(ValidationError) as raised:
        Context(max_tasks=0)
    assert in_one_line(raised.value) == "max_tasks: Input should be greater than or equal to 1"


# Ctrl-C, and tools that block


async def start(arguments: list[str], folder: Path, **env: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*arguments, cwd=folder, env=env, stdout=pipe, stderr=pipe)


async def test_ctrl_c_stops_while_a_tool_blocks(tmp_path: Path, model_server: ModelServer) -> None:
    model_server.script(planner=["1. block()\n2. join()"])
    process = await start(prepared("-c", BLOCKING_TOOL, "Hello"), tmp_path, **scripted(model_server))
    await until_said(process, "started   1.\n")
    process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in errors


async def test_a_tool_that_timed_out_does_not_hold_the_command(tmp_path: Path, model_server: ModelServer) -> None:
    limit, errors = 0.1, b""
    while not errors:  # on a slow machine, the limit may come before the call
        limit *= 2
        model_server.script(planner=["1. block()\n2. join()"], joiner=["It took too long."])
        environment = scripted(model_server, LLM_COMPILER_TOOL_TIMEOUT=str(limit))
        process = await start(prepared("-c", BLOCKING_TOOL, "--json", "Hello"), tmp_path, **environment)
        output, errors = await process.communicate()
        assert process.returncode == 0
        assert f"took longer than {limit:g} s" in json.loads(output)["tasks"][0]["result"]
    assert errors == b"noise of a tool\n"


# On a terminal


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Any]:
    """Runs the command on a terminal: `terminal(question, columns=…, env=…)`."""
    terminals: list[Terminal] = []

    def start(
        *arguments: str, command: list[str] = COMMAND, columns: int = 80, env: dict[str, str] | None = None
    ) -> Terminal:
        terminals.append(Terminal([*command, *arguments], columns=columns, folder=tmp_path, env=env or environment()))
        return terminals[-1]

    yield start
    for started in terminals:
        started.close()


def test_the_live_view_has_a_row_and_a_bar_for_each_task(terminal: Any, model_server: ModelServer) -> None:
    plan, _, _ = PLAN.rpartition("\n")
    model_server.script(planner=[f"{plan}\n3. join()"], joiner=[ANSWER])
    command = terminal(QUESTION, columns=80, env=mountains(model_server))
    picture = command.read_all()
    assert command.process.wait() == 0
    lines = picture.split("\n")
    assert max(map(len, lines)) <= 80
    rows = [line for line in lines if re.match(r" *[\d\[\]]+  \w+\(|      (plan|join) ", line)]
    assert [row.split("(")[0].split()[:2] for row in rows] == [
        ["plan", "done"],
        *(["1[0]", "height"], ["1[1]", "height"], ["2", "subtract"]),
        ["join", "done"],
    ]
    assert all(re.search(r" done +\d[\d.]* m?s  [ ━╺╸]*[━╺╸]", row) for row in rows)
    assert [bool(re.search(r" 1 +done ", row)) for row in rows[1:4]] == [False, False, True]  # what they wait for
    assert any(line.startswith("      8849") for line in lines)
    assert re.search(rf"\n{ANSWER}\n\n3 tasks · plan .* · (openai:)?test-model\n", picture)


def long_run(tasks: int) -> Run:
    """A run with a plan whose last task still runs."""
    run = Run(QUESTION)
    run.take({"type": "plan_started", "time": 100.0})
    for number in range(1, tasks + 1):
        needs = [number - 1] if number > 1 else []
        call = {"tool": "search", "arguments": {"query": "山" * 50}, "call": f'search("{"山" * 50}")'}
        task = {"task": number, **call, "dependencies": needs}
        run.take({"type": "task_planned", "time": 100.0, **task})
        run.take({"type": "task_started", "time": 100.0 + number, **task})
        if number < tasks:
            run.take({"type": "task_finished", "time": 102.0 + number, "result": "word\n" * 100, **task})
    run.take({"type": "joiner_started", "time": 300.0})
    run.take({"type": "replanning", "time": 301.0, "feedback": "There is more to find out. " * 20})
    return run


@pytest.mark.parametrize("columns", [30, 80, 160])
@pytest.mark.parametrize("tasks", [3, 12, 100])
def test_the_live_view_fits_into_every_terminal(columns: int, tasks: int) -> None:
    screen = Console(file=io.StringIO(), width=columns, height=24, force_terminal=True, color_system=None)
    run = long_run(tasks)
    run.take_message(AIMessage("An answer. " * 100, id="1"))
    screen.print(LiveView(run, screen))
    lines = screen.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) <= 23
    assert max(map(cell_len, lines)) <= columns
    assert any(f" {tasks}  " in line for line in lines), "the running task has gone before those that are done"
    assert lines[-1].strip().endswith("answer.")


async def test_the_answer_streams_and_without_colours_where_these_are_not_wanted(
    terminal: Any, model_server: ModelServer
) -> None:
    gate = Gate()
    model_server.script(planner=["1. join()"], joiner=[Reply(["Streamed so far", gate, " and to the end."])])
    command = terminal("Hello", env=mountains(model_server, NO_COLOR="1"))
    await asyncio.to_thread(command.read_until, "\nStreamed so far")
    gate.open()
    assert "Streamed so far and to the end.\n" in await asyncio.to_thread(command.read_all)
    assert not re.search(r"\x1b\[[\d;]*3[0-7]", command.output)


async def test_ctrl_c_gives_the_cursor_back(terminal: Any, model_server: ModelServer) -> None:
    gate = Gate()
    model_server.script(planner=[Reply(['1. height("K2")\n', gate])])
    command = terminal("Hello", env=mountains(model_server))
    await gate.reached()
    await asyncio.to_thread(command.read_until, 'height("K2")')
    command.process.send_signal(signal.SIGINT)
    await asyncio.to_thread(command.read_all)
    assert command.process.wait() == 130
    assert command.output.rindex("\x1b[?25h") > command.output.rindex("\x1b[?25l")


def test_a_chat_remembers_and_survives_an_error(terminal: Any, model_server: ModelServer) -> None:
    model_server.script(
        planner=[K2_PLAN, HttpError(401), "3. join()"],
        joiner=["K2 is 8,611 m high.", "As I said: 8,611 m."],
    )
    command = terminal(env=mountains(model_server))
    for question, answer, end in [
        ("How high is K2?", "K2 is 8,611 m high.", "test-model"),
        ("What?", f"Error: {REFUSED_KEY}"[:70], "."),
        ("How high?", "As I said: 8,611 m.", "test-model"),
    ]:
        command.read_until("> ")
        command.type(f"{question}\n")
        command.read_until(f"\n{answer}")
        command.read_until(end)
    command.read_until("> ")
    command.type("\n /quit\n")
    command.read_all()
    assert command.process.wait() == 0
    asked = [message["content"] for message in model_server.requests[-1].messages[1:]]
    assert [asked[0].split("\n")[0], *asked[1:]] == [
        "How high is K2?",
        "K2 is 8,611 m high.",
        "What?",
        UNANSWERED,
        "How high?",
    ]


def test_a_chat_says_what_there_is(terminal: Any) -> None:
    command = terminal()
    for typed, answer in [("/help", "/quit   ends the chat"), ("/halp", "There is no /halp")]:
        command.read_until("> ")
        command.type(f"{typed}\n")
        command.read_until(answer)
    command.read_until("> ")
    command.type("/quit\n")
    command.read_all()
    assert command.process.wait() == 0


def test_a_chat_ends_with_ctrl_d(terminal: Any) -> None:
    command = terminal()
    command.read_until("> ")
    command.type("\x04")
    assert "Error" not in command.read_all()
    assert command.process.wait() == 0


def test_a_chat_ends_with_ctrl_c(terminal: Any) -> None:
    command = terminal(command=INSTALLED_COMMAND)  # a prepared one may get the signal after the key
    command.read_until("> ")
    command.process.send_signal(signal.SIGINT)
    # A signal that comes just before Python waits for a key is seen only with the next key.
    command.type("\n")
    assert "Error" not in command.read_all()
    assert command.process.wait() == 130
