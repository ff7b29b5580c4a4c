"""What README, CONTRIBUTING, SECURITY and docs/ say is so: their snippets and commands run, what they name exists."""

import ast
import asyncio
import importlib
import inspect
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from dotenv import dotenv_values
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from mcp import ClientSession, StdioServerParameters, stdio_client
from packaging.requirements import Requirement

from agent import Context, as_tool, create_llm_compiler
from agent.tooling.metadata import Metadata
from apps.cli.main import EXAMPLES
from apps.runs.graphs import listed
from apps.server.app import create_app
from apps.server.limits import PREFIX, Limits
from tests.support import PATIENCE, ROOT
from tests.support.documents import DOCUMENTS, FENCED, blocks, python
from tests.support.model_server import ModelServer
from tests.support.mountains import PLAN, graph
from tests.support.prepared_python import prepared
from tests.support.program import program
from tests.support.repository import tracked
from tests.support.serving import serving
from tests.support.terminal import (
    COMMAND,
    MOUNTAINS,
    PREPARED_COMMAND,
    WITHOUT_PLOTS,
    Terminal,
    environment,
    mountains,
)

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
ENV_EXAMPLE = (ROOT / ".env.example").read_text("utf-8")

_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_ROW = re.compile(r"^\| (?!-)(.*) \|$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def prose(text: str) -> str:
    """The text without its blocks."""
    return FENCED.sub("", text)


def spans() -> list[str]:
    """All that stands between backquotes."""
    return [span for text in DOCUMENTS.values() for span in _SPAN.findall(prose(text))]


def table(document: str, after: str) -> list[list[str]]:
    """The cells of the document's first table below this text, without its head."""
    text = DOCUMENTS[document][DOCUMENTS[document].index(after) :]
    start = text.index("\n|---")
    rows = text[start:].split("\n\n")[0]
    return [re.split(r"(?<!\\) \| ", row) for row in _ROW.findall(rows)]


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    languages = {found[2] for text in DOCUMENTS.values() for found in FENCED.finditer(text)}
    assert languages == {"python", "bash", "json", "mermaid", "text"}


# --- Python


PYTHON_TESTED = (
    "def weather(city: str) -> dict",
    "RemoteRunnable",
    "OpenAI(",
    "def exchange_rate",
    "def test_both_cities",
    "on_ray(",
    "get_client",
    "agentevals",
    "from langsmith",
)
"""Each has its test below; that of `get_client`, under LangGraph's server, is in tests/graphs/test_studio.py, that of
LangSmith in tests/apps/evaluation/test_langsmith.py."""


def test_every_python_block_is_tested() -> None:
    assert [sum(text in block for text in PYTHON_TESTED) for block in blocks("python")] == [1] * len(PYTHON_TESTED)


@pytest.fixture
def as_openai(model_server: ModelServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModelServer:
    """The scripted server, where snippets look for OpenAI, in a folder without a `.env`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    monkeypatch.setenv("OPENAI_BASE_URL", model_server.base_url)
    return model_server


def test_the_first_snippet_answers(as_openai: ModelServer, capsys: pytest.CaptureFixture[str]) -> None:
    as_openai.script(planner=['1. weather.map(["Rome", "Oslo"])\n2. join()'], joiner=["Not at all."])
    exec(python("def weather(city: str) -> dict"), {"__name__": "__main__"})
    assert capsys.readouterr().out == "Not at all.\n"
    assert [exchange.request.model for exchange in as_openai.exchanges] == ["gpt-4.1-mini"] * 2


def test_the_first_snippet_is_an_agent_for_the_command_line(as_openai: ModelServer, tmp_path: Path) -> None:
    as_openai.script(planner=['1. weather("Rome")\n2. join("$1.celsius °C.")'])
    (tmp_path / "my_agent.py").write_text(python("def weather(city: str) -> dict"), "utf-8")
    env = environment(LLM_COMPILER_GRAPH="my_agent", OPENAI_API_KEY="test", OPENAI_BASE_URL=as_openai.base_url)
    command = [*COMMAND, "--quiet", "How warm is it in Rome?"]
    ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("21 °C.\n", "")


async def test_a_test_of_the_first_snippet_passes(
    as_openai: ModelServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "my_agent.py").write_text(python("def weather(city: str) -> dict"), "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    given: dict[str, Any] = {}
    exec(python("def test_both_cities"), given)
    await given["test_both_cities_are_looked_up"](as_openai, monkeypatch)


async def test_a_host_of_mcp_starts_it_from_anywhere(
    tmp_path: Path, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHON_DOTENV_DISABLED")
    model_server.script(planner=['1. weather("Rome")\n2. join("$1.celsius °C.")'])
    (tmp_path / "my_agent.py").write_text(python("def weather(city: str) -> dict"), "utf-8")
    settings = f"OPENAI_API_KEY=any\nOPENAI_BASE_URL={model_server.base_url}\nLLM_COMPILER_GRAPH=my_agent\n"
    (tmp_path / ".env").write_text(settings)
    program(tmp_path / ".venv" / "bin" / "llm-compiler", f'#!/bin/sh\nexec {shlex.join(PREPARED_COMMAND)} "$@"\n')
    (config,) = blocks("json")
    started = json.loads(config.replace("/path/to/project", str(tmp_path)))["mcpServers"]["llm-compiler"]
    server = StdioServerParameters(**started, cwd="/", env=environment())
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        result = await session.call_tool("ask", {"question": "How warm is it in Rome?"})
    assert [block.text for block in result.content if block.type == "text"] == ["21 °C."]


@pytest.mark.parametrize("client", ["RemoteRunnable", "OpenAI("])
async def test_the_client_answers(as_openai: ModelServer, client: str, capsys: pytest.CaptureFixture[str]) -> None:
    as_openai.script(planner=['1. join("238 metres.")'])
    async with serving(create_app(graph)) as url:
        code = python(client).replace("http://127.0.0.1:8000/", url)
        await asyncio.to_thread(exec, code, {})
    assert capsys.readouterr().out == "238 metres.\n"


@pytest.mark.parametrize(("cities", "said"), [('["Rome", "Oslo"]', "True\n"), ('["Rome", "Lima"]', "False\n")])
def test_the_calls_of_the_first_snippet_are_compared_with_expected_ones(
    as_openai: ModelServer, capsys: pytest.CaptureFixture[str], cities: str, said: str
) -> None:
    as_openai.script(planner=[f"1. weather.map({cities})\n2. join()"], joiner=["Not at all."])
    given: dict[str, Any] = {"__name__": "__main__"}
    exec(python("def weather(city: str) -> dict"), given)
    exec(python("agentevals"), given)
    assert capsys.readouterr().out == f"Not at all.\n{said}"


def test_the_tools_for_a_cluster_are_tools() -> None:
    def simulate() -> None:
        """simulates"""

    given: dict[str, Any] = {"simulate": simulate, "render": tool(simulate), "search": simulate}
    exec(python("on_ray("), given)
    assert [getattr(one, "name", "") for one in given["TOOLS"]] == ["simulate", "simulate", ""]


OWN_PLAN = '1. exchange_rate("USD", quote="EUR")\n2. pay("Ann", 20, "USD")\n3. join()'


@pytest.mark.parametrize(("answer", "became"), [("y", "Paid 20.00 USD to Ann."), ("n", "The user said no.")])
def test_an_agent_of_your_own_asks_before_it_pays(
    as_openai: ModelServer, tmp_path: Path, answer: str, became: str
) -> None:
    as_openai.script(planner=[OWN_PLAN], joiner=["Done."])
    ran = run_script(python("def exchange_rate"), tmp_path, input=f"Pay Ann 20 dollars.\n{answer}\n")
    assert ran.returncode == 0, ran.stderr
    assert "pay({'to': 'Ann', 'amount': 20, 'currency': 'USD'})? [y/n]" in ran.stdout
    assert ran.stdout.endswith("Done.\n")
    assert ("pay: success\n" in ran.stdout) == (answer == "y")
    assert "exchange_rate: success\n" in ran.stdout
    for exchange in as_openai.exchanges:
        assert "You work for a bookkeeper." in exchange.request.system
    results = as_openai.exchanges[-1].request.user
    assert "0.86" in results
    assert became in results


def test_an_agent_of_your_own_has_the_tools_of_mcp_servers(as_openai: ModelServer, tmp_path: Path) -> None:
    command, *args = prepared(str(ROOT / "tests" / "support" / "mcp_server.py"))
    server = {"command": command, "args": args}
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": {"test": server}}))
    as_openai.script(planner=["1. add(2, 3)\n2. join()"], joiner=["Five."])
    ran = run_script(python("def exchange_rate"), tmp_path, input="What is 2 + 3?\n")
    assert ran.stdout.endswith("Five.\n"), ran.stderr
    assert "add(2, 3) -> 5" in as_openai.exchanges[-1].request.user.replace("first=", "").replace("second=", "")


def run_script(code: str, folder: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the code as a script in a folder."""
    (folder / "my_agent.py").write_text(code, "utf-8")
    command = prepared("my_agent.py")
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False, **options
    )


# --- shell


def commands() -> Iterator[tuple[str, list[str]]]:
    """The lines of the shell blocks, each with its words; comments are gone."""
    for block in blocks("bash"):
        for line in block.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield line, words


def of(program: str) -> list[list[str]]:
    """The arguments with which a program is called."""
    return [words[1:] for _, words in commands() if words[0] == program]


def test_every_command_is_tested() -> None:
    tested = {"make", "llm-compiler", "docker", "source", "curl"}
    assert {words[0] for _, words in commands() if "=" not in words[0]} <= tested


def test_the_command_is_where_the_environment_puts_it() -> None:
    activate = [words for _, words in commands() if words[0] == "source"]
    assert activate == [["source", ".venv/bin/activate"]]
    assert re.search(r"^VENV \?= \.venv$", MAKEFILE, re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["scripts"] == {"llm-compiler": "apps.cli.main:main"}


OF_HELP = [shlex.split(found) for found in re.findall(r"^ .*llm-compiler([^|(\n]*)", EXAMPLES, re.MULTILINE)]
SHOWN = {shlex.join(arguments): arguments for arguments in [*of("llm-compiler"), *OF_HELP]}


@pytest.mark.parametrize("arguments", SHOWN.values(), ids=SHOWN)
def test_the_command_line_does_what_documents_and_help_show(
    arguments: list[str], tmp_path: Path, model_server: ModelServer
) -> None:
    model_server.handler = lambda _: PLAN
    env = mountains(model_server, XDG_STATE_HOME=str(tmp_path))
    if not arguments:
        return chat(tmp_path, env)
    command = [*COMMAND, *arguments]
    ran = subprocess.run(
        command, cwd=tmp_path, env=env, input="How high is K2?", capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout
    assert all((tmp_path / name).stat().st_size for name in arguments if name.endswith(".svg"))
    return None


def chat(folder: Path, env: dict[str, str]) -> None:
    terminal = Terminal(COMMAND, columns=80, folder=folder, env=env)
    try:
        terminal.read_until("> ")
        terminal.type("\x04")
        terminal.read_all()
        assert terminal.process.wait() == 0
    finally:
        terminal.close()


TARGETS = sorted(
    {
        target
        for text in [*spans(), *blocks("bash")]
        for target in re.findall(r"\bmake ((?:[a-z-]+ ?)+)", text)
        for target in target.split()
    }
)


@pytest.mark.parametrize("target", TARGETS)
def test_make_has_the_target_and_says_what_it_is(target: str) -> None:
    assert re.search(rf"^{target}:.*## ", MAKEFILE, re.MULTILINE)
    ran = make("--dry-run", target)
    assert ran.returncode == 0, ran.stderr


def test_make_help_lists_the_targets() -> None:
    assert {line.split()[1] for line in make("help").stdout.splitlines()} >= set(TARGETS)


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", of("make"), ids=shlex.join)
def test_the_arguments_of_make_are_ones_of_the_makefile(arguments: list[str]) -> None:
    given = [word.partition("=")[0] for word in arguments if "=" in word]
    assert all(f"$({name})" in MAKEFILE or name in variables_read() for name in given)


@pytest.mark.parametrize("arguments", of("docker"), ids=shlex.join)
def test_the_container_is_run_with_variables_and_a_port_that_it_knows(arguments: list[str]) -> None:
    # There is no Docker where tests run; test_images.py has what can be said of the image.
    given = [arguments[index + 1].partition("=")[0] for index, word in enumerate(arguments) if word == "-e"]
    assert set(given) <= variables_read()
    assert "EXPOSE 8000" in (ROOT / "Dockerfile").read_text("utf-8")
    assert "8000:8000" in arguments


@pytest.mark.parametrize("arguments", of("curl"), ids=shlex.join)
async def test_a_request_by_hand_is_answered(arguments: list[str], as_openai: ModelServer) -> None:
    as_openai.script(planner=['1. join("8611 metres.")'])
    address, _, header, _, body = arguments
    async with serving(create_app(graph)) as url, httpx.AsyncClient(timeout=PATIENCE) as client:
        asked = address.replace("http://127.0.0.1:8000/", url)
        answer = await client.post(asked, content=body, headers=dict([header.split(": ")]))
    assert answer.json()["output"]["answer"] == "8611 metres."


def test_packages_to_install_are_spelled_as_pip_takes_them() -> None:
    # Installing is for a network; what can be said without is that the words are right and the extras exist.
    installs = [word for span in spans() if span.startswith("pip install") for word in span.split()[2:]]
    own = [word.removeprefix(".") for word in installs if word.startswith(".")]
    others = [Requirement(word) for word in installs if not word.startswith((".", "-e"))]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = {extra for word in own for extra in Requirement(f"own{word}").extras}
    assert others
    assert {"serve", "mcp"} <= extras <= project["optional-dependencies"].keys()


def test_an_evaluation_runs(tmp_path: Path, model_server: ModelServer) -> None:
    model_server.handler = lambda request: '1. join("8611")' if request.is_planner else "8611"
    (span,) = [span for span in spans() if span.startswith("llm-compiler eval questions")]
    _, _, dataset, *rest = shlex.split(span)
    (tmp_path / dataset).write_text(json.dumps([{"question": "How high is K2?", "answer": "8611"}]))
    ran = subprocess.run(
        [*WITHOUT_PLOTS, "eval", dataset, *rest],
        cwd=tmp_path,
        env=mountains(model_server),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "react" in ran.stdout
    (folder,) = (tmp_path / "evaluation").iterdir()
    assert "mountains" in folder.name  # the graph that LLM_COMPILER_GRAPH names, as everywhere


# --- the plan language


@tool
async def get(what: str) -> Any:
    """gives something"""
    return {"item": {"price": 5, "unit price": 7}, "list": [{"name": "a"}, {"name": "b"}]}[what]


@tool
async def see(value: Any, context: Any = None) -> Any:
    """gives back what it is given"""
    return value


FIRST = {
    "the item": '1. get("item")',
    "the list": '1. get("list")',
    "a map": '1. see.map(["K2", "Fuji"])',
}
LANGUAGE = [
    ("`$1`", "the item", "see($1)", [{"value": {"price": 5, "unit price": 7}}]),
    ("`${1}`", "the list", 'see("${1}")', [{"value": [{"name": "a"}, {"name": "b"}]}]),
    ("inside a text, put into it", "a map", 'see("$1[0] and ${1[1]}")', [{"value": "K2 and Fuji"}]),
    ("`$1.price`", "the item", "see($1.price)", [{"value": 5}]),
    ("`$1[0].name`", "the list", 'see("$1[0].name")', [{"value": "a"}]),
    ('`$1["unit price"]`', "the item", 'see($1["unit price"])', [{"value": 7}]),
    ('`search.map(["K2", "Fuji"])`', "the item", 'see.map(["K2", "Fuji"])', [{"value": "K2"}, {"value": "Fuji"}]),
    ("`$1` is the list of results", "a map", "see($1)", [{"value": ["K2", "Fuji"]}]),
    (
        '`math.map(["…", "…"], context=$1)`',
        "a map",
        'see.map(["a", "b"], context=$1)',
        [{"value": "a", "context": "K2"}, {"value": "b", "context": "Fuji"}],
    ),
    ("`rate.map($1)`", "the list", "see.map($1)", [{"value": {"name": "a"}}, {"value": {"name": "b"}}]),
    ("`under $100` is a price", "the item", 'see("under $100")', [{"value": "under $100"}]),
    ("`$1.50` and `$1,000`", "the item", 'see("$1.50 or $1,000")', [{"value": "$1.50 or $1,000"}]),
    (
        "`context=$1[:]`",
        "a map",
        'see.map(["a", "b"], context=$1[:])',
        [{"value": "a", "context": ["K2", "Fuji"]}, {"value": "b", "context": ["K2", "Fuji"]}],
    ),
]


@pytest.mark.parametrize(("says", "first", "call", "arguments"), LANGUAGE, ids=[row[2] for row in LANGUAGE])
async def test_the_plan_language_is_as_its_table_says(
    says: str, first: str, call: str, arguments: list[Any], model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    assert says in DOCUMENTS["docs/plan-language.md"]
    model_server.script(planner=[f"{FIRST[first]}\n2. {call}\n3. join()"], joiner=["Done."])
    output = await create_llm_compiler([get, see], model=chat_model).ainvoke({"messages": "Question?"})
    made = [m for m in output["messages"] if isinstance(m, ToolMessage) and m.tool_call_id.startswith("task_2")]
    given = [m.response_metadata["arguments"] for m in made]
    assert [{k: v for k, v in one.items() if v is not None} for one in given] == arguments


async def test_the_plan_that_explains_how_it_works_works(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    async def search(query: str) -> str:
        """the height of a mountain"""
        return {"Mount Everest": "8849 m", "K2": "8611 m"}[query]

    async def math(problem: str, context: list[str]) -> int:
        """subtracts"""
        assert context == ["8849 m", "8611 m"]
        return 238

    (plan,) = blocks("text")
    model_server.script(planner=[plan])
    output = await create_llm_compiler([search, math], model=chat_model).ainvoke({"messages": "How much taller?"})
    assert output["messages"][-1].text == "Mount Everest is 238 m taller than K2."


async def test_a_plan_without_the_answers_words_is_joined(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    assert "| `join()` | the answer is written later, from the results |" in DOCUMENTS["docs/plan-language.md"]
    model_server.script(planner=['1. see("K2")\n2. join()'], joiner=["Written later."])
    output = await create_llm_compiler([see], model=chat_model).ainvoke({"messages": "Question?"})
    assert output["messages"][-1].text == "Written later."


# --- pictures, links, names


def test_the_picture_of_the_graph_is_the_graph() -> None:
    (drawn,) = blocks("mermaid")
    edges = re.findall(r"^\s*(\w+) (-->|-\.->|-\. (\w+) \.->) (\w+);$", drawn, re.MULTILINE)
    assert len(edges) == len(drawn.strip().splitlines()) - 1
    graph = create_llm_compiler([], model=FakeListChatModel(responses=[])).get_graph()
    assert {(source, arrow != "-->", label, target) for source, arrow, label, target in edges} == {
        (edge.source, edge.conditional, edge.data or "", edge.target) for edge in graph.edges
    }


def written(path: Path) -> str:
    """What stands in a page, or in a notebook's own text."""
    if path.suffix != ".ipynb":
        return path.read_text("utf-8")
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return any(file.is_relative_to(target) for file in tracked()) and (not anchor or anchor in anchors(target))


def test_links_lead_somewhere() -> None:
    links = [(page, link) for page in tracked("*.md", "*.ipynb") for link in _LINK.findall(prose(written(page)))]
    here = [(page, link) for page, link in links if not link.startswith(("http://", "https://"))]
    assert len(here) > 50
    assert [(str(page.relative_to(ROOT)), link) for page, link in here if not leads_somewhere(page, link)] == []


@cache
def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(written(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_pages_that_code_and_settings_name_are_there() -> None:
    texts = [path.read_text("utf-8", "replace") for path in tracked() if path.name != "requirements.txt"]
    named = {name for text in texts for name in re.findall(r"\bdocs/[\w-]+\.md(?:#[\w-]+)?", text)}
    assert "docs/scaling.md" in named
    for name in named:
        path, _, anchor = name.partition("#")
        assert (ROOT / path).exists(), name
        assert not anchor or anchor in anchors(ROOT / path), name


def test_the_files_to_read_are_there() -> None:
    names = re.findall(r"`([\w/]+\.(?:py|json|toml|txt|db|md))`", "".join(map(prose, DOCUMENTS.values())))
    made_by_the_reader = {"mcp.json", "my_agent.py", "tests/test_my_agent.py", "orders.db", "questions.json"}
    assert {
        name
        for name in names
        if not any((ROOT / folder / name).exists() for folder in (".", "agent")) and name not in made_by_the_reader
    } == set()


def test_metadata_is_told_of_key_by_key() -> None:
    rows = table("docs/tools.md", "| metadata | means |")
    keys = [key for cells in rows for key in re.findall(r"`(\w+): ", cells[0])] + re.findall(
        r"`(\w+): \d+`", rows[4][0]
    )
    assert set(keys) == {field.name for field in fields(Metadata)}


def test_parameters_that_are_named_exist() -> None:
    calls = [span for span in spans() if re.match(r"create_llm_compiler\(|[a-z_]+=$", span)]
    named = {name for call in calls for name in re.findall(r"([a-z_]+)=", call)}
    assert named >= {"examples", "planner_protocol", "checkpointer", "model", "system_prompt", "wrap_tool_call"}
    assert named <= inspect.signature(create_llm_compiler).parameters.keys()
    assert "`agent.as_tool(graph, name=" in DOCUMENTS["docs/tools.md"]
    assert {"name", "description"} <= inspect.signature(as_tool).parameters.keys()


def test_settings_of_a_run_that_are_named_exist() -> None:
    assert {"max_replans", "max_tasks", "requires_approval"} <= {*spans()} & Context.model_fields.keys()


def test_graphs_that_are_named_for_studio_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")  # the default one may be any graph, which may want a key
    assert "[graphs/mcp_agent.py](../graphs/mcp_agent.py)`:make_graph`" in DOCUMENTS["docs/tools.md"]
    assert listed()["mcp_agent"] == "./graphs/mcp_agent.py:make_graph"
    for path, attribute in (name.split(":") for name in listed().values()):
        module = importlib.import_module(path.removeprefix("./").removesuffix(".py").replace("/", "."))
        assert hasattr(module, attribute)


def test_a_local_server_needs_no_key(model_server: ModelServer, tmp_path: Path) -> None:
    (row,) = [cells for cells in table("docs/models.md", "# Models") if "Ollama" in cells[0]]
    given = dict(span.split("=", 1) for span in _SPAN.findall(row[1]))
    assert given.keys() == {"OPENAI_BASE_URL", "LLM_COMPILER_MODEL"}
    model_server.script(planner=["1. join()"], joiner=["Hello."])
    env = environment(**{**given, "OPENAI_BASE_URL": model_server.base_url, **MOUNTAINS})
    ran = subprocess.run(
        [*COMMAND, "--quiet", "Hi"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert ran.stdout == "Hello.\n", ran.stderr
    assert {request.model for request in model_server.requests} == {given["LLM_COMPILER_MODEL"].partition(":")[2]}


# --- the environment


SYSTEM = {"TERM", "XDG_STATE_HOME", "LOCALAPPDATA"}
"""Variables that say where things are on a machine, not what the project does."""

OLD = {"OPENAI_API_BASE"}
"""A former name of another one."""

LIBRARIES = {
    "LANGSMITH_TRACING",
    "LANGSMITH_API_KEY",
    "LANGSMITH_TRACING_MODE",
    "TAVILY_API_KEY",  # demo
}
"""Read by what we use."""


@cache
def variables_read() -> set[str]:
    """The environment variables that the code reads."""
    settings = {*Context.model_fields, *Limits.model_fields} - {"system_prompt"}  # which is the graph's own
    found = {PREFIX + name.upper() for name in settings}
    paths = (path for folder in ("agent", "tools", "graphs", "apps") for path in (ROOT / folder).rglob("*.py"))
    for text in (text for path in paths if "os.environ.get" in (text := path.read_text("utf-8"))):
        tree = ast.parse(text)
        constants = {
            node.targets[0].id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "os.environ.get":
                name = node.args[0]
                value = name.value if isinstance(name, ast.Constant) else constants.get(ast.unparse(name))
                found |= {str(value)} if value else set()
    return found | LIBRARIES


def test_the_search_for_variables_finds_them() -> None:
    assert {"CHECKPOINT_DB", "HOST", "OPENAI_BASE_URL", "LLM_COMPILER_PLANNER_MODEL"} <= variables_read()


def test_variables_that_are_named_are_read() -> None:
    text = "\n".join([*spans(), *blocks("bash")])
    named = set(re.findall(r"\b([A-Z]+(?:_[A-Z]+)+|SEARCH|HOST|PORT)\b", text))
    not_variables = {"END_OF_PLAN", "TOOLS"}
    of_ray = {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}
    of_aegra = {"WORKER_COUNT", "N_JOBS_PER_WORKER", "AEGRA_THREAD_TTL"}
    of_aegra |= {"SQLALCHEMY_POOL_SIZE", "SQLALCHEMY_MAX_OVERFLOW", "LANGGRAPH_MAX_POOL_SIZE"}
    of_others = {"OLLAMA_CONTEXT_LENGTH", *of_ray, *of_aegra}
    assert {"OPENAI_API_KEY", "LLM_COMPILER_MODEL", "CHECKPOINT_DB"} <= named
    assert named - not_variables - of_others - {"LLM_COMPILER_"} <= variables_read()


def test_env_example_has_all_variables_and_no_others() -> None:
    listed = re.findall(r"^(?:# )?([A-Z_]+)=", ENV_EXAMPLE, re.MULTILINE)
    assert sorted(listed) == sorted(set(listed))
    assert set(listed) == variables_read() - SYSTEM - OLD


def test_every_line_of_env_example_gives_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, limits = Context(), Limits.from_environment()
    path = tmp_path / ".env"
    path.write_text(re.sub(r"^# (?=[A-Z_]+=)", "", ENV_EXAMPLE, flags=re.MULTILINE))
    values = dotenv_values(path)
    for name, value in values.items():
        monkeypatch.setenv(name, value or "")
    assert (Context(), Limits.from_environment()) == (context, limits)
    given = {name for name, value in values.items() if value}
    # What a run may change has its default in the file; a text or a list may be empty.
    assert {PREFIX + n.upper() for n, f in Context.model_fields.items() if f.default not in (None, ())} <= given
    assert {PREFIX + n.upper() for n, f in Limits.model_fields.items() if f.default} <= given
