"""The joiner's reply, shown while the model writes it, and what it decides."""

import ast
import re
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.constants import TAG_NOSTREAM

from agent.language.reasoning import THOUGHT, without_thoughts
from agent.language.values import UNREADABLE
from agent.language.written_calls import read_written_calls
from agent.streaming import MessageStream, StreamedMessage

CONFIG: RunnableConfig = {"run_name": "join", "tags": [TAG_NOSTREAM]}
"""LangGraph would show all of the reply, a call of `replan` as well, and an answer that is for a program."""

_PLAIN = re.compile(
    rf"[^\w<\[{{`|]*(?!(?:{THOUGHT}|action|answer|final|replan|finish|functions)\b)\w+(?=[^\w(（])", re.IGNORECASE
)
"""How an answer begins that is no form of words, in which it would stand somewhere."""

_MAY_BE_HIDDEN = re.compile(
    r"<[|｜/]{0,2}\w{0,12}\Z|</?[|｜]?(?:tool|function|think|thought)|\[TOOL_CALLS|\breplan\(", re.IGNORECASE
)
"""What is written from here on may be a call or the end of a thought, and is not shown before that is known."""

_ACTION = re.compile(
    r"(?:(?:Action|Answer)[ \t*]*[:：][ \t*`]*"
    r"|(?:\A|\n)[ \t*`]*(?:[^\W\d]{1,20}[ \t*]*[:：][ \t*`]*)?(?=\w+[(（\[:：]))"
    r"(?P<action>Finish|Replan)\b[ \t:：*]*(?P<text>.*)",
    re.DOTALL | re.IGNORECASE,
)
_NEXT = re.compile(rf"\n[ \t*]*(?:Observation|{THOUGHT})[ \t*]*[:：]", re.IGNORECASE)
"""What a model goes on with that imagines what comes of its action."""

_FINAL = re.compile(r"(?:\A|\n)[^\w\n]*(?:Final )?Answer\W*:(?:\*\*)?\s*(?P<text>.*)", re.DOTALL | re.IGNORECASE)
_FORM = re.compile(
    rf"[\s*]*(?:{THOUGHT}|Action|Replan)[\s*]*[:：]|[\s*]*Answer[\s*]*[:：]\s*(?=Finish[(\[])"
    r"|\s*(?:Finish|Replan)[(（\[].*[)）\]]\s*\Z",
    re.DOTALL | re.IGNORECASE,
)
_LABEL = r"[ \t*]{0,9}[^\W\d]{1,20}[ \t*]{0,9}[:：][ \t*`]{0,9}"
_OTHER_FORM = re.compile(rf"\s*{_LABEL}(?:.*\n{_LABEL})?(?:Finish|Replan)[(（\[]", re.DOTALL | re.IGNORECASE)
"""The form with its words in another language: `Gedanke: …`, `Aktion: Finish(…)`."""

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

_THOUGHT = re.compile(rf"\A[\s*]*{THOUGHT}[\s*]*[:：][\s*]*", re.IGNORECASE)


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


class Reply:
    """One reply of the model, of which is shown what is the answer; or what it says before it asks for another plan."""

    def __init__(self, stream: MessageStream, *, shows: bool) -> None:
        """
        Args:
            stream: Where it is shown.
            shows: Whether its text is sure to be no thought.
        """
        self._shows = shows and bool(stream.handlers)
        self._streamed = StreamedMessage(stream, f"answer-{uuid4()}")
        self._text = ""

    async def ask(
        self, model: Runnable[LanguageModelInput, BaseMessage], prompt: list[BaseMessage], *, quietly: bool = False
    ) -> AIMessage:
        """The model's reply to this prompt.

        Args:
            model: The chat model.
            prompt: The prompt.
            quietly: Whether it is asked for a form of words, which is not shown.
        """
        if quietly or not self._shows:
            return cast("AIMessage", await model.ainvoke(prompt, CONFIG))
        chunks: list[Any] = []
        async with aclosing(cast("Any", model.astream(prompt, CONFIG))) as stream:
            async for chunk in stream:
                chunks.append(chunk)
                self._read(str(chunk.text))
        if not isinstance(chunks[0], AIMessageChunk):
            return cast("AIMessage", chunks[0])
        return cast("AIMessage", message_chunk_to_message(chunks[0] + chunks[1:]))

    def _read(self, text: str) -> None:
        self._text += text
        if self._streamed.text or _PLAIN.match(self._text):
            begin = len(self._streamed.text)
            hidden = _MAY_BE_HIDDEN.search(self._text, begin)
            self._streamed.add(self._text[begin : hidden.start() if hidden else None])

    def finish(self, message: AIMessage) -> AIMessage:
        """The message that the reply is, all of it shown. It has an id of its own: not every server and fake gives each
        reply another one, and a message takes the place of one with the same."""
        if self._streamed.text:  # else LangGraph shows what the node returns
            self._streamed.finish(str(message.text))
        return message.model_copy(update={"id": self._streamed.id})

    def take_back(self) -> None:
        """The reply is no message."""
        self._streamed.take_back()


# --- what a reply decides


def read_decision(response: AIMessage, *, as_text: bool = False) -> Answer | Replan:
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
    if answer.strip(" \n.*`()").lower() == "replan":
        return Replan("")
    for name, arguments in read_written_calls(answer, _ACTIONS):
        if name in _ACTIONS and len(arguments) == 1:
            ((given),) = map(str, arguments.values() if isinstance(arguments, dict) else arguments)
            if name.lower() == "replan":
                return Replan(given.strip())
            return Answer(_plain(response, given))
    bare = _BEFORE.sub("", answer.rstrip(), count=1)
    bare = bare[:-LONGEST_BEHIND] + _BEHIND.sub("", bare[-LONGEST_BEHIND:])
    if as_text or _FORM.match(bare) or (bare[-1:] in ")）]" and _OTHER_FORM.match(bare)):
        action = _ACTION.search(bare)
        words = bare[: end.start()] if (end := _NEXT.search(bare, action.start() if action else 0)) else bare
        action = action and _ACTION.match(words, action.start())
        final = None if action else _FINAL.search(words)
        if action:
            literal = _literal(action["text"])
            answer = _without_parentheses(action["text"]) if literal is None else literal
        else:
            answer = final["text"] if final else _THOUGHT.sub("", words)
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
    written = _BACKSLASH.sub(r"\\\\", _half_width(text.strip().rstrip("*`;. \n")))
    try:
        called: ast.AST = ast.parse(f"_{written}", mode="eval").body
    except UNREADABLE:
        return None
    match called:
        case ast.Call(args=[given]) | ast.Call(keywords=[ast.keyword(value=given), *_]) | ast.Subscript(slice=given):
            parts = given.values if isinstance(given, ast.JoinedStr | ast.Dict) else [given]
        case _:
            return None
    texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return "".join(texts).strip() if texts and len(texts) == len(parts) else None


def _half_width(text: str) -> str:
    """The text with half-width parentheses around it, if they are full-width ones."""
    if not text.startswith("（"):
        return text
    return f"({text[1:-1]})" if text.endswith(("）", ")")) else f"({text[1:]}"


def _without_parentheses(text: str) -> str:
    """What stands in the parentheses that the text begins with; it may have parentheses of its own."""
    content = _half_width(text.strip().rstrip("*`").rstrip())
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
