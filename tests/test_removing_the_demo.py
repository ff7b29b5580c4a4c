"""What is there for show can be deleted, and what remains works: a copy of the project, in processes of its own."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.model_server import ModelServer
from tests.support.terminal import scripted

README = (ROOT / "README.md").read_text("utf-8")

OWN_GRAPH = '''\
from langchain_core.tools import tool

from agent import create_llm_compiler


@tool
async def height(mountain: str) -> int:
    """the height of a mountain in metres"""
    return {"K2": 8611}[mountain]


graph = create_llm_compiler([height])
'''
PLAN = '1. height("K2")\n2. join("K2 is $1 m high.")'


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that git knows, without the tests."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def python(folder: Path, *arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs Python on the copy. Without `site` (-S), so that the editable install doesn't lend what was deleted."""
    path = os.pathsep.join([str(folder), sysconfig.get_path("purelib")])
    return subprocess.run(
        [sys.executable, "-S", *arguments],
        cwd=folder,
        env={**env, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def remove_the_demo(folder: Path) -> None:
    """Follows the README: its `rm`, and then the lines that name what is gone."""
    (block,) = re.findall(r"```bash\n(rm -r .*?)```", README, re.DOTALL)
    for pattern in shlex.split(block.replace("\\\n", " "))[2:]:
        found = list(folder.glob(pattern))
        assert found, f"README removes {pattern}, which isn't there"
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    cut(folder / "tools" / "__init__.py", "tools.search")
    text = (folder / "tools" / "__init__.py").read_text("utf-8")
    (folder / "tools" / "__init__.py").write_text(text.replace("[search, ", "["), "utf-8")
    for name in ("llm_compiler", "mcp_agent", "react"):
        cut(folder / "graphs" / f"{name}.py", "import offline")


def use_an_own_graph(folder: Path) -> None:
    """Command line and server use what stands here."""
    (folder / "graphs" / "llm_compiler.py").write_text(OWN_GRAPH, "utf-8")


def cut(path: Path, name: str) -> None:
    """Takes the lines out that name it."""
    lines = path.read_text("utf-8").splitlines(keepends=True)
    assert any(name in line for line in lines)
    path.write_text("".join(line for line in lines if name not in line), "utf-8")


def test_the_agent_needs_nothing_of_the_rest(copy: Path, model_server: ModelServer) -> None:
    for path in copy.iterdir():
        if path.name != "agent":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (copy / "own.py").write_text(f'{OWN_GRAPH}\nprint(graph.invoke({{"messages": "?"}})["messages"][-1].text)\n')
    model_server.script(planner=[PLAN])
    ran = python(copy, "own.py", env=scripted(model_server))
    assert (ran.stdout, ran.stderr) == ("K2 is 8611 m high.\n", "")


def test_without_the_demo_the_command_line_answers(copy: Path, model_server: ModelServer) -> None:
    remove_the_demo(copy)
    use_an_own_graph(copy)
    model_server.script(planner=[PLAN])
    ran = python(copy, "-m", "apps.cli.main", "--quiet", "How high is K2?", env=scripted(model_server))
    assert (ran.stdout, ran.stderr) == ("K2 is 8611 m high.\n", "")


ASK_THE_SERVER = """
from starlette.testclient import TestClient
from apps.server.app import app

with TestClient(app, base_url="http://127.0.0.1") as client:
    answer = client.post("/agent/invoke", json={"input": {"question": "How high is K2?"}})
    print(answer.json()["output"]["answer"], client.get("/").status_code)
"""


def test_without_the_demo_the_server_answers_and_has_its_page(copy: Path, model_server: ModelServer) -> None:
    remove_the_demo(copy)
    use_an_own_graph(copy)
    model_server.script(planner=[PLAN])
    ran = python(copy, "-c", ASK_THE_SERVER, env=scripted(model_server))
    assert ran.stdout == "K2 is 8611 m high. 200\n", ran.stderr


def test_what_remains_names_nothing_that_is_gone(copy: Path) -> None:
    remove_the_demo(copy)
    remaining = [path for folder in ("agent", "tools", "graphs", "apps") for path in (copy / folder).rglob("*.py")]
    modules = {".".join(path.relative_to(copy).with_suffix("").parts).removesuffix(".__init__") for path in remaining}
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    ran = python(copy, "-c", code, *sorted(modules), env=dict(os.environ))
    assert (ran.returncode, ran.stderr) == (0, "")


def test_such_a_name_would_be_found(copy: Path) -> None:
    remove_the_demo(copy)
    ran = python(copy, "-c", "import graphs.offline", env=dict(os.environ))
    assert "No module named 'graphs.offline'" in ran.stderr
