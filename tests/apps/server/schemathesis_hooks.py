"""What schemathesis is told besides the OpenAPI document."""

from typing import Any

import schemathesis
from pydantic import TypeAdapter, ValidationError
from schemathesis.core.parameters import ParameterLocation

from apps.server.conversations import ThreadId

THREAD_ID: TypeAdapter[str] = TypeAdapter(ThreadId)


@schemathesis.hook
def filter_case(_: Any, case: Any) -> bool:
    r"""Whether a request is made: not one that is meant to be bad for its thread, but has a good one. Schemathesis
    reads `\p{L}` as the letters of some alphabets, and takes those of all others for bad."""
    path = case.meta.components.get(ParameterLocation.PATH) if case.meta else None
    if path is None or not path.mode.is_negative or "thread_id" not in case.path_parameters:
        return True
    try:
        THREAD_ID.validate_python(case.path_parameters["thread_id"])
    except ValidationError:
        return True
    return False
