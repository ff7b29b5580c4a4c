"""The conversation as messages: plans and observations written to it, and read back.

A plan is an `AIMessage` whose tool calls are shown as they were made, and have been planned as its metadata says; each
call has one `ToolMessage` as its observation. The elements of a map are calls like any others.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from typing import Any, TypeGuard

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call

from agent.language.excerpt import excerpt
from agent.language.plan import Plan
from agent.language.references import Reference, UnresolvedReferenceError, follow
from agent.language.tasks import Key, Task, name_of
from agent.language.values import as_json, to_text, without_errors

ARGUMENT_CHARS = 500
"""How much people are shown of an argument that a call was made with."""

NOTED_OF_TASKS = ("dependencies", "tools", "errors", "maps")
"""What the metadata of every plan says of its tasks, beside its tool calls; that of plans of earlier versions says no
more."""

NO_PLAN = {"plan": "", "last": 0, "answer": ""}
"""What is noted of a plan of which only the tasks are known."""

LONGEST_PROVIDER_NAME = 64
"""Characters."""

_ID = re.compile(r"task_(\d+)(?:_(\d+))?")
_NOT_IN_PROVIDER_NAMES = re.compile(r"[^a-zA-Z0-9_-]")


def plan_id(checkpoint: str) -> str:
    """The message id of the plan that is written in this superstep. It is the same however often that is resumed."""
    return f"plan-{checkpoint}"


def answer_id(plan: str) -> str:
    """The message id of the answer that the plan with this message id gives."""
    return f"{plan}-answer"


def observation_id(plan: str, key: Key) -> str:
    """The message id of what comes of a task of the plan with this message id."""
    return f"{plan}-{call_id(key)}"


def plan_message(
    plan: Plan, *, text: str, feedback: str, usage: UsageMetadata | None, id: str | None = None
) -> AIMessage:
    """The finished plan.

    Args:
        plan: Its tasks.
        text: What the model wrote.
        feedback: Why the plan was made, if it is not the turn's first; chat UIs show it.
        usage: The tokens of the planner's model call, if the model reported them.
        id: The message's id.
    """
    calls, notes = _calls_of(plan.tasks, {})
    return AIMessage(
        id=id,
        content=feedback,
        tool_calls=calls,
        usage_metadata=usage,
        response_metadata={"plan": text, "last": plan.last, "answer": plan.answer, **notes},
    )


def with_tasks(plan: AIMessage, tasks: Sequence[Task], observed: Iterable[ToolMessage]) -> AIMessage:
    """The plan's message as it was carried out.

    Args:
        plan: The plan's message.
        tasks: Its tasks, such as the calls of a map whose length was not known before.
        observed: What came of them. A call that was made is shown as it was made.
    """
    calls, notes = _calls_of(tasks, {one.tool_call_id: one for one in observed})
    return plan.model_copy(update={"tool_calls": calls, "response_metadata": {**plan.response_metadata, **notes}})


def _calls_of(tasks: Sequence[Task], observed: Mapping[str, ToolMessage]) -> tuple[list[ToolCall], dict[str, Any]]:
    """The tasks as tool calls, and what tool calls can't say of them: how they were planned, if it was otherwise."""
    planned = [task for task in tasks if task.is_call]
    calls = [call_of(task, observed.get(call_id(task.key))) for task in planned]
    both = list(zip(planned, calls, strict=True))
    notes = {
        "dependencies": {name_of(task.key): list(task.dependencies) for task in tasks if task.dependencies},
        "tools": {name_of(task.key): task.tool for task, call in both if task.tool != call["name"]},
        "arguments": {name_of(task.key): task.arguments for task, call in both if task.arguments != call["args"]},
        "errors": {name_of(task.key): task.error for task in tasks if task.error},
        "maps": {name_of(task.key): task.over or task.size for task in tasks if task.is_map},
        "again": {str(task.number): task.again for task in tasks if task.again is not None},
        "positional": {str(task.number): task.positional for task in tasks if task.arguments and task.positional != 1},
    }
    return calls, notes


def call_of(task: Task, observed: ToolMessage | None = None) -> ToolCall:
    """A task as a tool call: as it was made, if it was."""
    made = observed.response_metadata.get("arguments") if observed else None
    if observed is None or made is None:
        return tool_call(name=provider_name(task.tool), args=task.arguments, id=call_id(task.key))
    args = {name: as_json(value, ARGUMENT_CHARS) for name, value in made.items()}
    return tool_call(name=observed.name or task.tool, args=args, id=call_id(task.key))


def as_made(task: Task, observed: ToolMessage) -> Task:
    """The task as it was made: with what its arguments stood for, or with the call that a person has put in its
    place."""
    arguments = observed.response_metadata.get("arguments", task.arguments)
    if observed.response_metadata.get("decision") != "edit":
        return replace(task, arguments=arguments)
    tool = task.tool if observed.name == provider_name(task.tool) else str(observed.name)
    return replace(task, tool=tool, arguments=arguments, positional=0)


def aside(text: str, response: AIMessage) -> AIMessage:
    """What the agent says before it plans anew. People are shown it, and no prompt has it."""
    return AIMessage(text, usage_metadata=response.usage_metadata, response_metadata={"aside": True})


def is_answer(message: BaseMessage) -> TypeGuard[AIMessage]:
    """Whether a message has the answer to a question: it is neither a plan nor said before another one."""
    return isinstance(message, AIMessage) and not (message.tool_calls or message.response_metadata.get("aside"))


def tasks_of(plan: AIMessage) -> list[Task]:
    """The tasks of a plan's message."""
    tasks: list[Task] = []
    for number, calls in groupby(plan.tool_calls, lambda call: (key_of(call["id"]) or (0, None))[0]):
        tasks += [_task_of(plan, call) for call in calls]
        if (size := plan.response_metadata["maps"].get(str(number))) and tasks[-1].element is not None:
            tasks.append(Task(number, tasks[-1].tool, {}, size=size))
    return tasks


def _task_of(plan: AIMessage, call: ToolCall) -> Task:
    notes = plan.response_metadata
    number, element = key_of(call["id"]) or (0, None)
    name = name_of((number, element))
    shape = notes["maps"].get(name)
    return Task(
        number,
        tool=notes["tools"].get(name, call["name"]),
        arguments=notes.get("arguments", {}).get(name, call["args"]),
        dependencies=tuple(notes["dependencies"].get(name, ())),
        error=notes["errors"].get(name),
        element=element,
        over=shape if isinstance(shape, str) else None,
        size=shape if isinstance(shape, int) else None,
        again=notes.get("again", {}).get(str(number)),
        positional=notes.get("positional", {}).get(str(number), 1),
    )


def provider_name(name: str) -> str:
    """The name of a tool as providers accept it: they refuse requests, and a history, with other ones."""
    return _NOT_IN_PROVIDER_NAMES.sub("_", name)[:LONGEST_PROVIDER_NAME]


def last_number(plan: AIMessage) -> int:
    """The highest number of the plan, its join's included."""
    return int(plan.response_metadata["last"])


def call_id(key: Key) -> str:
    """The tool call id of a task, unique in the thread: `task_3`, or `task_3_0` for an element of a map."""
    number, element = key
    return f"task_{number}" if element is None else f"task_{number}_{element}"


@lru_cache(maxsize=10_000)
def key_of(tool_call_id: str | None) -> Key | None:
    """The task with this tool call id; None for a call that is not ours."""
    match = _ID.fullmatch(tool_call_id or "")
    return (int(match[1]), int(match[2]) if match[2] else None) if match else None


def observation(
    task: Task,
    text: str,
    value: Any = None,
    *,
    failed: bool = False,
    most: int,
    about: str = "",
    id: str | None = None,
    **metadata: Any,
) -> ToolMessage:
    """What came of a task.

    Args:
        task: The task.
        text: The result for the models, cut at `most` characters; or why there is none.
        value: The result for later tasks.
        failed: Whether there is no result.
        most: How many characters models are shown.
        about: What they look for in it, besides the arguments.
        id: The message's id.
        metadata: `arguments` as resolved, `started` and `finished` in Unix seconds.
    """
    return ToolMessage(
        id=id,
        content=excerpt(without_errors(text), most, about=f"{to_text(metadata.get('arguments', ''))} {about}"),
        artifact=value,
        tool_call_id=call_id(task.key),
        name=provider_name(task.tool),
        status="error" if failed else "success",
        response_metadata=metadata,
    )


def result_of(observation: ToolMessage) -> Any:
    """The result, of which models are shown the text: what `$1` stands for."""
    return observation.response_metadata.get("content", observation.artifact)


def value_for(reference: Reference, observation: ToolMessage, *, of_map: bool = False) -> Any:
    """The result that a reference's path leads into.

    Args:
        reference: What refers to it.
        observation: The observation of the task, or of an element of it.
        of_map: Whether it is an element, to which the path's first step leads, if that is in brackets.
    """
    content = result_of(observation)
    if content is observation.artifact:
        return content
    if of_map and reference.path.startswith("["):
        reference = replace(reference, path=reference.path.partition("]")[2])
    try:
        follow(content, reference)
    except UnresolvedReferenceError:
        return observation.artifact
    return content


def apart(messages: Sequence[AnyMessage], plan: str) -> tuple[list[AnyMessage], dict[Key, ToolMessage]]:
    """The conversation without a plan that isn't finished, and what has come of its tasks so far.

    Args:
        messages: The conversation.
        plan: The plan's message id.
    """
    others: list[AnyMessage] = []
    done: dict[Key, ToolMessage] = {}
    for message in messages:
        key = key_of(message.tool_call_id) if isinstance(message, ToolMessage) else None
        if isinstance(message, ToolMessage) and key and message.id == observation_id(plan, key):
            if not message.response_metadata.get("waiting"):
                done[key] = message
        elif message.id != plan:
            others.append(message)
    return others, done


def observations(messages: Iterable[BaseMessage]) -> dict[Key, ToolMessage]:
    """What came of this agent's tasks: for each, the first message with its id behind its plan. Others may have such an
    id as well: a chat UI that invents results, or another agent."""
    found: dict[Key, ToolMessage] = {}
    planned: set[int] = set()
    of_plan: set[Key] = set()
    for message in messages:
        if is_own_plan(message):
            planned, of_plan = _numbers(message), set()
        elif isinstance(message, ToolMessage):
            key = key_of(message.tool_call_id)
            if key and key[0] in planned and key not in of_plan:
                of_plan.add(key)
                found[key] = message
        elif isinstance(message, HumanMessage):
            planned = set()
    return found


def without_inventions(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """The conversation without results of this agent's calls that this agent didn't write."""
    own = {id(message) for message in observations(messages).values()}
    planned = {number for plan in own_plans(messages) for number in _numbers(plan)}

    def is_invented(message: AnyMessage) -> bool:
        if not isinstance(message, ToolMessage) or id(message) in own:
            return False
        key = key_of(message.tool_call_id)
        return key is not None and key[0] in planned

    return [message for message in messages if not is_invented(message)]


def _numbers(plan: AIMessage) -> set[int]:
    return {key[0] for call in plan.tool_calls if (key := key_of(call["id"]))}


def map_sizes(tasks: Iterable[Key]) -> dict[int, int]:
    """The lengths of the maps among these tasks."""
    sizes: dict[int, int] = {}
    for number, element in tasks:
        if element is not None:
            sizes[number] = max(sizes.get(number, 0), element + 1)
    return sizes


def this_turn(messages: Sequence[AnyMessage]) -> Sequence[AnyMessage]:
    """The messages since the user's last one."""
    for index in range(len(messages) - 1, -1, -1):
        if isinstance(messages[index], HumanMessage):
            return messages[index + 1 :]
    return messages


def is_own_plan(message: BaseMessage) -> TypeGuard[AIMessage]:
    """Whether a message is a plan of this kind of agent. Tool calls of other agents are none."""
    if not isinstance(message, AIMessage) or not message.tool_calls:
        return False
    return {"plan", *NOTED_OF_TASKS} <= message.response_metadata.keys()


def own_plans(messages: Iterable[AnyMessage]) -> list[AIMessage]:
    """The plans among the messages."""
    return [message for message in messages if is_own_plan(message)]


def all_tasks(messages: Iterable[AnyMessage]) -> list[Task]:
    """The tasks of the plans among the messages."""
    return [task for plan in own_plans(messages) for task in tasks_of(plan)]


def replans_made(messages: Sequence[AnyMessage]) -> int:
    """How many further plans the present turn has taken so far, besides one that had no calls."""
    return sum(1 for plan in own_plans(this_turn(messages)) if plan.content)
