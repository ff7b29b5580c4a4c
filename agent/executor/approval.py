"""The approval node: the run pauses, and a person decides about the calls that wait.

Payload and answer are those of LangChain's human-in-the-loop convention, which Studio and Agent Chat UI know: the
interrupt's value is `{"action_requests": [{"name", "args", "description"}], "review_configs": [{"action_name",
"allowed_decisions"}]}`, and the run is resumed with `{"decisions": […]}`, one for each request, in order:

- `{"type": "approve"}`
- `{"type": "edit", "edited_action": {"name": …, "args": {…}}}`: another call is made in its place
- `{"type": "reject", "message": …}`: the call fails with this reason
- `{"type": "respond", "message": …}`: the message is its result
"""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from langchain_core.tools import BaseTool
from langgraph.runtime import Runtime
from langgraph.types import Command, interrupt
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # Pydantic refuses typing's before Python 3.12

from agent.context import Context
from agent.state import Decision, Node, State, Waiting

DECISIONS = ["approve", "edit", "reject", "respond"]
WRONG_COUNT = "There are {wanted} calls to decide about, and {given} decisions. Give one for each, in order."
NO_SUCH_TOOL = "Decision {index}: there is no tool {name!r}. The tools are: {tools}."
MALFORMED = 'The decisions can\'t be read: {reasons}. The form is {{"decisions": [{{"type": "approve"}}, …]}}.'


@with_config(ConfigDict(strict=True))
class _Answer(TypedDict):
    decisions: list[Annotated[Decision, Field(discriminator="type")]]


_ANSWER = TypeAdapter(_Answer)


class DecisionError(ValueError):
    """The answer to a request for approval can't be taken; the message says why."""


def needs_approval(tool: BaseTool, context: Context, *, has_seen_results: bool) -> bool:
    """Whether a call of this tool waits for a person.

    It does if the tool is marked so (`metadata={"requires_approval": True}`) or named in the context. And it does if
    the tool has side effects (`metadata={"side_effects": True}`) and the plan was written with earlier results in view:
    they may be someone else's words, such as a web page's, and must not be able to send a mail.
    """
    metadata = tool.metadata or {}
    if metadata.get("requires_approval") or tool.name in context.requires_approval:
        return True
    return bool(metadata.get("side_effects")) and has_seen_results and context.approve_side_effects


def make_approval(tools: Mapping[str, BaseTool]) -> Node:
    """The approval node: pauses the run once for all calls that wait, and hands the decisions to the executor."""

    async def approval(state: State, runtime: Runtime[Context]) -> Command[Literal["executor"]]:  # noqa: ARG001
        paused = state["paused"]
        waiting = paused["waiting"]
        request: dict[str, Any] = {
            "action_requests": [
                {"name": call["tool"], "args": call["arguments"], "description": _describe(tools[call["tool"]])}
                for call in waiting
            ],
            "review_configs": [
                {"action_name": name, "allowed_decisions": DECISIONS}
                for name in dict.fromkeys(call["tool"] for call in waiting)
            ],
        }
        answer = interrupt(request)
        while True:
            try:
                decisions = read_decisions(answer, len(waiting), tools)
            except DecisionError as error:
                answer = interrupt({**request, "error": str(error)})
            else:
                break
        decided = [Waiting({**call, "decision": one}) for call, one in zip(waiting, decisions, strict=True)]
        return Command(goto="executor", update={"paused": {**paused, "waiting": decided}})

    return approval


def read_decisions(answer: Any, wanted: int, tools: Collection[str]) -> list[Decision]:
    """What a person decided about each call that waits.

    Args:
        answer: What the run is resumed with.
        wanted: How many calls wait.
        tools: The names of the tools.

    Raises:
        DecisionError: The answer has another form, another number of decisions, or names a tool that isn't there.
    """
    try:
        decisions = _ANSWER.validate_python(answer)["decisions"]
    except ValidationError as error:
        reasons = "; ".join(
            f"{'.'.join(str(step) for step in detail['loc']) or 'answer'}: {detail['msg']}"
            for detail in error.errors()[:3]
        )
        raise DecisionError(MALFORMED.format(reasons=reasons)) from None
    if len(decisions) != wanted:
        raise DecisionError(WRONG_COUNT.format(wanted=wanted, given=len(decisions)))
    for index, decision in enumerate(decisions):
        if decision["type"] == "edit" and (name := decision["edited_action"]["name"]) not in tools:
            raise DecisionError(NO_SUCH_TOOL.format(index=index, name=name, tools=", ".join(tools)))
    return decisions


def _describe(tool: BaseTool) -> str:
    return " ".join(tool.description.split())
