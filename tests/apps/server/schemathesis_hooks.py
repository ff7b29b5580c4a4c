"""What schemathesis is told besides the OpenAPI document."""

from typing import Any
from urllib.parse import unquote

import schemathesis
from pydantic import TypeAdapter, ValidationError
from schemathesis.core.parameters import ParameterLocation

from apps.server.conversations import ThreadId

THREAD_ID: TypeAdapter[str] = TypeAdapter(ThreadId)


@schemathesis.hook
def filter_case(_: Any, case: Any) -> bool:
    r"""Whether a request is made: not one that is meant to be bad for its thread, but has a good one. Schemathesis
    reads `\p{L}` as the letters of some alphabets, and takes those of all others for bad."""
    components = case.meta.components if case.meta else {}
    bad = {location for location, component in components.items() if component.mode.is_negative}
    in_path = (case.path_parameters or {}).get("thread_id")
    if ParameterLocation.PATH in bad and in_path is not None and _is_good(unquote(str(in_path))):
        return False
    match case.body:
        case {"input": {"thread_id": thread}} if ParameterLocation.BODY in bad:
            return not (thread == "" or _is_good(thread))
    return True


def _is_good(thread: Any) -> bool:
    try:
        THREAD_ID.validate_python(thread)
    except ValidationError:
        return False
    return True
