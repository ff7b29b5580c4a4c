"""`llm-compiler eval` with every agent, against a model server; as a process where that matters."""

import asyncio
import base64
import io
import json
import os
import re
import signal
import struct
from asyncio.subprocess import PIPE, Process
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from apps.cli.console import WrongUsageError, tell
from apps.cli.main import app
from tests.support import ROOT
from tests.support.model_server import Answer, ChatRequest, Gate, HttpError, ModelServer, Raw, Reply
from tests.support.terminal import COMMAND, WITHOUT_PLOTS, Terminal
from tests.support.waiting import until_said

AGENTS = ["llm-compiler", "react", "parallel-react"]
QUESTIONS = [
    {"id": "k2", "question": "How high is K2?", "answer": "8611", "branch": 1},
    {"id": "pair", "question": "Which is higher, K2 or Mount Everest?", "answer": "Mount Everest", "branch": 2},
    {"id": "yes", "question": "Is K2 higher than Ben Nevis?", "answer": "yes", "branch": 2},
    {"id": "<b>", "question": "How high is <script>alert(1)</script> Ben Nevis?", "answer": "1345 & more", "branch": 1},
]
ANSWERS = {
    "k2": "It is 8,611 metres high.",
    "pair": "**Mount Everest**",
    "yes": "No.",
    "<b>": "<img src=x onerror=alert(1)>",
}
PRICES = {"models": {"test-model": {"input": 1000, "cached_input": 100, "output": 4000}}}

usage_error = WrongUsageError.mro()[2]  # the base of Typer's own; it has no public name


def write_dataset(tmp_path: Path, questions: list[dict[str, Any]] | None = None) -> Path:
    path = tmp_path / "questions.json"
    path.write_text(json.dumps(QUESTIONS if questions is None else questions), "utf-8")
    (tmp_path / "prices.json").write_text(json.dumps(PRICES), "utf-8")
    return path


def question_of(request: ChatRequest) -> dict[str, Any]:
    said = json.dumps(request.body["messages"])
    return next(question for question in QUESTIONS if json.dumps(question["question"])[1:-1] in said)


def is_judge(request: ChatRequest) -> bool:
    return request.system.startswith("Compare an answer with the right one.")


def model(request: ChatRequest) -> Answer:
    """A model that looks up each mountain of the question, and then answers from ANSWERS."""
    question = question_of(request)
    mountains = re.findall("K2|Mount Everest|Ben Nevis", question["question"])
    if is_judge(request):
        return Reply(tool_calls=[("Verdict", {"reason": "Compared.", "correct": question["id"] != "yes"})])
    if request.is_planner:
        return "\n".join(
            [*(f'{n}. height("{name}")' for n, name in enumerate(mountains, 1)), f"{len(mountains) + 1}. join()"]
        )
    done = sum(message["role"] == "tool" for message in request.messages)
    if request.is_joiner or done == len(mountains):
        return ANSWERS[question["id"]]
    at_once = len(mountains) if request.body.get("parallel_tool_calls") is not False else done + 1
    return Reply(tool_calls=[("height", {"mountain": name}) for name in mountains[done:at_once]])


def arguments(dataset: Path, *options: str) -> list[str]:
    fixed = ["eval", str(dataset), "--graph", "tests.support.mountains", "--model", "openai:test-model"]
    return [*fixed, "--out", str(dataset.with_name("out")), "--prices", str(dataset.with_name("prices.json")), *options]


def environment(server: ModelServer) -> dict[str, str]:
    return {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "sk-not-to-be-seen"}


async def start(server: ModelServer, dataset: Path, *options: str, command: list[str] = COMMAND) -> Process:
    """The command as a process of its own."""
    return await asyncio.create_subprocess_exec(
        *command,
        *arguments(dataset, *options),
        cwd=ROOT,
        env={**os.environ, **environment(server)},
        stdout=PIPE,
        stderr=PIPE,
    )


async def evaluate(
    server: ModelServer, dataset: Path, *options: str, env: dict[str, str] | None = None
) -> tuple[int, str, str]:
    """The command in this process, which saves its start: its exit code and what it says."""
    os.environ |= environment(server) | (env or {})
    out, err = io.StringIO(), io.StringIO()

    def run() -> int:
        try:
            return app(arguments(dataset, *options), standalone_mode=False) or 0
        except Exception as error:  # noqa: BLE001 — as the console script does
            tell(error)
            return 2 if isinstance(error, usage_error) else 1

    with redirect_stdout(out), redirect_stderr(err):
        code = await asyncio.to_thread(run)
    return code, out.getvalue(), err.getvalue()


def rows(dataset: Path) -> list[dict[str, Any]]:
    lines = dataset.with_name("out").joinpath("results.jsonl").read_bytes().split(b"\n")
    return [json.loads(line) for line in lines if line]


def summary(dataset: Path) -> dict[str, Any]:
    return dict(json.loads(dataset.with_name("out").joinpath("summary.json").read_text("utf-8")))


def asked(server: ModelServer, *, judged: bool = False) -> Counter[str]:
    """How often each question was put to an agent (or judge) for the first time."""
    first = [r for r in server.requests if is_judge(r) == judged and not any(m["role"] == "tool" for m in r.messages)]
    return Counter(question_of(request)["id"] for request in first if not request.is_joiner)


@pytest.mark.usefixtures("without_plots")
async def test_every_agent_is_run_on_every_question_and_measured(model_server: ModelServer, tmp_path: Path) -> None:
    model_server.handler = model
    dataset = write_dataset(tmp_path)
    code, out, err = await evaluate(model_server, dataset)
    assert (code, err) == (0, "")
    found = {(row["agent"], row["question_id"]): row for row in rows(dataset)}
    assert set(found) == {(agent, question["id"]) for agent in AGENTS for question in QUESTIONS}
    for agent in AGENTS:
        assert [found[agent, question["id"]]["correct"] for question in QUESTIONS] == [True, True, False, False]
        assert found[agent, "pair"]["answer"] == "**Mount Everest**"
    compiler, react, parallel = (found[agent, "pair"] for agent in AGENTS)
    assert [len(row["calls"]) for row in (compiler, react, parallel)] == [2, 3, 2]
    assert [len(row["tools"]) for row in (compiler, react, parallel)] == [2, 2, 2]
    assert [call["purpose"] for call in compiler["calls"]] == ["plan", "join"]
    assert compiler["plans"] == ['1. height("K2")\n2. height("Mount Everest")\n3. join()']
    assert react["plans"] == react["planning"] == []
    for row in found.values():
        assert row["error"] == ""
        assert row["tokens"]["output"] == sum(call["tokens"]["output"] for call in row["calls"]) > 0
        assert all(
            0 <= step["started"] <= step["finished"] <= row["latency"] for step in (*row["calls"], *row["tools"])
        )
    agents = summary(dataset)["agents"]
    assert [agents[agent]["correct"] for agent in AGENTS] == [2, 2, 2]
    assert agents["react"]["speedup"] == {"of_means": 1.0, "median": 1.0, "questions": 4}
    assert agents["react"]["model_calls"] == pytest.approx((2 + 3 + 3 + 2) / 4)
    assert agents["llm-compiler"]["cost"] == pytest.approx(
        (agents["llm-compiler"]["input_tokens"] + 4 * agents["llm-compiler"]["output_tokens"]) / 1000
    )
    for label in (
        "llm-compiler",
        "parallel-react",
        "2 of 4",
        "50 %",
        "times as fast as react",
        "12 of 12",
        "report.html",
    ):
        assert label in out
    assert "sk-not-to-be-seen" not in "".join(
        path.read_text("utf-8") for path in dataset.with_name("out").iterdir() if path.suffix != ".png"
    )


@pytest.mark.usefixtures("without_plots")
async def test_cached_tokens_come_from_what_the_server_reports(model_server: ModelServer, tmp_path: Path) -> None:
    usage = {
        "prompt_tokens": 50,
        "completion_tokens": 7,
        "total_tokens": 57,
        "prompt_tokens_details": {"cached_tokens": 20},
    }
    head = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "test-model"}

    def reports(request: ChatRequest) -> Answer:
        text = "1. join()" if request.is_planner else "8611"
        if not request.stream:
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            whole = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
            return Reply([Raw(json.dumps(whole))])
        return Reply([text, Raw(json.dumps({**head, "choices": [], "usage": usage}))], usage=False)

    model_server.handler = reports
    dataset = write_dataset(tmp_path, QUESTIONS[:1])
    code, _, err = await evaluate(model_server, dataset, "--agents", "llm-compiler")
    assert (code, err) == (0, "")
    figures = summary(dataset)["agents"]["llm-compiler"]
    assert (figures["input_tokens"], figures["cached_input_tokens"], figures["output_tokens"]) == (100, 40, 14)
    assert figures["cost"] == pytest.approx((60 * 1000 + 40 * 100 + 14 * 4000) / 1e6)


async def test_report_and_plots_stand_alone_and_nothing_in_them_is_run(
    model_server: ModelServer, tmp_path: Path
) -> None:
    model_server.handler = model
    dataset = write_dataset(tmp_path)
    code, *_ = await evaluate(model_server, dataset, "--timeline", "pair")
    assert code == 0
    out = dataset.with_name("out")
    page = out.joinpath("report.html").read_text("utf-8")
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "1345 &amp; more" in page
    assert not re.findall(r"""(?:src|href|srcset)=["'](?!data:)""", page)
    drawings = re.findall('data:image/svg[+]xml;base64,([^"]+)', page)
    assert len(drawings) == 3 * 4
    assert all(base64.b64decode(drawing).lstrip().startswith(b"<?xml") for drawing in drawings)
    assert any("Which is higher, K2 or Mount Everest?" in base64.b64decode(drawing).decode() for drawing in drawings)
    for name in ("latency", "accuracy_cost", "timeline"):
        image = out.joinpath(f"{name}.png").read_bytes()
        width, height = struct.unpack(">II", image[16:24])
        assert image.startswith(b"\x89PNG")
        assert width > 1000
        assert height > 200


@pytest.mark.usefixtures("without_plots")
async def test_a_question_that_fails_is_a_row_and_not_the_end(model_server: ModelServer, tmp_path: Path) -> None:
    def fails_on_everest(request: ChatRequest) -> Answer:
        return HttpError(400, "no Everest today") if question_of(request)["id"] == "pair" else model(request)

    model_server.handler = fails_on_everest
    dataset = write_dataset(tmp_path)
    code, out, _ = await evaluate(model_server, dataset)
    assert code == 0
    errors = {(row["agent"], row["question_id"]): row["error"] for row in rows(dataset) if row["error"]}
    assert set(errors) == {(agent, "pair") for agent in AGENTS}
    assert all("no Everest today" in error for error in errors.values())
    agents = summary(dataset)["agents"]
    assert [(agents[agent]["failed"], agents[agent]["correct"], agents[agent]["runs"]) for agent in AGENTS] == [
        (1, 1, 4)
    ] * 3
    assert "1 of 4 runs gave no answer" in out

    model_server.handler = model
    before = len(model_server.requests)
    assert (await evaluate(model_server, dataset))[0] == 0
    assert len(model_server.requests) == before  # a failure is not tried again unasked
    assert (await evaluate(model_server, dataset, "--retry-failed"))[0] == 0
    assert {question_of(request)["id"] for request in model_server.requests[before:]} == {"pair"}
    assert [summary(dataset)["agents"][agent]["failed"] for agent in AGENTS] == [0, 0, 0]


@pytest.mark.usefixtures("without_plots")
async def test_a_run_that_takes_too_long_is_a_row(model_server: ModelServer, tmp_path: Path) -> None:
    model_server.handler = lambda request: Reply([Gate()]) if question_of(request)["id"] == "k2" else model(request)
    limit, errors = 0.5, {"all": ""}
    while set(errors) - {"k2"}:  # on a slow machine, the other questions need more
        limit *= 2
        folder = tmp_path / str(limit)
        folder.mkdir()
        dataset = write_dataset(folder)
        code, *_ = await evaluate(model_server, dataset, "--agents", "llm-compiler", "--timeout", str(limit))
        assert code == 0
        errors = {row["question_id"]: row["error"] for row in rows(dataset) if row["error"]}
    assert errors == {"k2": f"No answer within {limit:g} s."}


@pytest.mark.usefixtures("without_plots")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
async def test_interrupted_and_started_again_it_pays_for_no_answer_twice(
    model_server: ModelServer, tmp_path: Path, how: signal.Signals
) -> None:
    gate = Gate()

    def hangs_on_the_third(request: ChatRequest) -> Answer:
        reply = model(request)
        third = len(asked(model_server)) >= 3 and list(asked(model_server))[2] == question_of(request)["id"]
        return Reply([gate, reply]) if third and isinstance(reply, str) and request.is_planner else reply

    model_server.handler = hangs_on_the_third
    dataset = write_dataset(tmp_path)
    options = ("--concurrency", "1")
    process = await start(model_server, dataset, *options, command=WITHOUT_PLOTS)
    await gate.reached()
    done = [(row["agent"], row["question_id"]) for row in rows(dataset)]
    assert len(done) >= 6  # the first two questions
    process.send_signal(how)
    if how is signal.SIGINT:
        await until_said(process, "Ctrl-C again")
        gate.open()
        out, _ = await process.communicate()
        assert process.returncode == 130
        assert b"the same command goes on" in out
        assert summary(dataset)["complete"] is False
        assert len(rows(dataset)) == len(done) + 1  # the run that was going on has been ended, and kept
        done.append((rows(dataset)[-1]["agent"], rows(dataset)[-1]["question_id"]))
    else:
        await process.wait()
        gate.open()
        assert [(row["agent"], row["question_id"]) for row in rows(dataset)] == done

    again_code, out_again, _ = await evaluate(model_server, dataset, *options)
    assert again_code == 0
    assert f"Going on after {len(done)} of 12 runs" in out_again
    made = Counter((row["agent"], row["question_id"]) for row in rows(dataset))
    assert made == Counter({(agent, question["id"]): 1 for agent in AGENTS for question in QUESTIONS})
    assert sum(asked(model_server).values()) == 12 + (how is signal.SIGKILL)  # only what was cut short is asked again
    assert summary(dataset)["complete"] is True


async def test_ctrl_c_twice_stops_at_once_and_leaves_whole_lines(model_server: ModelServer, tmp_path: Path) -> None:
    gate = Gate()
    model_server.handler = lambda request: Reply([gate]) if question_of(request)["id"] == "yes" else model(request)
    dataset = write_dataset(tmp_path)
    process = await start(model_server, dataset, "--agents", "llm-compiler", "--concurrency", "4")
    await until_said(process, "3 of 4")
    process.send_signal(signal.SIGINT)
    await until_said(process, "Ctrl-C again")
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 130
    assert {row["question_id"] for row in rows(dataset)} == {"k2", "pair", "<b>"}


@pytest.mark.usefixtures("without_plots")
async def test_a_judge_decides_and_is_not_asked_twice(model_server: ModelServer, tmp_path: Path) -> None:
    model_server.handler = model
    dataset = write_dataset(tmp_path)
    assert (await evaluate(model_server, dataset))[0] == 0
    before = len(model_server.requests)
    code, out, _ = await evaluate(model_server, dataset, "--judge-model", "openai:judge")
    assert code == 0
    assert all(is_judge(request) and request.model == "judge" for request in model_server.requests[before:])
    assert len(model_server.requests) - before == 12
    agents = summary(dataset)["agents"]
    assert [(agents[agent]["correct"], agents[agent]["correct_by_rules"]) for agent in AGENTS] == [(3, 2)] * 3
    assert "right by the rules" in out
    assert (await evaluate(model_server, dataset, "--judge-model", "openai:judge"))[0] == 0
    assert len(model_server.requests) - before == 12


@pytest.mark.usefixtures("without_plots")
async def test_a_judge_that_fails_leaves_the_rules(model_server: ModelServer, tmp_path: Path) -> None:
    model_server.handler = lambda request: HttpError(400, "no judge") if is_judge(request) else model(request)
    dataset = write_dataset(tmp_path)
    code, out, _ = await evaluate(model_server, dataset, "--agents", "llm-compiler", "--judge")
    assert code == 0
    assert summary(dataset)["agents"]["llm-compiler"]["unjudged"] == 4
    assert summary(dataset)["agents"]["llm-compiler"]["correct"] == 2
    assert "no judge" in out


@pytest.mark.usefixtures("without_plots")
async def test_more_of_the_same_goes_on_and_another_configuration_is_refused(
    model_server: ModelServer, tmp_path: Path
) -> None:
    model_server.handler = model
    dataset = write_dataset(tmp_path)
    assert (await evaluate(model_server, dataset, "--n", "2", "--agents", "react"))[0] == 0
    assert (await evaluate(model_server, dataset, "--n", "3", "--agents", "react,llm-compiler", "--repeat", "2"))[
        0
    ] == 0
    made = Counter((row["agent"], row["question_id"]) for row in rows(dataset))
    assert sorted(made.values()) == [2] * 6
    before = len(model_server.requests)
    for options, said in {
        ("--seed", "5"): "seed was 0 and is now 5",
        ("--model", "openai:other"): 'model was "openai:test-model" and is now "openai:other"',
        ("--instruction", ""): "instruction was",
    }.items():
        code, _, err = await evaluate(model_server, dataset, *options)
        assert code == 1
        assert said in err
        assert "choose another --out" in err
    code, _, err = await evaluate(model_server, dataset, env={"LLM_COMPILER_MAX_REPLANS": "0"})
    assert (code, "max_replans" in err) == (1, True)
    write_dataset(tmp_path, [*QUESTIONS[1:], {**QUESTIONS[0], "answer": "8612"}])
    code, _, err = await evaluate(model_server, dataset)
    assert (code, "dataset was" in err) == (1, True)
    assert len(model_server.requests) == before


async def test_a_refused_key_ends_it_without_rows(model_server: ModelServer, tmp_path: Path) -> None:
    model_server.handler = lambda _: HttpError(401, "wrong key sk-not-to-be-seen")
    dataset = write_dataset(tmp_path)
    code, _, err = await evaluate(model_server, dataset)
    assert code == 1
    assert err == "Error: The model's server refused the API key (401). Check it; for OpenAI it is OPENAI_API_KEY.\n"
    assert rows(dataset) == []


async def test_without_matplotlib_it_is_named_and_the_rest_is_written(
    model_server: ModelServer, tmp_path: Path
) -> None:
    model_server.handler = model
    dataset = write_dataset(tmp_path)
    process = await start(model_server, dataset, "--agents", "react", command=WITHOUT_PLOTS)
    out, err = (said.decode() for said in await process.communicate())
    assert (process.returncode, err) == (0, "")
    assert 'Plots need Matplotlib: pip install -e ".[plots]"' in out
    assert sorted(path.name for path in dataset.with_name("out").iterdir()) == [
        "config.json", "report.html", "results.jsonl", "summary.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (
            ["--agents", "plan-and-solve"],
            1,
            "There is no agent 'plan-and-solve'; there are llm-compiler, react, parallel-react.",
        ),
        (["--agents", ","], 2, "--agents names none."),
        (["--graph", "no_such"], 1, "There is no graph 'no_such' in langgraph.json, and no module "),
        (["--graph", "apps.runs.errors"], 1, "can't be loaded from apps.runs.errors:graph: module"),
        (["--graph", "tests.support.studio_graph"], 1, "tests.support.studio_graph can't be evaluated: it needs its"),
        (["--model", "nobody:knows"], 1, "nobody"),
        (["--prices", "none.json"], 1, "none.json: can't be read"),
        (["--timeline", "k3"], 1, "there is no id 'k3'"),
        (["--concurrency", "0"], 2, "concurrency"),
        (["--n", "0"], 2, "--n"),
        (["--timeout", "inf"], 2, "--timeout is inf"),
    ],
)
async def test_what_cannot_be_is_told_in_a_line(
    model_server: ModelServer, tmp_path: Path, options: list[str], code: int, said: str
) -> None:
    returned, out, err = await evaluate(model_server, write_dataset(tmp_path), *options)
    assert (returned, out) == (code, "")
    assert said in err
    assert "Traceback" not in err


async def test_a_dataset_that_lacks_something_is_told_in_a_line(model_server: ModelServer, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [{"id": "a", "question": "How high is K2?"}])
    code, _, err = await evaluate(model_server, dataset)
    assert (code, err) == (1, f"Error: {dataset}, question 1: answer: Field required. It has id, question.\n")


async def test_on_a_terminal_the_figures_run_along(model_server: ModelServer, tmp_path: Path) -> None:
    gate = Gate()
    model_server.handler = lambda request: Reply([gate]) if question_of(request)["id"] == "yes" else model(request)
    dataset = write_dataset(tmp_path)
    command = [*COMMAND, *arguments(dataset, "--agents", "llm-compiler")]
    env = {**os.environ, **environment(model_server)}
    terminal = Terminal(command, columns=80, folder=ROOT, env=env)
    try:
        await asyncio.to_thread(terminal.read_until, "3/4")
        await asyncio.to_thread(terminal.read_until, "67 %")
        terminal.process.send_signal(signal.SIGINT)
        await asyncio.to_thread(terminal.read_until, "Ctrl-C again stops at once.")
        terminal.process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(terminal.process.wait) == 130
    finally:
        terminal.close()
