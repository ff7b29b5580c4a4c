"""What is there for show can be taken away, and what remains works: a copy of the project, in processes of its own."""

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.model_server import ModelServer
from tests.support.program import program
from tests.support.repository import git, tracked
from tests.support.terminal import environment, scripted

SCRIPTS = ("langgraph", "llm-compiler", "mypy")
GONE = re.compile(
    r"graphs[./](offline|examples)|tools[./](search|math|argmax|expression|corpus|demo_latency)|notebooks/|docs/\w+\.(svg|png)"
    r"|DEMO_LATENCY|langchain.community|rank.bm25|support.(demo|notebooks)|paper_comparison"
    r"|# /?demo|demo -->|remove-demo"
)
LOOKED_AT_FIRST = [ROOT / "README.md", ROOT / ".ci" / "remove_demo.py"]
"""As much as the command looks for before it touches anything. It fails where it goes on with so little."""

TESTED = [
    "tests/tools/test_clock.py",
    "tests/test_conventions.py::test_what_is_imported_comes_with_what_pyproject_names",
    "tests/test_conventions.py::test_the_guide_for_coding_agents_is_short_and_names_what_is_there",
    "tests/test_images.py::test_the_image_copies_what_there_is_and_what_the_builder_is_given",
    "tests/test_images.py::test_the_image_has_extras_that_exist",
]
"""Those of its tests that look at what the command has changed, and no other command here does; all of them would take
minutes."""


def copy(paths: Iterable[Path], folder: Path) -> None:
    """Copies files of the project into the folder."""
    for path in paths:
        copied = folder / path.relative_to(ROOT)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copied)


def commit(folder: Path) -> None:
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "all")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """All that git knows, committed, with an environment: the packages are this one's, but the project is its own."""
    copy(tracked(), tmp_path)
    commit(tmp_path)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    (packages,) = (tmp_path / ".venv" / "lib").glob("*/site-packages")
    # In ASCII, all that Python 3.11 reads there in the locale "C".
    path = [sysconfig.get_path("purelib"), str(tmp_path)]
    (packages / "shared.pth").write_text(f"import sys; sys.path += {path!a}\n")
    here, there = Path(sys.executable).parent, tmp_path / ".venv" / "bin"
    for name in SCRIPTS:
        program(there / name, (here / name).read_text().replace(str(here), str(there)))
    (there / "ruff").symlink_to(here / "ruff")
    return tmp_path


def make(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> str:
    """What a command prints that needs no more installed."""
    (folder / "tests/javascript/node_modules").mkdir(exist_ok=True)
    for made in (".venv/with-core", ".venv/with-all", "tests/javascript/node_modules/.package-lock.json"):
        (folder / made).touch()
    (folder / ".venv/whole").write_text(f"{folder.resolve()}\n")
    ran = subprocess.run(
        ["make", *arguments], cwd=folder, env=env or environment(), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def refusal(project: Path, env: dict[str, str] | None = None) -> str:
    """What the command says, which must not do anything."""
    command = [sys.executable, ".ci/remove_demo.py"]
    ran = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    return ran.stderr


def test_what_is_not_committed_is_not_touched(tmp_path: Path) -> None:
    copy(LOOKED_AT_FIRST, tmp_path)
    commit(tmp_path)
    (tmp_path / "README.md").write_text("mine")
    assert refusal(tmp_path) == "Commit first, so that you can go back:\n M README.md\n"
    assert (tmp_path / "README.md").read_text() == "mine"


def test_what_is_in_no_repository_is_not_touched(tmp_path: Path) -> None:
    copy(LOOKED_AT_FIRST, tmp_path / "project")
    git(tmp_path, "init", "--quiet")  # which knows nothing of the project
    for env in (None, {"PATH": ""}):
        assert refusal(tmp_path / "project", env) == (
            "No git repository has this project; you could not go back. Make one first: "
            "git init && git add --all && git commit --message begin\n"
        )


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
    make(project, "test", f"ARGS=-n 0 -q {' '.join(TESTED)}")
    texts = {name: (project / name).read_text("utf-8", "replace") for name in git(project, "ls-files").splitlines()}
    del texts["requirements.txt"]  # whose pins `make requirements` refreshes
    assert {name: found[0] for name, text in texts.items() if (found := GONE.search(text))} == {}
