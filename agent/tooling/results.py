"""What an observation holds for others than the models: for the tasks that refer to it, and for the user."""

from dataclasses import replace
from typing import Any

from langchain_core.messages import ToolMessage

from agent.language.references import Reference, UnresolvedReferenceError, follow


def value_for(reference: Reference, observation: ToolMessage, *, of_map: bool = False) -> Any:
    """The result that a reference's path leads into.

    Args:
        reference: What refers to it.
        observation: The observation of the task, or of an element of it.
        of_map: Whether it is an element; the path's first step leads to it.
    """
    content = shown_value(observation)
    if content is observation.artifact:
        return content
    rest = replace(reference, path=reference.path.partition("]")[2]) if of_map else reference
    try:
        follow(content, rest)
    except UnresolvedReferenceError:
        return observation.artifact
    return content


def shown_value(observation: ToolMessage) -> Any:
    """The result that models are shown (as text, and cut)."""
    return observation.response_metadata.get("content", observation.artifact)
