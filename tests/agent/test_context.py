"""The settings of a run: checked, and with defaults from the environment."""

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from agent import Context

LIMITS = {
    "max_replans": 1,
    "max_tasks": 7,
    "max_concurrency": 3,
    "max_observation_chars": 200,
    "tool_timeout": 1.5,
}


def test_every_setting_has_a_default() -> None:
    context = Context()
    assert context.model is None
    assert (context.max_replans, context.max_tasks, context.tool_timeout) == (2, 100, 120.0)
    assert context.max_observation_chars == 10_000


def test_a_run_without_a_context_has_the_defaults() -> None:
    assert Context.of(None) == Context()


def test_a_context_is_taken_as_it_is() -> None:
    given = Context(max_replans=1)
    assert Context.of(given) is given


@pytest.mark.parametrize(
    "given",
    [SimpleNamespace(customer="Ann", max_replans=1), {"customer": "Ann", "max_replans": 1}],
    ids=["object", "dict"],
)
def test_of_the_context_of_a_graph_around_it_it_takes_the_fields_that_it_has_too(given: Any) -> None:
    assert Context.of(given) == Context(max_replans=1)


def test_every_field_tells_studio_what_it_is() -> None:
    properties = Context.model_json_schema()["properties"]
    assert all(field.get("description") for field in properties.values())
    assert all("type" in field or "anyOf" in field for field in properties.values())


def test_an_unknown_key_is_refused_and_named() -> None:
    with pytest.raises(ValidationError, match=r"max_replan\n.*not permitted"):
        Context.model_validate({"max_replan": 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_replans", "2"),
        ("max_replans", 1.5),
        ("max_replans", True),
        ("max_tasks", None),
        ("max_concurrency", [1]),
        ("tool_timeout", "fast"),
        ("tool_timeout", "5"),
        ("model", 4),
        ("planner_model", ["openai:x"]),
    ],
)
def test_a_wrong_type_is_refused_and_named(name: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=rf"{name}\n.*should be a"):
        Context.model_validate({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_replans", -1),
        ("max_tasks", 0),
        ("max_concurrency", 0),
        ("max_observation_chars", 99),
        ("tool_timeout", 0),
        ("tool_timeout", float("inf")),
        ("tool_timeout", float("nan")),
    ],
)
def test_a_value_out_of_range_is_refused_and_named(name: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=name):
        Context.model_validate({name: value})


def test_a_timeout_may_be_a_whole_number() -> None:
    assert Context(tool_timeout=30).tool_timeout == 30.0


def test_no_replans_at_all_may_be_wanted() -> None:
    assert Context(max_replans=0).max_replans == 0


def test_a_context_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Context().max_replans = 5


# --- the environment


@pytest.mark.parametrize(("name", "value"), LIMITS.items())
def test_the_environment_gives_defaults_of_the_right_type(
    name: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LLM_COMPILER_{name.upper()}", str(value))
    default = getattr(Context(), name)
    assert default == value
    assert type(default) is type(value)


def test_a_given_value_beats_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_COMPILER_MAX_REPLANS", "3")
    assert Context(max_replans=1).max_replans == 1
    assert Context.of(None).max_replans == 3


def test_a_given_value_makes_a_bad_variable_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_COMPILER_MAX_REPLANS", "many")
    assert Context(max_replans=1).max_replans == 1


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_COMPILER_MAX_REPLANS", "")
    assert Context().max_replans == 2


def test_the_environment_is_read_for_each_run(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Context()
    monkeypatch.setenv("LLM_COMPILER_MAX_TASKS", "7")
    assert (before.max_tasks, Context().max_tasks) == (100, 7)


@pytest.mark.parametrize(
    "text",
    [
        "many",
        "1.5",
        "99",
    ],
)
def test_a_bad_variable_is_named_with_what_it_is(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_COMPILER_MAX_REPLANS", text)
    with pytest.raises(
        ValidationError, match=f"environment variable LLM_COMPILER_MAX_REPLANS is '{text}': Input should"
    ):
        Context()


def test_a_model_from_the_environment_is_no_part_of_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives way to the models that the graph was made with, and a context comes before those."""
    monkeypatch.setenv("LLM_COMPILER_MODEL", "openai:gpt-4.1")
    assert Context().model is None


def test_a_list_in_the_environment_has_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_COMPILER_REQUIRES_APPROVAL", "mail, pay")
    assert Context().requires_approval == ("mail", "pay")
    assert Context(requires_approval=["call"]).requires_approval == ("call",)


@pytest.mark.parametrize(("text", "wanted"), [("false", False), ("1", True)])
def test_a_switch_in_the_environment(text: str, wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_COMPILER_DIRECT_JOIN", text)
    assert Context().direct_join is wanted


@pytest.mark.parametrize("name", ["model", "planner_model", "joiner_model"])
def test_studio_is_asked_for_a_picker_of_models(name: str) -> None:
    assert Context.model_json_schema()["properties"][name]["__template_metadata__"] == {"kind": "llm"}
