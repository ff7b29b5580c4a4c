"""What is there for show can be taken away, and what remains works: a copy of the project, in processes of its own."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.model_server import ModelServer
from tests.support.program import program
from tests.support.repository import tracked
from tests.support.terminal import environment, scripted

AGENT = '''\
from langchain_core.tools import tool

from agent import create_llm_compiler


@tool
async def height(mountain: str) -> int:
    """the height of a mountain in metres"""
    return {"K2": 8611}[mountain]


graph = create_llm_compiler([height])
print(graph.invoke({"messages": "?"})["messages"][-1].text)
'''
SCRIPTS = ("langgraph", "llm-compiler", "mypy")
GONE = re.compile(
    r"graphs[./](offline|examples)|tools[./](search|math|argmax|expression|corpus|demo_latency)|notebooks/|docs/\w+\.(svg|png)"
    r"|DEMO_LATENCY|langchain.community|rank.bm25|support.(demo|notebooks)|paper_comparison"
    r"|# /?demo|demo -->|remove-demo"
)
TESTED = "tests/tools/test_clock.py tests/test_conventions.py tests/test_images.py"
"""Those of its tests that look at what the command has changed; all of them would take minutes."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that git knows, all committed in a repository of their own."""
    for path in tracked():
        copied = tmp_path / path.relative_to(ROOT)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copied)
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    return subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "all")


@pytest.fixture
def project(copy: Path) -> Path:
    """The copy with an environment: the packages are this one's, but the project is its own."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", copy / ".venv"], check=True)
    (packages,) = (copy / ".venv" / "lib").glob("*/site-packages")
    # In ASCII, all that Python 3.11 reads there in the locale "C".
    (packages / "shared.pth").write_text(f"import sys; sys.path += {[sysconfig.get_path('purelib'), str(copy)]!a}\n")
    here, there = Path(sys.executable).parent, copy / ".venv" / "bin"
    for name in SCRIPTS:
        program(there / name, (here / name).read_text().replace(str(here), str(there)))
    (there / "ruff").symlink_to(here / "ruff")
    return copy


def make(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> str:
    """What a command prints that needs no more installed."""
    (folder / "tests/javascript/node_modules").mkdir(exist_ok=True)
    for made in (".venv/with-core", ".venv/with-all", "tests/javascript/node_modules/.package-lock.json"):
        (folder / made).touch()
    outer = {"VENV", "PYTHON", "ARGS"}  # of the `make test` that this may run under
    given = env or environment()
    given = {name: value for name, value in given.items() if not (name.startswith("MAKE") or name in outer)}
    ran = subprocess.run(["make", *arguments], cwd=folder, env=given, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_agent_needs_nothing_of_the_rest(copy: Path, model_server: ModelServer) -> None:
    for path in copy.iterdir():
        if path.name != "agent":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (copy / "own.py").write_text(AGENT)
    model_server.script(planner=['1. height("K2")\n2. join("K2 is $1 m high.")'])
    # Without `site` (-S), so that the editable install doesn't lend what was deleted.
    path = os.pathsep.join([str(copy), sysconfig.get_path("purelib")])
    env = {**scripted(model_server), "PYTHONPATH": path}
    command = [sys.executable, "-S", "own.py"]
    ran = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("K2 is 8611 m high.\n", "")


def test_what_is_not_committed_is_not_touched(project: Path) -> None:
    (project / "graphs" / "llm_compiler.py").write_text("mine = True\n")
    ran = subprocess.run(
        [sys.executable, ".ci/remove_demo.py"], cwd=project, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "Commit first, so that you can go back:\n M graphs/llm_compiler.py\n"
    assert git(project, "status", "--short", "--untracked-files=no") == " M graphs/llm_compiler.py\n"


def test_what_is_in_no_repository_is_not_touched(copy: Path) -> None:
    shutil.rmtree(copy / ".git")
    git(copy.parent, "init", "--quiet")  # which knows nothing of the project
    for env in (None, {"PATH": ""}):
        ran = subprocess.run(
            [sys.executable, ".ci/remove_demo.py"],
            cwd=copy,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ran.returncode, ran.stdout) == (1, "")
        assert ran.stderr == (
            "No git repository has this project; you could not go back. Make one first: "
            "git init && git add --all && git commit --message begin\n"
        )
    assert (copy / "graphs" / "offline").is_dir()


@pytest.mark.timeout(600)
def test_the_project_that_remains_is_sound_and_names_nothing_that_is_gone(
    project: Path, model_server: ModelServer, pytestconfig: pytest.Config
) -> None:
    make(project, "remove-demo")
    commit(project)
    assert pytestconfig.cache
    known = pytestconfig.cache.mkdir("types_without_the_demo")  # with nothing known, mypy takes half a minute
    make(project, "lint", env={**environment(), "MYPY_CACHE_DIR": str(known)})
    assert make(project, "demo") == "Set OPENAI_API_KEY, here or in .env, for a model that answers.\n"
    model_server.script(planner=['1. clock("Asia/Tokyo")\n2. join("There it is $1.")'])
    assert "There it is" in make(project, "demo", env=scripted(model_server))
    make(project, "test", f"ARGS=-n 0 -q {TESTED}")
    texts = {name: (project / name).read_text("utf-8", "replace") for name in git(project, "ls-files").splitlines()}
    del texts["requirements.txt"]  # whose pins `make requirements` refreshes
    assert {name: found[0] for name, text in texts.items() if (found := GONE.search(text))} == {}
