"""The joiner node: looks at the results, and either answers the user or asks for another plan."""

import ast
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.tools import BaseTool
from langgraph.runtime import Runtime
from langgraph.types import Command
from pydantic import ValidationError

from agent.context import Context
from agent.conversation.answer import all_done, changing, direct_answer, fill_in
from agent.conversation.messages import aside, replans_made
from agent.conversation.provenance import as_own_words
from agent.conversation.saving import storable
from agent.conversation.transcript import results_of_turn
from agent.conversation.view import in_view
from agent.events import Progress
from agent.joiner.reply import Reply
from agent.joiner.structured import ResponseFormat, Structured, ask
from agent.language.reasoning import without_thoughts
from agent.language.written_calls import read_written_calls
from agent.model_servers import REFUSED, known_of
from agent.models import Models, overflow_told
from agent.prompts import NO_ANSWER, REPLAN_TOOL, joiner_prompt
from agent.shown import MessageStream
from agent.state import Node, State

NO_FEEDBACK = "The results don't answer the question."

_ACTION = re.compile(
    r"(?:(?:Action|Answer)[ \t*]*:[ \t*]*|(?:\A|\n)[ \t*]*(?=\w+[(\[:]))"
    r"(?P<action>Finish|Replan)\b[ \t:*]*(?P<text>.*)",
    re.DOTALL | re.IGNORECASE,
)
_FINAL = re.compile(r"(?:\A|\n)[^\w\n]*(?:Final )?Answer\W*:\s*(?P<text>.*)", re.DOTALL | re.IGNORECASE)
_FORM = re.compile(
    r"[\s*]*(?:Thought|Action|Replan)[\s*]*:|[\s*]*Answer[\s*]*:\s*(?=Finish[(\[])|\s*(?:Finish|Replan)[(\[].*[)\]]\s*\Z",
    re.DOTALL | re.IGNORECASE,
)
_GIVEN = r"(?:(?:final_)?answer|feedback|response|text|message|missing)"
_KEYWORD = re.compile(
    rf"\A{_GIVEN}\s*[=:]\s*|\A\w+\s*=\s*(?=[\"'])|\A\{{\s*[\"']{_GIVEN}[\"']\s*:\s*(?=[\"'].*\}}\Z)", re.DOTALL
)
_BEFORE = re.compile(r"(?:\s|```\w*|<[|｜]?\w+[|｜]?>|\[(?=\w+\()|functions\.)*")
_BEHIND = re.compile(r"(?:\s|```|</?[|｜]?\w+[|｜]?>|(?<=\))[\];.])+\Z")
"""What models set around calls in Python."""

LONGEST_BEHIND = 200
"""Characters."""

_WHOLE = re.compile(r"\s*<(answer|final_answer|response)>\s*(?P<text>.*?)\s*</\1>\s*", re.DOTALL | re.IGNORECASE)

_BACKSLASH = re.compile(r"\\(?![\"'])")
"""Of LaTeX, say; one before a quotation mark is Python's."""

_ACTIONS = ("replan", "Replan", "finish", "Finish")

_THOUGHT = re.compile(r"\A[\s*]*Thought[\s*]*:[\s*]*", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """The joiner answers."""

    message: AIMessage


@dataclass(frozen=True)
class Replan:
    """The joiner asks for another plan."""

    feedback: str
    said: AIMessage | None = None
    """What it says to the user before."""


Decision = Answer | Replan


def make_joiner(
    tools: Mapping[str, BaseTool], models: Models, system_prompt: str = "", form: ResponseFormat | None = None
) -> Node:
    """The joiner node.

    1. If everything was done that this turn's plans set out to do, and the plan gives the answer's words, that is the
       answer, with the results put in. So is the result of its last call, if that call's tool has `return_direct`.
    2. Else show the model the conversation with this turn's results. Unless the turn's replans are used up, or the last
       one had no calls, it may ask for another plan: with a tool call, or, if it can't call tools, in words.
       With a `response_format`, both of these answers have to fit it.
    3. On an answer, end. On a replan, go to planner and executor.
    """

    @as_own_words
    async def joiner(state: State, runtime: Runtime[Context]) -> Command[Literal["planner", "executor", "__end__"]]:
        context = Context.of(runtime.context)
        progress = Progress.of(runtime)
        messages = state["messages"]
        progress.tell("joiner_started")
        if state.get("answered"):
            return Command(goto="__end__", update={"messages": messages[-1:]})
        if all_done(messages):
            written = state.get("answer", "") if context.direct_join else ""
            answer = fill_in(written, messages, changing(tools, context))
            if (answer := answer or direct_answer(messages)) and (given := _without_asking(answer, form)):
                return Command(goto="__end__", update=given)
        model = await models.joiner(context)
        shown = in_view(
            messages, system_prompt=context.system_prompt or system_prompt, most_tokens=context.max_prompt_tokens
        )
        with overflow_told():
            may_replan = bool(tools) and replans_made(messages) < context.max_replans and not state.get("empty")
            usable = tools if may_replan else ()
            decision: Decision | Structured
            if form is None:
                decision = await decide(model, shown, tools=usable, stream=progress.messages)
            else:
                asked = await ask(model, form, shown, tools=usable)
                decision = Replan(asked) if isinstance(asked, str) else asked
        match decision:
            case Structured():
                return Command(goto="__end__", update=decision.update)
            case Answer(message):
                return Command(goto="__end__", update={"messages": [message]})
            case Replan(feedback, said):
                progress.tell("replanning", feedback=feedback)
                update: dict[str, Any] = {"feedback": storable(feedback) or NO_FEEDBACK}
                if said:
                    update["messages"] = [said]
                return Command(goto=["planner", "executor"], update=update)

    return joiner


def _without_asking(answer: str, form: ResponseFormat | None) -> dict[str, Any]:
    """The update of the state with an answer that takes no model; nothing if it has another form than is wanted."""
    if form is None:
        return {"messages": [AIMessage(answer)]}
    with suppress(ValidationError):
        return Structured.of(form.read_text(answer)).update
    return {}


async def decide(
    model: BaseChatModel,
    messages: Sequence[AnyMessage],
    *,
    tools: Collection[str],
    stream: MessageStream | None = None,
) -> Decision:
    """Answer or replan, as the model says.

    A model that says nothing is asked once more, and then the results are the answer. One that wants a replan which it
    can't have is asked once more, and then what it misses is the answer.

    Args:
        model: The chat model.
        messages: The conversation with the results.
        tools: The names of the tools that another plan may call; none if there may be no other.
        stream: Where the answer is shown while it is written, if anywhere.
    """
    for usable in (tools, ()):
        reply = Reply(stream or MessageStream(), shows=known_of(model).begins_in_thought is not None)
        response, as_text = await _ask(model, messages, usable, reply)
        decision = read_decision(response, as_text=as_text)
        match decision:
            case Replan(feedback) if usable:
                said = None if as_text else _said_before(response)
                if said:
                    said = reply.finish(said)
                else:
                    reply.take_back()
                return Replan(feedback or NO_FEEDBACK, said)
            case Answer(message) if str(message.text).strip():
                return Answer(reply.finish(message))
        reply.take_back()
    if isinstance(decision, Replan) and decision.feedback:
        return Answer(AIMessage(decision.feedback, id=response.id, usage_metadata=response.usage_metadata))
    results = results_of_turn(messages)
    return Answer(AIMessage(NO_ANSWER.format(results=results or "(nothing)"), usage_metadata=response.usage_metadata))


def _said_before(response: AIMessage) -> AIMessage | None:
    """What the model says to the user before it calls `replan`, if anything."""
    said = without_thoughts(str(response.text))
    is_call = any(call["name"] == "replan" for call in (*response.tool_calls, *response.invalid_tool_calls))
    return aside(said, response) if said.strip() and is_call else None


def read_decision(response: AIMessage, *, as_text: bool = False) -> Decision:
    """What the model decided: by calling `replan`, by answering plainly, or in words, `Action: Replan(…)` or
    `Action: Finish(…)`. A model that was not asked for words must keep to their form from the start."""
    for call in response.tool_calls:
        if call["name"] == "replan":
            return Replan(str(call["args"].get("feedback") or response.text).strip())
    for broken in response.invalid_tool_calls:
        if broken["name"] == "replan":
            return Replan((broken["args"] or "").strip())
    text = str(response.text)
    answer = without_thoughts(text)
    for name, arguments in read_written_calls(answer, _ACTIONS):
        if name in _ACTIONS and len(arguments) == 1:
            ((given),) = map(str, arguments.values() if isinstance(arguments, dict) else arguments)
            if name.lower() == "replan":
                return Replan(given.strip())
            return Answer(_plain(response, given))
    bare = _BEFORE.sub("", answer.rstrip(), count=1)
    bare = bare[:-LONGEST_BEHIND] + _BEHIND.sub("", bare[-LONGEST_BEHIND:])
    if as_text or _FORM.match(bare):
        words = bare.partition("\nObservation:")[0]
        action = _ACTION.search(words)
        final = None if action else _FINAL.search(words)
        answer = _given(action["text"]) if action else final["text"] if final else _THOUGHT.sub("", words)
        if action and action["action"].lower() == "replan":
            return Replan(answer)
    if whole := _WHOLE.fullmatch(answer):
        answer = whole["text"]
    if answer == text and not response.tool_calls and not response.invalid_tool_calls:
        return Answer(response)
    return Answer(_plain(response, answer))


def _plain(response: AIMessage, answer: str) -> AIMessage:
    return response.model_copy(update={"content": answer, "tool_calls": [], "invalid_tool_calls": []})


def _literal(text: str) -> str | None:
    """The text that stands, as Python has it, in the parentheses that this begins with; None if none does."""
    written = _BACKSLASH.sub(r"\\\\", text.strip().rstrip("*`;. \n"))
    try:
        called: ast.AST = ast.parse(f"_{written}", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    match called:
        case ast.Call(args=[given]) | ast.Call(keywords=[ast.keyword(value=given), *_]) | ast.Subscript(slice=given):
            parts = given.values if isinstance(given, ast.JoinedStr | ast.Dict) else [given]
        case _:
            return None
    texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return "".join(texts).strip() if texts and len(texts) == len(parts) else None


def _given(text: str) -> str:
    literal = _literal(text)
    return _without_parentheses(text) if literal is None else literal


def _without_parentheses(text: str) -> str:
    """What stands in the parentheses that the text begins with; it may have parentheses of its own."""
    content = text.strip().rstrip("*`").rstrip()
    if content.startswith("("):
        end = len(content) - 1 if content.endswith(")") else _closing(content)
        content = content[1:end].strip()
    elif content.startswith("[") and content.endswith("]"):
        content = content[1:-1].strip()
    if keyword := _KEYWORD.match(content):
        content = content[keyword.end() :].removesuffix("}" if content.startswith("{") else "").strip()
    for opening, closing in (('"""', '"""'), ('"', '"'), ("'", "'"), ("“", "”"), ("`", "`")):
        if len(content) >= 2 * len(opening) and content.startswith(opening) and content.endswith(closing):
            return content[len(opening) : -len(closing)].strip()
    return content


def _closing(text: str) -> int | None:
    """Where the parenthesis that the text begins with is closed."""
    depth = 0
    for match in re.finditer(r"[()]", text):
        depth += 1 if match[0] == "(" else -1
        if depth == 0:
            return match.start()
    return None


async def _ask(
    model: BaseChatModel, messages: Sequence[AnyMessage], tools: Collection[str], reply: Reply
) -> tuple[AIMessage, bool]:
    """The model's reply, and whether it was asked to decide in words."""
    prompt = joiner_prompt(messages, tools=tools)
    if not tools:
        return await reply.ask(model, prompt), False
    try:
        return await reply.ask(model.bind_tools([REPLAN_TOOL]), prompt), False
    except NotImplementedError:
        pass
    except Exception as error:
        if getattr(error, "status_code", None) not in REFUSED:
            raise
    prompt = joiner_prompt(messages, tools=tools, as_text=True)
    return await reply.ask(model, prompt, quietly=True), True
