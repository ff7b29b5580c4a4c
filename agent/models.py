"""Chat models by name.

`"provider:model"` names a model: `openai:` through langchain-openai, every other provider through LangChain's
`init_chat_model` when its package is installed, and what `PROVIDERS` adds.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Literal

from anyio import to_thread
from langchain_core.exceptions import ContextOverflowError
from langchain_core.language_models import BaseChatModel

from agent.context import Context
from agent.servers.any_server import for_any_server
from agent.servers.errors import ModelError

DEFAULT_OPENAI_MODEL = "openai:gpt-4.1-mini"
OPENAI = "https://api.openai.com/v1"

PROVIDERS: dict[str, Callable[[str], BaseChatModel]] = {}
"""Constructors of models of your own, by provider: `PROVIDERS["mine"] = MyChatModel` makes `mine:large` call
`MyChatModel("large")`, and `mine` call `MyChatModel("")`."""

_loaded: dict[tuple[object, ...], BaseChatModel] = {}
_loading = Lock()
MOST_LOADED = 32
"""How many models are kept: whoever may name some could name any number."""

CONVERSATION_TOO_LONG = (
    "The conversation is too long for the model. Set max_prompt_tokens (LLM_COMPILER_MAX_PROMPT_TOKENS) to leave out "
    "its oldest turns, or begin a new thread; a question or results that are too long by themselves have to be shorter "
    "(max_observation_chars). The model says: {error}"
)

_CONNECTION = re.compile(r"OPENAI_(BASE_URL|API_BASE|PROXY)|SSL_CERT_(FILE|DIR)|(HTTPS?|ALL|NO)_PROXY", re.IGNORECASE)
"""Environment variables that make it impossible to make a client, if they are wrong."""

NO_MODEL = (
    "{name} is a {kind}, no chat model. Give a BaseChatModel or its name; what bind, with_config and with_retry would "
    "add goes into its constructor (temperature=…, tags=…, max_retries=…), a server such as LiteLLM falls back to "
    "other models, and a run names another one in its context."
)


def default_model(role: Literal["planner", "joiner"] | None = None) -> str:
    """The model that is used when none is given.

    That of the role, `LLM_COMPILER_PLANNER_MODEL` or `LLM_COMPILER_JOINER_MODEL`, else `LLM_COMPILER_MODEL`, else
    OpenAI's if there is a key, else that of the first of `PROVIDERS`.

    Raises:
        ModelError: There is none.
    """
    variables = [f"LLM_COMPILER_{role.upper()}_MODEL"] if role else []
    for variable in [*variables, "LLM_COMPILER_MODEL"]:
        if name := os.environ.get(variable):
            return name
    if os.environ.get("OPENAI_API_KEY"):
        return DEFAULT_OPENAI_MODEL
    for provider in PROVIDERS:
        return provider
    raise ModelError("No model is set. Set OPENAI_API_KEY, or LLM_COMPILER_MODEL to a provider:model.")


def load_model(model: str | BaseChatModel) -> BaseChatModel:
    """The chat model of a name; a model object is returned as it is. Models are made once and shared.

    Raises:
        ModelError: The provider is unknown, or its key or package is missing.
    """
    if not isinstance(model, str):
        return model
    key = _key(model)
    with _loading:
        if key not in _loaded:
            _loaded[key] = for_any_server(_load(model))
            if len(_loaded) > MOST_LOADED:
                del _loaded[next(iter(_loaded))]
        return _loaded[key]


def _key(model: str) -> tuple[object, ...]:
    """What a model is made of."""
    provider = model.partition(":")[0]
    settings = sorted((name, value) for name, value in os.environ.items() if name.startswith(f"{provider.upper()}_"))
    return (model, PROVIDERS.get(provider), *settings)


@dataclass
class Models:
    """The models that a graph was made with; a run's context may name others."""

    model: str | BaseChatModel | None = None
    planner_model: str | BaseChatModel | None = None
    joiner_model: str | BaseChatModel | None = None

    def __post_init__(self) -> None:
        fitted: dict[int, BaseChatModel] = {}
        for name in ("model", "planner_model", "joiner_model"):
            model = getattr(self, name)
            if isinstance(model, BaseChatModel):
                setattr(self, name, fitted.setdefault(id(model), for_any_server(model)))
            elif not (model is None or isinstance(model, str)):
                kind = model.__name__ if isinstance(model, type) else type(model).__name__
                raise TypeError(NO_MODEL.format(name=name, kind=kind))

    async def planner(self, context: Context) -> BaseChatModel:
        """The model that plans."""
        return await _get(context.planner_model or context.model or self.planner_model or self.model, "planner")

    async def joiner(self, context: Context) -> BaseChatModel:
        """The model that joins."""
        return await _get(context.joiner_model or context.model or self.joiner_model or self.model, "joiner")


@contextmanager
def overflow_told() -> Iterator[None]:
    """Where a model is asked: a prompt that is too long for it is told clearly.

    Raises:
        ModelError: It was.
    """
    try:
        yield
    except ContextOverflowError as error:
        raise ModelError(CONVERSATION_TOO_LONG.format(error=error)) from error


async def _get(model: str | BaseChatModel | None, role: Literal["planner", "joiner"]) -> BaseChatModel:
    if isinstance(model, BaseChatModel):
        return model
    name = model or default_model(role)
    if (loaded := _loaded.get(_key(name))) is not None:
        return loaded
    # Making a client reads certificates from disk, which must not happen in the event loop.
    return await to_thread.run_sync(load_model, name)


def _load(name: str) -> BaseChatModel:
    provider, _, model = name.strip().partition(":")
    if provider in PROVIDERS:
        return PROVIDERS[provider](model)
    if not model:
        raise ModelError(f"{name!r} names no model; the form is provider:model, such as {DEFAULT_OPENAI_MODEL}.")
    return _load_openai(model) if provider == "openai" else _load_other(provider, model)


def _load_openai(model: str) -> BaseChatModel:
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr, ValidationError

    base_url = os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_BASE")
    key = os.environ.get("OPENAI_API_KEY")
    if not key and not base_url:
        raise ModelError(
            f"openai:{model} needs OPENAI_API_KEY. Set it, or OPENAI_BASE_URL for a local server that takes any key."
        )
    if key and not key.isascii():
        raise ModelError(f"OPENAI_API_KEY is no key: it has {re.sub('[ -~]', '', key)[0]!r} in it. Copy it anew.")
    try:
        # A local server often wants no key, but the client wants one; and it takes an empty address for one.
        return ChatOpenAI(model=model, api_key=SecretStr(key or "none"), base_url=base_url or OPENAI, stream_usage=True)
    except Exception as error:  # each of address, proxy and certificates raises its own
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        settings = ", ".join(filter(_CONNECTION.fullmatch, os.environ))
        hint = f" (Its client reads {settings}; look at what is in there.)" if settings else ""
        raise ModelError(f"openai:{model} can't be used: {why}{hint}") from error


def _load_other(provider: str, model: str) -> BaseChatModel:
    try:
        from langchain.chat_models import init_chat_model
    except ImportError:
        raise ModelError(
            f"The provider {provider!r} needs LangChain: pip install langchain langchain-{provider}. "
            f"Without it there are: {', '.join(['openai', *PROVIDERS])}."
        ) from None
    try:
        return init_chat_model(model, model_provider=provider)
    except (ImportError, AttributeError) as error:  # some providers were in another package once
        how = "" if "pip install" in str(error) else f" (pip install langchain-{provider.replace('_', '-')})"
        raise ModelError(f"The provider {provider!r} needs its package: {error}{how}") from error
    except Exception as error:  # each provider's client raises its own for a missing key or an unknown name
        raise ModelError(f"{provider}:{model} can't be used: {error}") from error
