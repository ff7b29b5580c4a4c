"""What one run may change: models and limits. Studio shows these fields as an assistant's configuration."""

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError, model_validator

ENVIRONMENT_PREFIX = "LLM_COMPILER_"
GrammarDialect = Literal["llama.cpp", "vllm", "sglang", "openai"]
LIMITS = ("max_replans", "max_tasks", "max_concurrency", "max_observation_chars", "tool_timeout", "tool_retries")
"""The fields that bound what a run may cost."""

_GRAPHS_OWN = frozenset({"model", "planner_model", "joiner_model", "system_prompt"})
_LISTS = frozenset({"requires_approval"})


def _picker(*nodes: str) -> dict[str, JsonValue]:
    """What Studio wants to know of a model's field: that it takes a picker of models, and which nodes it is for."""
    return {
        "__template_metadata__": {"kind": "llm"},
        "langgraph_nodes": list(nodes),
        "examples": ["openai:gpt-4.1-mini"],
    }


class Context(BaseModel):
    """The settings of a run.

    A limit that is not given comes from the environment (`LLM_COMPILER_MAX_REPLANS=1`), else it has its default. A
    model that is not given is the graph's own, else `LLM_COMPILER_MODEL` (see `agent.models`); a system prompt that is
    not given is the graph's own.

    Raises:
        ValidationError: A field is unknown, or its value has the wrong type or is out of range.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: str | None = Field(
        default=None,
        description="The model that plans and joins, as provider:model, such as openai:gpt-4.1-mini.",
        json_schema_extra=_picker("planner", "joiner"),
    )
    planner_model: str | None = Field(
        default=None, description="The model that plans, if it is another one.", json_schema_extra=_picker("planner")
    )
    joiner_model: str | None = Field(
        default=None, description="The model that joins, if it is another one.", json_schema_extra=_picker("joiner")
    )
    system_prompt: str | None = Field(
        default=None,
        description="What planner and joiner are told besides: who they work for, how to answer.",
        json_schema_extra={"langgraph_nodes": ["planner", "joiner"], "langgraph_type": "prompt"},
    )
    max_prompt_tokens: int | None = Field(
        default=None,
        ge=100,
        description="How many tokens of the conversation prompts get, about; the oldest turns are left out first.",
    )
    max_replans: int = Field(default=2, ge=0, le=20, description="How many more plans a question may take.")
    max_tasks: int = Field(default=100, ge=1, le=10_000, description="How many tool calls a plan may have.")
    max_concurrency: int = Field(default=100, ge=1, le=10_000, description="How many tools may run at once.")
    max_observation_chars: int = Field(
        default=10_000,
        ge=100,
        description="How many characters of a tool's result are shown to a model; other tools receive all of it.",
    )
    tool_timeout: float = Field(
        default=120.0,
        gt=0,
        le=86_400,
        allow_inf_nan=False,
        description="How many seconds a tool call may take.",
    )

    tool_retries: int = Field(
        default=2,
        ge=0,
        le=10,
        description="How often a tool call is tried again after a connection error, a 429 or a 5xx.",
    )

    requires_approval: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="Tools whose calls wait for a person's approval, besides those marked so.",
    )
    approve_side_effects: bool = Field(
        default=True,
        description="Whether calls of tools with side effects wait for approval when someone else may have written "
        "what they are made from.",
    )
    grammar_dialect: GrammarDialect = Field(
        default="llama.cpp",
        description='Whose requests planner_protocol="grammar" makes: the server that the planner\'s model runs on.',
    )
    direct_join: bool = Field(
        default=True,
        description="Whether an answer that the plan gives itself is taken, without asking the joiner's model.",
    )

    @model_validator(mode="before")
    @classmethod
    def _add_environment(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {**_from_environment(cls, given), **given}

    @classmethod
    def of(cls, given: Any) -> Self:
        """The settings of a run in this context, in none, or in that of a graph around this one, which may have fields
        of these names."""
        if isinstance(given, cls):
            return given
        fields = (
            given
            if isinstance(given, Mapping)
            else {name: getattr(given, name) for name in cls.model_fields if hasattr(given, name)}
        )
        return cls.model_validate({name: fields[name] for name in cls.model_fields if name in fields})


def _from_environment(context: type[Context], given: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, field in context.model_fields.items():
        variable = ENVIRONMENT_PREFIX + name.upper()
        text = os.environ.get(variable)
        if name in given or name in _GRAPHS_OWN or not text:
            continue
        value = [item.strip() for item in text.split(",")] if name in _LISTS else text
        try:
            values[name] = TypeAdapter[Any](cast("Any", Annotated[field.annotation, field])).validate_python(value)
        except ValidationError as error:
            raise ValueError(f"The environment variable {variable} is {text!r}: {error.errors()[0]['msg']}.") from None
    return values
