"""What a client of the server is told when something goes wrong: enough to act on, and nothing of the server's inside.

Messages of other people's exceptions may hold prompts, addresses and paths. They go to the server's log; the client
gets a sentence of ours.
"""

import logging
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.exceptions import ContextOverflowError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent import ModelError
from apps.runs.checkpoints import CheckpointError
from apps.runs.errors import in_one_line, is_no_connection
from apps.runs.graphs import GraphError
from apps.runs.locks import BusyError, LostError

MODEL_REFUSED_KEY = "The model's server refused the key of this server."
MODEL_BUSY = "The model's server has too many requests at the moment, or no quota left. Try again later."
MODEL_FAILED = "The model's server answered {status}. The log of this server says more."
MODEL_UNREACHABLE = "The model's server can't be reached."
MODEL_MISSING = "The model of this server can't be used. The log of this server says why."
GRAPH_MISSING = "The graph can't be loaded ({why}). The log of this server says more."
NOT_INSTALLED = "{name} is not installed"
DATABASE_AWAY = "The database of this server's threads can't be reached. Try again later."
FAILED = "The run failed ({kind}). The log of this server says more."

MEANINGS = {
    401: "The key is wrong, or missing.",
    403: "Without a key of its own, the server answers only its own machine.",
    404: "There is no such thread, or nothing runs in it.",
    408: "The body did not arrive in time, or the answer was not read.",
    409: "The thread is busy, or waits for something else.",
    413: "The body is too long.",
    415: "The body is not JSON by its Content-Type.",
    422: "The request can't be understood, or asks for more than is allowed.",
    500: "Something went wrong; the server's log says more.",
    502: "The model's server failed, or can't be reached.",
    503: "There is no room, or the database or the model is busy. Try again later.",
    504: "The run took too long, and was stopped.",
}

RETRY_AFTER = 5
"""Seconds after which to try again what was refused for want of room."""

_log = logging.getLogger(__name__)


class RefusedError(Exception):
    """A request that can't be met; the message is for the client."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Problem(BaseModel):
    """Why there is no answer: the body of every error, but for OpenAI's clients."""

    model_config = ConfigDict(title="Problem")

    status_code: int = Field(title="Status code", description="The HTTP status.")
    message: str = Field(title="Message", description="What was wrong, and what to do.")


class OpenAIError(BaseModel):
    """What OpenAI's clients read of an error."""

    model_config = ConfigDict(title="OpenAI's error")

    message: str = Field(title="Message", description="What was wrong, and what to do.")
    type: Literal["invalid_request_error", "server_error"]
    param: str | None = None
    code: str | None = None


class OpenAIProblem(BaseModel):
    """Why there is no answer, for OpenAI's clients: those in JavaScript show nothing of another form."""

    model_config = ConfigDict(title="OpenAI's problem")

    error: OpenAIError


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Errors for the OpenAPI document.

    Args:
        statuses: Those that may be given.
    """
    return {status: {"model": Problem, "description": MEANINGS[status]} for status in statuses}


OF_ALL = documented(401, 403, 500)
"""The errors of all requests but `/healthz`."""

OF_POSTS = documented(408, 413, 415, 422, 503)
OF_RUNS = OF_POSTS | documented(409, 502, 504)


@dataclass(frozen=True)
class Failure:
    """What the client is told."""

    status: int
    """An HTTP status."""

    message: str

    def body(self, path: str = "") -> dict[str, Any]:
        """As JSON, in the form that clients of the path expect: OpenAI's under `/v1/`, LangServe's elsewhere."""
        if path.startswith("/v1/"):
            kind: Any = "server_error" if self.status >= 500 else "invalid_request_error"
            return OpenAIProblem(error=OpenAIError(message=self.message, type=kind)).model_dump()
        return Problem(status_code=self.status, message=self.message).model_dump()

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers that go with it."""
        return {"Retry-After": str(RETRY_AFTER)} if self.status in (429, 503) else {}


def explain(error: Exception) -> Failure:
    """What to tell the client of an error; what is not the client's own fault is logged."""
    if isinstance(error, RefusedError):
        return Failure(error.status, str(error))
    if isinstance(error, BusyError):
        return Failure(409, str(error))
    if isinstance(error, ValidationError):
        return Failure(422, in_one_line(error))
    if isinstance(error, ModelError):
        if isinstance(error.__cause__, ContextOverflowError):
            return Failure(422, in_one_line(error))
        failure = Failure(500, MODEL_MISSING)
    elif isinstance(error, LostError):
        failure = Failure(503, str(error))
    elif isinstance(error, GraphError):
        failure = Failure(500, GRAPH_MISSING.format(why=_why_not_loaded(error.__cause__)))
    elif isinstance(error, CheckpointError):
        failure = Failure(503, DATABASE_AWAY)
    elif isinstance(status := getattr(error, "status_code", None), int):
        failure = _of_the_model(status)
    elif is_no_connection(error):
        failure = Failure(502, MODEL_UNREACHABLE)
    else:
        _log.error("The run failed: %s", in_one_line(error), exc_info=error)
        return Failure(500, FAILED.format(kind=type(error).__name__))
    _log.error("The run failed: %s", in_one_line(error))
    return failure


def _why_not_loaded(cause: BaseException | None) -> str:
    if isinstance(cause, ModuleNotFoundError):
        return NOT_INSTALLED.format(name=cause.name)
    return type(cause).__name__ if cause else "it is not there any more"


def _of_the_model(status: int) -> Failure:
    if status in (401, 403):
        return Failure(502, MODEL_REFUSED_KEY)
    if status == 429:
        return Failure(503, MODEL_BUSY)
    return Failure(502, MODEL_FAILED.format(status=status))
