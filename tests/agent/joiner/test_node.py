"""How the joiner's reply is read, and how it decides."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.exceptions import ContextOverflowError
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from pydantic import Field

from agent.conversation.messages import observation, plan_message
from agent.joiner.node import decide
from agent.joiner.reply import Answer, Replan, read_decision
from agent.language.plan import Plan
from agent.language.tasks import Call, Signature
from agent.servers.errors import REFUSED


def said(text: str) -> Answer | Replan:
    return read_decision(AIMessage(text))


def answer(text: str) -> str:
    """The answer that is read from this reply."""
    decision = said(text)
    assert isinstance(decision, Answer)
    return decision.message.text


def feedback(text: str) -> str:
    """What is missing, as read from this reply."""
    decision = said(text)
    assert isinstance(decision, Replan)
    return decision.feedback


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "args": arguments, "id": "1", "type": "tool_call"}


# --- plain answers and tool calls


@pytest.mark.parametrize(
    "text",
    [
        "K2 is 8,611 m high.",
        "Replanning is not needed: K2 is 8,611 m high.",
        "It takes one to finish (they say).",
        "The plan: Action: none\n\n- a) b)",
        "Thoughts differ (see above).",
        "f(x) = 2(x)",
        "To end the run, write\nCode: finish(0)",
        "The area is $x^{{2}}$, or in a template {{[1]}}.",
        "Finish: matte.",
        '{"name": "K2", "height": 8611}',
    ],
)
def test_a_plain_answer_is_taken_as_it_is(text: str) -> None:
    message = AIMessage(text, id="a")
    assert read_decision(message) == Answer(message)


def test_a_plain_answer_may_begin_with_the_word_finish() -> None:
    assert answer("Finish (a detergent) is made by Reckitt (UK).") == "Finish (a detergent) is made by Reckitt (UK)."


@given(st.text() | st.text("{}[]()\"'1,: "))
def test_any_text_is_read_as_something(text: str) -> None:
    assert isinstance(said(text), Answer | Replan)


@given(st.text("abc ().,:\n"))
def test_a_plain_answer_loses_nothing(text: str) -> None:
    assert answer(f"The answer: {text}") == f"The answer: {text}"


def test_a_call_of_the_tool_is_a_replan() -> None:
    assert read_decision(AIMessage("", tool_calls=[call("replan", feedback=" K2 ")])) == Replan("K2")


def test_a_call_of_the_tool_comes_before_text() -> None:
    assert read_decision(AIMessage("So far: …", tool_calls=[call("replan", feedback="K2")])) == Replan("K2")


def test_a_call_without_feedback_takes_the_text_for_it() -> None:
    assert read_decision(AIMessage("K2 is missing.", tool_calls=[call("replan")])) == Replan("K2 is missing.")


def test_a_call_that_is_no_json_is_a_replan_all_the_same() -> None:
    broken = {"name": "replan", "args": '{"feedback": "K2', "id": "1", "error": "bad", "type": "invalid_tool_call"}
    decision = read_decision(AIMessage("", invalid_tool_calls=[broken]))
    assert isinstance(decision, Replan)
    assert "K2" in decision.feedback


def test_a_call_of_another_tool_is_dropped_from_the_answer() -> None:
    decision = read_decision(AIMessage("8,611 m", tool_calls=[call("search", query="K2")]))
    assert isinstance(decision, Answer)
    assert (decision.message.text, decision.message.tool_calls) == ("8,611 m", [])


def test_reasoning_before_the_answer_is_left_out() -> None:
    assert answer("<think>\nFinish(x)?\n</think>\n\n8,611 m") == "8,611 m"


def test_reasoning_blocks_are_left_out() -> None:
    message = AIMessage([{"type": "reasoning", "reasoning": "Replan?"}, {"type": "text", "text": "8,611 m"}])
    decision = read_decision(message)
    assert isinstance(decision, Answer)
    assert decision.message.text == "8,611 m"


def test_what_the_answer_cost_is_kept() -> None:
    usage: Any = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
    decision = read_decision(AIMessage("Action: Finish(8,611 m)", id="a", usage_metadata=usage))
    assert isinstance(decision, Answer)
    assert (decision.message.id, decision.message.usage_metadata) == ("a", usage)


# --- the form of the paper


@pytest.mark.parametrize(
    "text",
    [
        "Thought: K2 is known.\nAction: Finish(8,611 m)",
        "Action: Finish(8,611 m)",
        "Finish(8,611 m)",
        "\n\n  Action:Finish( 8,611 m )  \n",
        "**Thought:** known\n**Action:** Finish(8,611 m)",
        "**Thought:** known\n\n**Answer:** 8,611 m",
        "thought: known\naction: finish(8,611 m)",
        'Action: Finish("8,611 m")',
        "Action: Finish('8,611 m')",
        'Action: Finish("""8,611 m""")',
        "Action: Finish(8,611 m",
        "<think>Replan(x)</think>\nThought: known\nAction: Finish(8,611 m)",
        "Thought: known\nAction: `Finish(8,611 m)`",
        "Thought: known\nAction：Finish（8,611 m）",
        "Finish（8,611 m）",
        "Gedanke: bekannt\nAktion: Finish(8,611 m)",
        "思考：已知。\n行动：Finish（8,611 m）",
        "Thought: known\nAction: Finish(8,611 m)\nThought: known\nAction: Finish(8,612 m)",
        # as other models have it
        'Action: Finish(answer="8,611 m")',
        "Finish(answer='8,611 m')",
        'Action: Finish(final_answer = "8,611 m")',
        "Action: Finish(answer=8,611 m)",
        'Action: Finish({"answer": "8,611 m"})',
        "Finish[8,611 m]",
        "<think>Replan(x)</think>Action: Finish(answer: 8,611 m)",
        "Thought: known\nFinish: 8,611 m",
        "Thought: known\n\nAnswer: 8,611 m",
        '{"action": "Finish", "answer": "8,611 m"}',
        '{"thought": "known", "action": "Finish", "action_input": "8,611 m"}',
        "<answer>8,611 m</answer>",
        "<think>known</think>\n<response>\n8,611 m\n</response>",
        "<|START_RESPONSE|>8,611 m<|END_RESPONSE|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n8,611 m<|eot_id|>",
        *(f"8,611 m{mark}" for mark in ("<|im_end|>", "<|endoftext|>", "<end_of_turn>", "</s>", "<eos>\n")),
        "8,611 m<｜end▁of▁sentence｜>",
    ],
)
def test_the_answer_stands_in_finish(text: str) -> None:
    assert answer(text) == "8,611 m"


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("Action: Finish(K2 (Chhogori) is 8,611 m high)", "K2 (Chhogori) is 8,611 m high"),
        ("Action: Finish(It is a) high, b) steep)", "It is a) high, b) steep"),
        ("Action: Finish(First line.\n\n- one (1)\n- two)", "First line.\n\n- one (1)\n- two"),
        ("Action: Finish(Replanning is not needed)", "Replanning is not needed"),
        ("Action: Finish(Action: Replan(x))", "Action: Replan(x)"),
        ("Thought: Should I Replan(x)?\nAction: Finish(8,611 m)", "8,611 m"),
        ("Thought: K2 is 8,611 m high.", "K2 is 8,611 m high."),
        ("Gedanke: Der K2 ist 8.611 m hoch.", "Der K2 ist 8.611 m hoch."),
        ("Aktion: Finish(8.611 m)\nGedanke: bekannt\nAktion: Finish(8.612 m)", "8.611 m"),
    ],
)
def test_an_answer_is_not_cut_at_a_parenthesis_of_its_own(text: str, content: str) -> None:
    assert answer(text) == content


def test_an_answer_whose_closing_parenthesis_is_missing_is_not_cut() -> None:
    assert answer("Action: Finish(K2 (8,611 m) is lower") == "K2 (8,611 m) is lower"


def is_sentence(text: str) -> bool:
    """Whether a text has no space or quote at its ends, also without its parentheses, and none that is left open."""
    without = text.strip("() \n")
    return text.strip(" \n'") == text and without.strip("'") == without and text.count("(") <= text.count(")")


@given(st.text("ab()\n '.", min_size=1).filter(is_sentence))
def test_whatever_stands_in_finish_is_the_answer(text: str) -> None:
    assert answer(f"Thought: known\nAction: Finish({text})") == text


@pytest.mark.parametrize(
    "text",
    [
        "Thought: K3 is missing.\nAction: Replan(search K3 (the mountain))",
        "Action: Replan(search K3 (the mountain))",
        "Replan(search K3 (the mountain))",
        "**Action: Replan(search K3 (the mountain))**",
        "Pensamiento: falta K3.\nAcción: Replan(search K3 (the mountain))",
        'Action: Replan(feedback="search K3 (the mountain)")',
        "Replan(missing='search K3 (the mountain)')",
        '<tool_call>{"name": "replan", "arguments": {"feedback": "search K3 (the mountain)"}}</tool_call>',
        "Thought: not there\n\nReplan: search K3 (the mountain)",
        "Replan: search K3 (the mountain)",
        "**Thought:** not there\n\n**Replan:** search K3 (the mountain)",
        '{"action": "Replan", "action_input": "search K3 (the mountain)"}',
        "<replan><feedback>search K3 (the mountain)</feedback></replan>",
    ],
)
def test_what_is_missing_stands_in_replan(text: str) -> None:
    assert feedback(text) == "search K3 (the mountain)"


# --- deciding


class ScriptedModel(BaseChatModel):
    """Gives these replies in order, and fails on a call too many."""

    replies: list[Any]
    """Messages, or errors to raise."""

    calls_tools: bool = True
    prompts: list[list[BaseMessage]] = Field(default_factory=list)
    tools: list[list[str]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **options: Any) -> Runnable[Any, AIMessage]:
        if not self.calls_tools:
            return super().bind_tools(tools, **options)
        return self.bind(tools=tools)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **options: Any,
    ) -> ChatResult:
        assert self.replies, f"an unexpected call: {messages[-1].content!r}"
        assert stop is None
        assert options.keys() <= {"tools"}
        self.prompts.append(messages)
        self.tools.append([tool["function"]["name"] for tool in options.get("tools", [])])
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return ChatResult(generations=[ChatGeneration(message=reply)])

    def system(self, index: int) -> str:
        """What a call's system message said."""
        return str(self.prompts[index][0].content)


class RefusedError(Exception):
    """What clients raise when a server refuses a request."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"status {status_code}")
        self.status_code = status_code


@pytest.fixture
def script() -> Iterator[Callable[..., ScriptedModel]]:
    """Makes a model with these replies. The test fails if some of them are not asked for."""
    made: list[ScriptedModel] = []

    def make(*replies: str | AIMessage | Exception, **options: Any) -> ScriptedModel:
        messages = [AIMessage(reply) if isinstance(reply, str) else reply for reply in replies]
        made.append(ScriptedModel(replies=messages, **options))
        return made[-1]

    yield make
    for model in made:
        assert not model.replies, "replies that nobody asked for"


Script = Callable[..., ScriptedModel]
REPLAN = AIMessage("", tool_calls=[{"name": "replan", "args": {"feedback": "K3 is missing."}, "id": "1"}])


def conversation() -> list[AnyMessage]:
    plan = Plan({"search": Signature("search", ("query",))})
    [task] = plan.add(Call(1, "search", ["K2"]))
    message = plan_message(plan, text="", feedback="", usage=None)
    return [HumanMessage("How high is K2?"), message, observation(task, "8,611 m", most=100)]


async def decided(model: BaseChatModel, *, may_replan: bool = True) -> Answer | Replan:
    return await decide(model, conversation(), tools=["search"] if may_replan else [])


def text_of(decision: Answer | Replan) -> str:
    assert isinstance(decision, Answer)
    return decision.message.text


async def test_a_model_that_can_call_tools_gets_the_tool_and_answers_plainly(script: Script) -> None:
    model = script("8,611 m")
    assert text_of(await decided(model)) == "8,611 m"
    assert model.tools == [["replan"]]
    assert "Finish(" not in model.system(0)


async def test_a_model_that_calls_the_tool_gets_its_replan(script: Script) -> None:
    assert await decided(script(REPLAN)) == Replan("K3 is missing.")


async def test_a_model_that_may_not_replan_gets_no_tool(script: Script) -> None:
    model = script("8,611 m")
    assert text_of(await decided(model, may_replan=False)) == "8,611 m"
    assert model.tools == [[]]
    assert "replan" not in model.system(0).lower()


async def test_a_text_only_model_is_asked_in_words(script: Script) -> None:
    model = script("Thought: known\nAction: Finish(8,611 m)", calls_tools=False)
    assert text_of(await decided(model)) == "8,611 m"
    assert "Finish(" in model.system(0)


async def test_a_text_only_model_may_replan_in_words(script: Script) -> None:
    model = script("Thought: missing\nAction: Replan(K3 is missing.)", calls_tools=False)
    assert await decided(model) == Replan("K3 is missing.")


@pytest.mark.parametrize("status", sorted(REFUSED))
async def test_a_server_that_refuses_tools_is_asked_in_words(status: int, script: Script) -> None:
    model = script(RefusedError(status), "Action: Finish(8,611 m)")
    assert text_of(await decided(model)) == "8,611 m"
    assert model.tools == [["replan"], []]
    assert "Finish(" in model.system(1)


class TooLongError(RefusedError, ContextOverflowError):
    """The conversation is too long, whatever the model is asked."""


@pytest.mark.parametrize(
    "error", [RefusedError(401), RefusedError(429), RefusedError(503), TooLongError(400), ValueError("no")]
)
async def test_any_other_error_of_the_model_passes(error: Exception, script: Script) -> None:
    with pytest.raises(type(error)) as caught:
        await decided(script(error))
    assert caught.value is error


async def test_a_replan_without_feedback_still_says_something(script: Script) -> None:
    model = script(AIMessage("", tool_calls=[{"name": "replan", "args": {}, "id": "1"}]))
    assert await decided(model) == Replan("The results don't answer the question.")


@pytest.mark.parametrize("word", ["replan", "Replan.", "`replan()`"])
def test_the_word_alone_is_a_replan(word: str) -> None:
    assert read_decision(AIMessage(word)) == Replan("")


async def test_a_silent_model_is_asked_once_more_and_must_answer_then(script: Script) -> None:
    model = script("", "8,611 m")
    assert text_of(await decided(model)) == "8,611 m"
    assert model.tools == [["replan"], []]


async def test_of_a_model_that_stays_silent_the_results_are_the_answer(script: Script) -> None:
    said_instead = text_of(await decided(script(" ", "\n")))
    assert said_instead.startswith("The model gave no answer.")
    assert '1. search("K2") -> 8,611 m' in said_instead


async def test_a_replan_that_cannot_be_had_is_asked_once_more(script: Script) -> None:
    model = script("Action: Replan(K3 is missing.)", "8,611 m, but K3 is missing.")
    assert text_of(await decided(model, may_replan=False)) == "8,611 m, but K3 is missing."


async def test_of_a_model_that_insists_on_a_replan_the_answer_is_what_it_misses(script: Script) -> None:
    assert text_of(await decided(script(REPLAN, REPLAN), may_replan=False)) == "K3 is missing."


async def test_the_model_is_shown_the_results(script: Script) -> None:
    model = script("8,611 m")
    await decided(model)
    assert '1. search("K2") -> 8,611 m' in str(model.prompts[0][-1].content)
