"""What holds for the source as a whole: who imports whom, what runs on import, what is public, how the graph looks."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from langchain_core.language_models import FakeListChatModel
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import agent
from tests.support import ROOT

PACKAGES = ("agent", "tools", "graphs", "apps")
ROOMS = {
    "agent": set(),
    "agent.language": set(),
    "agent.tooling": {"agent.language"},
    "agent.conversation": {"agent.language", "agent.tooling"},
    "agent.servers": {"agent.language", "agent.tooling"},
    "agent.planner": {"agent.language", "agent.tooling", "agent.conversation", "agent.servers"},
    "agent.executor": {"agent.language", "agent.tooling", "agent.conversation"},
    "agent.joiner": {"agent.language", "agent.tooling", "agent.conversation", "agent.servers"},
    "tools": set(),
    "graphs": {"agent", "tools"},
    "apps.runs": {"agent", "tools", "graphs"},
    "apps.cluster": {"apps.runs"},
    "apps.pictures": {"agent", "apps.runs"},
    "apps.server": {"agent", "tools", "graphs", "apps.runs"},
    "apps.evaluation": {"agent", "tools", "graphs", "apps.runs"},
    "apps.cli": {"agent", "tools", "graphs", "apps.runs", "apps.server", "apps.evaluation", "apps.pictures"},
}
"""Which rooms each room may import from. What stands at the root of `agent` is everybody's."""

DEFAULT = ROOT / "graphs" / "llm_compiler.py"

NOT_IN_SETUP = {"cluster", "ray"}
"""Extras that `make setup` leaves out; mypy is told of what is imported of them."""

READS_ITS_SURROUNDINGS = {
    *("os.environ", "os.getenv", "environ.get", "getenv", "load_dotenv", "dotenv.load_dotenv", "default_model"),
    *("time.time", "time.monotonic", "time.perf_counter", "time.sleep", "datetime.now", "datetime.today", "date.today"),
    *(
        "socket.socket",
        "socket.create_connection",
        "urlopen",
        "request.urlopen",
        "requests.get",
        "httpx.get",
        "hub.pull",
    ),
}

GRAPH = """\
---
config:
  flowchart:
    curve: linear
---
graph TD;
	__start__([<p>__start__</p>]):::first
	planner(planner)
	executor(executor)
	approval(approval)
	joiner(joiner)
	__end__([<p>__end__</p>]):::last
	__start__ --> executor;
	__start__ --> planner;
	approval -.-> executor;
	executor -.-> approval;
	executor -.-> joiner;
	joiner -. &nbsp;answer&nbsp; .-> __end__;
	joiner -. &nbsp;replan&nbsp; .-> executor;
	joiner -. &nbsp;replan&nbsp; .-> planner;
	planner -. &nbsp;tasks&nbsp; .-> executor;
	executor -.-> executor;
	classDef default fill:#f2f0ff,line-height:1.2
	classDef first fill-opacity:0
	classDef last fill:#bfb6fc
"""


def modules(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def imports(path: Path) -> set[str]:
    """The full names of the modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{named(path)} has a relative import"
            found.add(node.module or "")
    return found


def packages(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


# --- who may import whom


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_run_down_only(room: str) -> None:
    below = {room, *ROOMS[room]}
    for path in modules(room.replace(".", "/")):
        for name in imports(path):
            is_ours = name.partition(".")[0] in (*PACKAGES, "tests")
            is_at_the_root = room.startswith("agent.") and name.rpartition(".")[0] == "agent" and name not in ROOMS
            is_below = any(f"{name}.".startswith(f"{place}.") for place in below)
            assert not is_ours or is_at_the_root or is_below, f"{named(path)} imports {name}"


def test_the_language_imports_the_standard_library_and_itself() -> None:
    imported = {name for path in modules("agent/language") for name in imports(path)}
    others = {name for name in imported if not name.startswith("agent.language")}
    assert {name.partition(".")[0] for name in others} <= sys.stdlib_module_names


def test_the_modules_of_the_agent_do_not_import_each_other_in_a_circle() -> None:
    waiting = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): {n for n in imports(path) if n.startswith("agent.")}
        for path in modules("agent")
        if path.stem != "__init__"
    }
    while free := [name for name, others in waiting.items() if not others & waiting.keys()]:
        for name in free:
            del waiting[name]
    assert not waiting


# --- what is imported of others


def dependencies() -> set[str]:
    """The distributions that `make setup` installs: what `pyproject.toml` names, and what that needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    waiting = [*project["dependencies"], *(text for name in extras.keys() - NOT_IN_SETUP for text in extras[name])]
    found: set[tuple[str, str]] = set()
    needs = cache(lambda name: [Requirement(text) for text in requires(name) or ()])
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras} - {extra for other, extra in found if other == name}:
            found.add((name, extra))
            waiting += [str(one) for one in needs(name) if one.marker is None or one.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


def test_what_is_imported_comes_with_what_pyproject_names() -> None:
    # Else it is there by chance, and goes when what happens to need it is removed.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (apart,) = (override["module"] for override in project["tool"]["mypy"]["overrides"])
    known, installed = dependencies(), packages_distributions()
    lent = {
        f"{named(path)} imports {name}"
        for path in modules(*PACKAGES, "tests")
        for name in packages(path) & installed.keys() - {*PACKAGES, "tests"}
        if f"{name}.*" not in apart and not known & set(map(canonicalize_name, installed[name]))
    }
    assert lent == set()


# --- what happens on import


def run_on_import(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a module that run when it is imported: all but the bodies of its functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for part in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)):
                yield part
                yield from run_on_import(part)
        elif isinstance(node, ast.Lambda) or is_main_guard(node):
            continue
        else:
            yield node
            yield from run_on_import(node)


def is_main_guard(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def read_on_import(code: str) -> set[str]:
    """What of its surroundings a module reads."""
    nodes = run_on_import(ast.parse(code))
    return READS_ITS_SURROUNDINGS & {ast.unparse(n) for n in nodes if isinstance(n, ast.Attribute | ast.Name)}


def test_no_module_reads_environment_clock_or_network_when_it_is_imported() -> None:
    read = {named(path): read_on_import(path.read_text("utf-8")) for path in modules(*PACKAGES)}
    assert {name: what for name, what in read.items() if what} == {}


@pytest.mark.parametrize(
    "code",
    [
        "import os\nKEY = os.environ['X']",
        "import os\nclass A:\n    key: str = os.getenv('X')",
        "import time\ndef f(now=time.time()): ...",
        "from urllib.request import urlopen\nif True:\n    TEXT = [urlopen(u) for u in []]",
    ],
)
def test_such_a_module_would_be_found(code: str) -> None:
    assert read_on_import(code)


def test_no_pattern_has_a_possessive_group() -> None:
    # Before Python 3.11.5, the one of Debian 12 among them, these do backtrack, or find nothing.
    possessive = re.compile(r"\)[*+?}]\+")
    assert [named(path) for path in modules(*PACKAGES) if possessive.search(path.read_text("utf-8"))] == []


def test_importing_graphs_and_pictures_needs_no_key_no_network_and_no_matplotlib() -> None:
    code = """\
import importlib, sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise RuntimeError(f"{event} {arguments}")

sys.addaudithook(refuse)
for name in sys.argv[1:]:
    importlib.import_module(name)
assert "matplotlib" not in sys.modules
"""
    paths = modules("graphs")
    if "create_llm_compiler" not in DEFAULT.read_text("utf-8"):
        paths.remove(DEFAULT)  # `create_agent("openai:…")`, say, wants a key when it is made
    names = [named(path).removesuffix(".py").replace("/", ".") for path in paths]
    ran = subprocess.run(
        [sys.executable, "-c", code, "apps.pictures.pictures", *names],
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


# --- what is public


def test_the_agent_exports_what_is_documented() -> None:
    assert set(agent.__all__) == {
        "PROVIDERS",
        "Context",
        "InjectedIdempotencyKey",
        "ModelError",
        "State",
        "as_tool",
        "create_llm_compiler",
        "default_model",
        "load_model",
    }
    assert all(hasattr(agent, name) for name in agent.__all__)


def test_what_is_exported_says_what_it_is() -> None:
    assert [name for name in agent.__all__ if name != "PROVIDERS" and not getattr(agent, name).__doc__] == []


def test_every_module_of_the_agent_says_what_it_is() -> None:
    silent = [path for path in modules("agent") if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert silent == []


def test_the_packages_are_typed() -> None:
    assert all((ROOT / package / "py.typed").exists() for package in PACKAGES)


# --- the graph


def test_the_graph_looks_like_this() -> None:
    graph = agent.create_llm_compiler([], model=FakeListChatModel(responses=[]))
    assert graph.get_graph().draw_mermaid() == GRAPH


def test_the_guide_for_coding_agents_is_short_and_names_what_is_there() -> None:
    guide = (ROOT / "AGENTS.md").read_text("utf-8")
    assert len(guide.splitlines()) <= 60
    paths = re.findall(r"(?:`|[ =\"])((?:agent|apps|graphs|tests|tools)/[\w./]*)", guide)
    assert len(paths) > 15
    assert [path for path in paths if not (ROOT / path).exists()] == []
