"""What the server lets its clients do. Each limit is an environment variable."""

import os
from fnmatch import fnmatchcase
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from agent import ModelError, default_model

PREFIX = "LLM_COMPILER_"


class LimitsError(ValueError):
    """The environment has a limit that can't be."""


class Limits(BaseModel):
    """The server's settings; `LLM_COMPILER_MAX_RUNS=10` sets `max_runs`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_key: SecretStr | None = Field(default=None, description="The key that every request but /healthz must bring.")
    max_request_bytes: int = Field(default=1_000_000, ge=100, description="How long a request's body may be; else 413.")
    max_question_chars: int = Field(default=20_000, ge=1, description="How long a question may be; else 422.")
    max_batch: int = Field(default=20, ge=1, description="How many questions a batch may have; else 422.")
    max_runs: int = Field(default=100, ge=1, description="How many requests are answered at once; more get 503.")
    max_threads: int = Field(default=1_000, ge=1, description="How many threads are remembered without CHECKPOINT_DB.")
    run_timeout: float = Field(default=300.0, gt=0, le=86_400, description="Seconds that a run may take; else 504.")
    client_timeout: float = Field(
        default=30.0, gt=0, le=86_400, description="Seconds that a client may take to send a request or to read on."
    )
    shutdown_timeout: float = Field(
        default=10.0, ge=0, le=86_400, description="Seconds that runs may go on when the server is to stop."
    )
    client_models: str | None = Field(
        default=None,
        description="The models that a client may name, with * for any; `none`: none; not set: those of the server.",
    )

    @classmethod
    def from_environment(cls) -> Self:
        """The limits that the environment sets.

        Raises:
            LimitsError: One of them has the wrong type or is out of range.
        """
        given = {name: os.environ.get(PREFIX + name.upper()) for name in cls.model_fields}
        try:
            return cls.model_validate({name: value for name, value in given.items() if value})
        except ValidationError as error:
            detail: Any = error.errors()[0]
            name = PREFIX + str(detail["loc"][0]).upper()
            raise LimitsError(f"The environment variable {name} is {detail['input']!r}: {detail['msg']}.") from None

    def allows(self, model: str) -> bool:
        """Whether a client may name this model."""
        return any(fnmatchcase(model, pattern) for pattern in self.models)

    @property
    def models(self) -> list[str]:
        """The models that a client may name, as patterns."""
        if self.client_models is None:
            return _own_models()
        return [pattern for each in self.client_models.split(",") if (pattern := each.strip())]


def _own_models() -> list[str]:
    """The models that the environment names for runs, or that are used if it names none."""
    try:
        return list(dict.fromkeys([default_model(), default_model("planner"), default_model("joiner")]))
    except ModelError:
        return []
