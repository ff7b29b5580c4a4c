"""The settings of a run that a client may send: fields of `agent.Context`, and of those nothing that could point the
server elsewhere, make a run cost more than the server's own settings allow, or have it ask a person less often."""

from collections.abc import Mapping
from typing import Any, Optional

from langchain_core.runnables import ConfigurableFieldSpec
from pydantic import BaseModel, ConfigDict, Field, create_model

from agent import Context
from agent.context import LIMITS
from apps.server.errors import RefusedError
from apps.server.limits import Limits

MODELS = ("model", "planner_model", "joiner_model")
APPROVALS = ("requires_approval", "approve_side_effects")
NAMES = (*MODELS, *LIMITS, *APPROVALS, "direct_join")
OPERATORS = ("system_prompt", "max_prompt_tokens", "grammar_dialect")
"""What only who runs the server sets."""

UNKNOWN = "configurable has no {name!r}; there are: {names}."
MODEL_REFUSED = "{name}: this server lets its clients name {models}, and not {given!r} (LLM_COMPILER_CLIENT_MODELS)."
TOO_HIGH = "{name} is {given}; this server allows at most {most}."
NOT_OFF = "approve_side_effects can't be switched off for this server."
OF_LANGGRAPH = frozenset({"thread_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map"})
"""What LangGraph puts into every config. A graph that calls this server sends its own along, which are not for it."""

NO_CHECKPOINTS = "configurable.{name}: this server goes on with a thread where it is, and not from a checkpoint."


def _optional(name: str) -> Any:
    field = Context.model_fields[name]
    return Optional[field.annotation], Field(default=None, title=_title(name), description=field.description)  # noqa: UP045


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


ClientSettings = create_model(
    "Settings", __config__=ConfigDict(title="Settings", extra="allow"), **{name: _optional(name) for name in NAMES}
)
"""The schema of `configurable`. What is unknown stays in, so that `context_of` can name it."""


class ClientConfig(BaseModel):
    """The part of LangChain's config that clients may send."""

    model_config = ConfigDict(title="Config")

    configurable: ClientSettings | None = None  # type: ignore[valid-type]


def form_fields() -> list[ConfigurableFieldSpec]:
    """The same for the playground's form, filled in with the server's own settings."""
    own = Context()
    return [_form_field(name, "" if name in MODELS else getattr(own, name)) for name in NAMES]


def _form_field(name: str, value: Any) -> ConfigurableFieldSpec:
    kind: Any = type(value)
    if kind is tuple:
        kind, value = list[str], list(value)
    return ConfigurableFieldSpec(name, kind, _title(name), Context.model_fields[name].description, value)


def named_thread(settings: Mapping[str, Any]) -> Any:
    """The thread that a client names in the config, as LangGraph has it; None if it names none.

    Args:
        settings: `configurable` of the config.

    Raises:
        RefusedError: It names a checkpoint as well.
    """
    if settings.get("checkpoint_ns") or any(name.startswith("__") for name in settings):
        return None  # a graph calls, from within a thread of its own
    if named := next((name for name in OF_LANGGRAPH - {"thread_id"} if settings.get(name)), None):
        raise RefusedError(422, NO_CHECKPOINTS.format(name=named))
    return settings.get("thread_id")


def context_of(settings: Mapping[str, Any], limits: Limits) -> Context:
    """The context of a run with these settings of its client's.

    Args:
        settings: `configurable` of the config.
        limits: The server's.

    Raises:
        RefusedError: A setting is unknown, or not for clients to set.
        ValidationError: A setting has the wrong type or is out of range.
    """
    given = {
        name: value
        for name, value in settings.items()
        if value not in (None, "") and name not in OF_LANGGRAPH and not name.startswith("__")
    }
    if unknown := given.keys() - set(NAMES):
        raise RefusedError(422, UNKNOWN.format(name=min(unknown), names=", ".join(NAMES)))
    own, wanted = Context(), Context.model_validate(given)
    for name in given.keys() & set(MODELS):
        if not limits.allows(given[name]):
            models = ", ".join(limits.models) or "no model"
            raise RefusedError(422, MODEL_REFUSED.format(name=name, models=models, given=given[name][:100]))
    for name in given.keys() & set(LIMITS):
        if given[name] > (most := getattr(own, name)):
            raise RefusedError(422, TOO_HIGH.format(name=name, given=given[name], most=most))
    if own.approve_side_effects and not wanted.approve_side_effects:
        raise RefusedError(422, NOT_OFF)
    asking = tuple(dict.fromkeys([*own.requires_approval, *wanted.requires_approval]))
    return wanted.model_copy(update={"requires_approval": asking})
