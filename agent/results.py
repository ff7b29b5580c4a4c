"""What an observation holds for others than the models: for the tasks that refer to it, and for the user."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AnyMessage, ToolMessage

from agent.references import Reference, UnresolvedReferenceError, follow, to_text


@dataclass(frozen=True)
class ContentAndArtifact:
    """The result of a tool that gives both (`response_format="content_and_artifact"`, or a `ToolMessage`).

    The observation has the artifact as its own, and the whole content in `response_metadata["content"]`.
    """

    content: Any
    """What models are shown, and what `$1` stands for."""

    artifact: Any
    """What `$1.name` or `$1[0]` reaches into if the content has no such part."""


def value_for(reference: Reference, observation: ToolMessage) -> Any:
    """The result that the reference (its path, if any) leads into."""
    if "content" not in observation.response_metadata:
        return observation.artifact
    content = observation.response_metadata["content"]
    try:
        follow(content, reference)
    except UnresolvedReferenceError:
        return observation.artifact
    return content


def direct_answer(messages: Sequence[AnyMessage]) -> str | None:
    """The result of the plan's last call, if that is the answer: its tool has `return_direct`, and every call of the
    plan has succeeded."""
    results: list[ToolMessage] = []
    for message in reversed(messages):
        if not isinstance(message, ToolMessage):
            break
        results.append(message)
    if not results or any(message.status == "error" for message in results):
        return None
    last = results[0]
    if not last.response_metadata.get("return_direct"):
        return None
    return to_text(last.response_metadata.get("content", last.artifact))
