"""The approval node: the run pauses, and a person decides about the calls that wait.

Payload and answer are those of LangChain's human-in-the-loop convention, which Studio and Agent Chat UI know: the
interrupt's value is `{"action_requests": [{"name", "args", "description"}], "review_configs": [{"action_name",
"allowed_decisions"}]}`, and the run is resumed with `{"decisions": […]}`, one for each request, in order:

- `{"type": "approve"}`
- `{"type": "edit", "edited_action": {"name": …, "args": {…}}}`: another call is made in its place
- `{"type": "reject", "message": …}`: the call fails with this reason
- `{"type": "respond", "message": …}`: the message is its result
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, Self

from langchain_core.tools import BaseTool
from langgraph.runtime import Runtime
from langgraph.types import Command, interrupt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.context import Context
from agent.state import Node, State, Waiting
from agent.tasks import Key

DECISIONS = ["approve", "edit", "reject", "respond"]
WRONG_COUNT = "There are {wanted} calls to decide about, and {given} decisions. Give one for each, in order."
NO_SUCH_TOOL = "Decision {index}: there is no tool {name!r}. The tools are: {tools}."
MALFORMED = 'The decisions can\'t be read: {reasons}. The form is {{"decisions": [{{"type": "approve"}}, …]}}.'


@dataclass(frozen=True)
class Verdict:
    """What a person has decided about a call."""

    type: Literal["approve", "edit", "reject", "respond"]
    arguments: dict[str, Any]
    """Those that the person was shown. The verdict is about this call only."""

    message: str = ""
    tool: str = ""
    """The tool that is called instead, for an edit."""

    edited: dict[str, Any] = field(default_factory=dict)
    """The arguments that it is given."""

    @classmethod
    def all(cls, waiting: list[Waiting], decided: list[dict[str, Any]]) -> dict[Key, Self]:
        """The verdicts by task."""
        return {
            (call["task"], call["element"]): cls(**verdict) for call, verdict in zip(waiting, decided, strict=False)
        }


class _Decision(BaseModel):
    model_config = ConfigDict(strict=True)


class _Approve(_Decision):
    type: Literal["approve"]


class _Action(_Decision):
    name: str
    args: dict[str, Any]


class _Edit(_Decision):
    type: Literal["edit"]
    edited_action: _Action


class _Reject(_Decision):
    type: Literal["reject"]
    message: str = ""


class _Respond(_Decision):
    type: Literal["respond"]
    message: str


class _Decisions(_Decision):
    decisions: list[Annotated[_Approve | _Edit | _Reject | _Respond, Field(discriminator="type")]]


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
                verdicts = read_decisions(answer, waiting, tools)
            except DecisionError as error:
                answer = interrupt({**request, "error": str(error)})
            else:
                break
        decided = [asdict(verdict) for verdict in verdicts]
        return Command(goto="executor", update={"paused": {**paused, "verdicts": decided}})

    return approval


def read_decisions(answer: Any, waiting: list[Waiting], tools: Mapping[str, BaseTool]) -> list[Verdict]:
    """What a person decided about each call that waits.

    Raises:
        DecisionError: The answer has another form, another number of decisions, or names a tool that isn't there.
    """
    try:
        decisions = _Decisions.model_validate(answer).decisions
    except ValidationError as error:
        reasons = "; ".join(
            f"{'.'.join(str(step) for step in detail['loc']) or 'answer'}: {detail['msg']}"
            for detail in error.errors()[:3]
        )
        raise DecisionError(MALFORMED.format(reasons=reasons)) from None
    if len(decisions) != len(waiting):
        raise DecisionError(WRONG_COUNT.format(wanted=len(waiting), given=len(decisions)))
    verdicts = []
    for index, (decision, call) in enumerate(zip(decisions, waiting, strict=True)):
        if isinstance(decision, _Edit):
            action = decision.edited_action
            if action.name not in tools:
                raise DecisionError(NO_SUCH_TOOL.format(index=index, name=action.name, tools=", ".join(tools)))
            verdicts.append(Verdict("edit", call["arguments"], tool=action.name, edited=action.args))
        else:
            verdicts.append(Verdict(decision.type, call["arguments"], message=getattr(decision, "message", "")))
    return verdicts


def _describe(tool: BaseTool) -> str:
    return " ".join(tool.description.split())
