"""The joiner node: looks at the results, and either answers the user or asks for another plan."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.tools import BaseTool
from langgraph.runtime import Runtime
from langgraph.types import Command
from pydantic import ValidationError

from agent.context import Context
from agent.conversation.answer import all_done, changing, direct_answer, fill_in, with_parts
from agent.conversation.messages import aside, replans_made
from agent.conversation.provenance import as_own_words
from agent.conversation.savable import storable
from agent.conversation.transcript import in_view, results_of_turn
from agent.events import Progress
from agent.joiner.reply import Answer, Replan, Reply, read_decision
from agent.joiner.structured import ResponseFormat, Structured, ask
from agent.language.reasoning import without_thoughts
from agent.models import Models, overflow_told
from agent.prompts import NO_ANSWER, REPLAN_TOOL, joiner_prompt
from agent.servers.any_server import end_of, known_of
from agent.servers.errors import is_refusal
from agent.state import Node, State
from agent.streaming import MessageStream

NO_FEEDBACK = "The results don't answer the question."


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
        seen = with_parts(messages, state.get("answer", ""))
        view = in_view(
            seen, system_prompt=context.system_prompt or system_prompt, most_tokens=context.max_prompt_tokens
        )
        with overflow_told():
            may_replan = bool(tools) and replans_made(messages) < context.max_replans and not state.get("empty")
            usable = tools if may_replan else ()
            decision: Answer | Replan | Structured
            if form is None:
                decision = await decide(model, view, tools=usable, stream=progress.messages)
            else:
                asked = await ask(model, form, view, tools=usable)
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
) -> Answer | Replan:
    """Answer or replan, as the model says.

    A model that says nothing is asked once more, and then the results are the answer, and why its turn ended if it was
    cut off. One that wants a replan which it can't have is asked once more, and then what it misses is the answer.

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
        return Answer(AIMessage(decision.feedback, usage_metadata=response.usage_metadata))
    reason, is_whole = end_of(response)
    why = f" ({reason})" if reason and not is_whole else ""
    text = NO_ANSWER.format(why=why, results=results_of_turn(messages) or "(nothing)")
    return Answer(AIMessage(text, usage_metadata=response.usage_metadata))


def _said_before(response: AIMessage) -> AIMessage | None:
    """What the model says to the user before it calls `replan`, if anything."""
    said = without_thoughts(str(response.text))
    is_call = any(call["name"] == "replan" for call in (*response.tool_calls, *response.invalid_tool_calls))
    return aside(said, response) if said.strip() and is_call else None


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
        if not is_refusal(error):
            raise
    prompt = joiner_prompt(messages, tools=tools, as_text=True)
    return await reply.ask(model, prompt, quietly=True), True
