"""What Dockerfile, compose.yaml and workflow name must be there; they run elsewhere."""

import re
import subprocess
import tomllib
from importlib import metadata

import pytest
import yaml

from apps.cluster.__main__ import server
from apps.runs.wording import own_version
from tests.support import ROOT
from tests.support.prepared_python import prepared

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))


def test_the_image_copies_what_there_is_and_what_the_builder_is_given() -> None:
    sources = [
        name for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE) for name in line.split()[:-1]
    ]
    given = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)
    assert {"agent", "tools", "graphs", "apps", "*.py"} <= set(sources) <= set(given)
    assert all((ROOT / name).exists() for name in given if name != "*.py")


def test_the_image_has_extras_that_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = {extra for line in re.findall(r'^ARG EXTRAS="(.+)"$', DOCKERFILE, re.MULTILINE) for extra in line.split()}
    assert extras
    extras.update(COMPOSE["x-server"]["build"]["args"]["EXTRAS"].split())
    assert extras <= project["optional-dependencies"].keys()


def test_the_server_starts_where_only_the_code_is_as_in_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    from apps.server.app import create_app  # which takes long, and the tests of removing the demo don't need it

    def find(name: str) -> metadata.Distribution:
        if name == "llm-compiler":
            raise metadata.PackageNotFoundError(name)
        return distribution(name)

    distribution = metadata.distribution
    monkeypatch.setattr(metadata, "distribution", find)
    assert create_app().router.routes
    assert own_version() == "unknown"


def test_the_image_runs_without_rights_and_says_whether_it_is_up() -> None:
    assert re.findall(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE) == ["10001"]
    assert "/healthz" in DOCKERFILE
    assert '@app.get("/healthz"' in (ROOT / "apps" / "server" / "app.py").read_text("utf-8")


def test_compose_yaml_is_what_the_specification_of_compose_says() -> None:
    command = prepared("-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_servers_of_compose_yaml_are_those_of_make_cluster() -> None:
    command, settings = server(2026, "", "")
    theirs = COMPOSE["x-server"]
    assert theirs["command"][:4] == ["python", *command[1:4]]
    shared = ("AEGRA_CONFIG", "REDIS_BROKER_ENABLED", "LANGGRAPH_STRICT_MSGPACK")
    assert [theirs["environment"][name] for name in shared] == [settings[name] for name in shared]


def test_the_workflow_calls_targets_of_the_makefile_on_the_supported_pythons() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    (job,) = workflow["jobs"].values()
    commands = [step["run"].split() for step in job["steps"] if "run" in step]
    targets = {command[1] for command in commands if command[0] == "make"}
    assert targets == {"setup", "lint", "bench", "test", "small-model", "test-cluster"}
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
    assert job["strategy"]["matrix"]["python-version"] == ["3.11", "3.12", "3.13"]


def test_the_command_lines_of_contributing_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    named = set(re.findall(r"\bmake ([a-z-]+)", (ROOT / "CONTRIBUTING.md").read_text("utf-8")))
    assert {"setup", "lint", "test", "requirements"} <= named
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in named)
