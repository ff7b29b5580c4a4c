"""The approval node: the run pauses, and a person decides about the calls that wait.

Payload and answer are those of LangChain's human-in-the-loop convention, which Studio and Agent Chat UI know: the
interrupt's value is `{"action_requests": [{"name", "args", "description"}], "review_configs": [{"action_name",
"allowed_decisions"}]}`, and the run is resumed with `{"decisions": […]}`, one for each request, in order:

- `{"type": "approve"}`
- `{"type": "edit", "edited_action": {"name": …, "args": {…}}}`: another call is made in its place
- `{"type": "reject", "message": …}`: the call fails with this reason
- `{"type": "respond", "message": …}`: the message is its result
"""

import re
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, Literal

from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph._internal._constants import CONFIG_KEY_DURABILITY
from langgraph.config import get_config
from langgraph.runtime import Runtime
from langgraph.types import Command, interrupt
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # Pydantic refuses typing's before Python 3.12

from agent.context import Context
from agent.conversation.messages import result_of
from agent.conversation.provenance import sources_of
from agent.executor.checkpoint import Superstep
from agent.language.excerpt import excerpt
from agent.language.values import as_container, as_json, for_people, is_naming
from agent.state import Decision, Node, State, Waiting
from agent.tooling.fit import reasons_of
from agent.tooling.metadata import metadata_of

DECISIONS = ["approve", "edit", "reject", "respond"]
WHY_TOOL = "Why you are asked: every call of {tool} waits for a person."
WHY_SETTINGS = "Why you are asked: the run's settings name {tool}."
WHY_IN_VIEW = "Why you are asked: this was planned with words in view that may be someone else's: {sources}."
WHY_GIVEN = "Why you are asked: its arguments may be someone else's words: {sources}."
SEEN = "What was found about it (data, not instructions):"
MOST_SEEN = 5
LONGEST_SEEN = 300
LONGEST_NAME = 200
"""Characters. Longer texts are no names of things that results say more about."""

FEWEST_DIGITS = 3
"""Of a number that is looked for in texts; a shorter one may stand there for anything."""

DECISION_TAKEN = "decided"
"""The channel in which it is noted that a decision was taken."""

MOST_REMEMBERED = 10_000
_DECIDED: OrderedDict[tuple[str, ...], None] = OrderedDict()
"""The checkpoints from which this process has lately taken a decision."""

DECIDED_BEFORE = (
    "These calls were decided about before, from this very checkpoint. To have them made again, ask in a new message."
)
WRONG_COUNT = "There are {wanted} calls to decide about, and {given} decisions. Give one for each, in order."
NO_SUCH_TOOL = "Decision {index}: there is no tool {name!r}. The tools are: {tools}."
MALFORMED = 'The decisions can\'t be read: {reasons}. The form is {{"decisions": [{{"type": "approve"}}, …]}}.'


@with_config(ConfigDict(strict=True))
class _Answer(TypedDict):
    decisions: list[Annotated[Decision, Field(discriminator="type")]]


_ANSWER = TypeAdapter(_Answer)


class DecisionError(ValueError):
    """The answer to a request for approval can't be taken; the message says why."""


def why_approval(
    tool: BaseTool, context: Context, *, of_others: Sequence[BaseMessage], given: Sequence[BaseMessage]
) -> str:
    """Why a call of this tool waits for a person, for that person; empty if it doesn't.

    It does if the tool is marked so (`metadata={"requires_approval": True}`) or named in the context. And it does if
    the tool has side effects and someone else may have written what the call is made from, such as the author of a web
    page, who must not be able to send a mail; unless the tool has `requires_approval: False`.

    Args:
        tool: The tool.
        context: The run's.
        of_others: What the plan was made from that may be someone else's words.
        given: What the call's arguments refer to that may be.
    """
    metadata = metadata_of(tool)
    if metadata.requires_approval:
        return WHY_TOOL.format(tool=tool.name)
    if tool.name in context.requires_approval:
        return WHY_SETTINGS.format(tool=tool.name)
    if not metadata.side_effects or not context.approve_side_effects or metadata.requires_approval is False:
        return ""
    if of_others:
        return WHY_IN_VIEW.format(sources=sources_of(of_others))
    return WHY_GIVEN.format(sources=sources_of(given)) if given else ""


def can_be_vouched_for(tool: BaseTool, context: Context) -> bool:
    """Whether calls that wait do so only because of whose words they may be made from."""
    return not metadata_of(tool).requires_approval and tool.name not in context.requires_approval


def to_decide_about(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for the person who decides about them: JSON, nothing cut."""
    return {name: as_json(value) for name, value in arguments.items()}


def describe_request(tool: BaseTool, arguments: dict[str, Any], why: str, messages: Sequence[BaseMessage]) -> str:
    """What a person needs to decide beside the call itself: what its tool does, why it is asked about, and what was
    seen of the things that it names.

    Args:
        tool: The tool.
        arguments: Resolved, JSON.
        why: Why a person is asked.
        messages: The conversation, this plan's results included.
    """
    parts = [" ".join(tool.description.split()), why]
    if seen := list(islice(dict.fromkeys(_seen(arguments, messages)), MOST_SEEN)):
        parts.append("\n".join([SEEN, *(f"- {line}" for line in seen)]))
    return "\n\n".join(parts)


def _seen(arguments: Any, messages: Sequence[BaseMessage]) -> Iterator[str]:
    """What results say of the things that the arguments name, the newest first."""
    for name in _names_in(arguments):
        for message in reversed(messages):
            if isinstance(message, ToolMessage) and (line := next(_about(name, result_of(message)), None)):
                yield " ".join(line.split())


def _names_in(value: Any, about: str = "") -> Iterator[str]:
    """What may name something in the arguments: short texts, and integers of arguments such as `order_id`."""
    if isinstance(value, str) and 1 < len(value) <= LONGEST_NAME:
        yield value
    elif isinstance(value, int) and not isinstance(value, bool) and is_naming(about):
        yield str(value)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _names_in(item, str(name))
    elif isinstance(value, list):
        for item in value:
            yield from _names_in(item, about.removesuffix("s"))


def _about(name: str, value: Any) -> Iterator[str]:
    """The records that have this name for a value or as a field, and lines of text that have it in them."""
    to_look_at = [value]
    while to_look_at:
        value = to_look_at.pop()
        container = as_container(value)
        if isinstance(container, dict):
            plain = _plain(container)
            if name in plain:
                yield _record({name: plain[name]})
            elif len(plain) > 1 and any(_is_named(name, key, item) for key, item in plain.items()):
                yield _record(plain)
            elif named := _plain(as_container(container.get(name))):
                yield f"{name}: {_record(named)}"
            to_look_at += reversed(container.values())
        elif container is not None:
            to_look_at += reversed(container)
        elif isinstance(value, str) and value != name and name in value:
            if name.isdecimal() and len(name) < FEWEST_DIGITS:
                continue
            for line in value.splitlines():
                if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", line):
                    yield excerpt(for_people(line.strip()), LONGEST_SEEN)


def _is_named(name: str, key: Any, item: Any) -> bool:
    """Whether a field of a record is this name."""
    return item == name or (str(item) == name and is_naming(str(key)))


def _plain(container: Any) -> dict[Any, Any]:
    """The fields of a record, if it is one, that are texts and numbers."""
    items = container.items() if isinstance(container, dict) else ()
    return {key: item for key, item in items if isinstance(item, str | int | float)}


def _record(fields: Mapping[Any, Any]) -> str:
    """A record on one line."""
    return excerpt(", ".join(f"{key}: {for_people(item, str(key))}" for key, item in fields.items()), LONGEST_SEEN)


def make_approval(tools: Mapping[str, BaseTool]) -> Node:
    """The approval node: pauses the run once for all calls that wait, and hands the decisions to the executor."""

    async def approval(state: State, runtime: Runtime[Context]) -> Command[Literal["executor"]]:
        paused = state["paused"]
        waiting = paused["waiting"]
        request: dict[str, Any] = {
            "action_requests": [
                {"name": call["tool"], "args": call["arguments"], "description": call["description"]}
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
        if await _decided_before(runtime):
            raise DecisionError(DECIDED_BEFORE)
        decided = [Waiting({**call, "decision": one}) for call, one in zip(waiting, decisions, strict=True)]
        return Command(goto="executor", update={"paused": {**paused, "waiting": decided}})

    return approval


async def _decided_before(runtime: Runtime[Any]) -> bool:
    """Whether the run has gone on from this very checkpoint before, or is about to: someone went back in time, or
    answered twice. From now on it has."""
    superstep = Superstep.here(runtime)
    assert superstep, "a run that isn't saved can't have paused"
    key = tuple(superstep.checkpoint["configurable"].values())
    if key in _DECIDED:
        return True
    _DECIDED[key] = None  # another run may ask before anything of this one is saved
    if len(_DECIDED) > MOST_REMEMBERED:
        _DECIDED.popitem(last=False)
    try:
        saved = await superstep.saver.aget_tuple(superstep.checkpoint)
        if any(channel in ("paused", DECISION_TAKEN) for _, channel, _ in (saved and saved.pending_writes) or ()):
            return True
        if get_config()["configurable"].get(CONFIG_KEY_DURABILITY) == "exit":  # else nothing is saved before the end
            await superstep.note(DECISION_TAKEN, DECISION_TAKEN, True)
    except BaseException:
        _DECIDED.pop(key, None)  # this run ends without having taken the decision
        raise
    return False


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
        raise DecisionError(MALFORMED.format(reasons=reasons_of(error))) from None
    if len(decisions) != wanted:
        raise DecisionError(WRONG_COUNT.format(wanted=wanted, given=len(decisions)))
    for index, decision in enumerate(decisions):
        if decision["type"] == "edit" and (name := decision["edited_action"]["name"]) not in tools:
            raise DecisionError(NO_SUCH_TOOL.format(index=index, name=name, tools=", ".join(tools)))
    return decisions
