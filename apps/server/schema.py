"""What clients send to `/agent`, with a title and a description for each field."""

from typing import Annotated, Any, Literal, Self

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, SystemMessage
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

THREAD_ID = r"^[\p{L}\p{M}\p{N}_.:-]{1,100}$"
ASKS = ("question", "messages", "decisions", "resume")
"""The fields of the input, of which one is given."""

_EMPTY: dict[str, str | list[Any]] = {"question": "", "messages": [], "thread_id": "", "decisions": []}
"""A form's fields that were left empty, which it sends, too."""

_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "HumanMessageChunk": "user"}
_MESSAGES: dict[str, type[HumanMessage | AIMessage | SystemMessage]] = {
    "user": HumanMessage,
    "assistant": AIMessage,
    "system": SystemMessage,
}


def _plain_text(content: Any) -> Any:
    """The text of a message's content that comes in blocks.

    Raises:
        ValueError: A block is something else, such as a picture.
    """
    if not isinstance(content, list):
        return content
    for block in content:
        if not isinstance(block, dict) or block.get("type") != "text":
            kind = block.get("type") if isinstance(block, dict) else type(block).__name__
            raise ValueError(f"Only text can be read; there is a part of the type {str(kind)[:50]!r}.")
    return "".join(str(block.get("text", "")) for block in content)


class Message(BaseModel):
    """A message of the conversation so far. LangChain's own messages are understood, too, and so are `["user", "…"]`
    and a text alone, which is the user's."""

    model_config = ConfigDict(title="Message")

    role: Literal["user", "assistant", "system"] = Field(default="user", title="Role", description="Who says it.")
    content: Annotated[str, BeforeValidator(_plain_text)] = Field(title="Content", description="The text.")

    @model_validator(mode="before")
    @classmethod
    def _read_langchain(cls, value: Any) -> Any:
        if isinstance(value, BaseMessage):
            value = {"type": value.type, "content": value.content}
        match value:
            case str():
                return {"content": value}
            case [str() as role, content]:
                return {"role": _ROLES.get(role, role), "content": content}
        if isinstance(value, dict) and "role" not in value and "type" in value:
            return {"role": _ROLES.get(str(value["type"]), value["type"]), "content": value.get("content")}
        return value

    def as_langchain(self) -> AnyMessage:
        """The same as LangChain's message."""
        return _MESSAGES[self.role](self.content)


def _as_list(messages: Any) -> Any:
    """One message alone is taken, as LangGraph does."""
    return messages if isinstance(messages, list | None) else [messages]


class AgentInput(BaseModel):
    """A question, or the messages of a conversation; or the answer to a run that paused."""

    model_config = ConfigDict(title="Question", extra="forbid")

    question: str | None = Field(default=None, title="Question", description="What to answer.")
    messages: Annotated[list[Message] | None, BeforeValidator(_as_list)] = Field(
        default=None, title="Messages", description="In place of a question: a conversation that ends with one."
    )
    thread_id: str | None = Field(
        default=None,
        title="Thread",
        pattern=THREAD_ID.replace("{1,", "{0,"),  # a form sends it empty
        description="Goes on with an earlier conversation: the thread_id of its result, or a name of your own.",
    )
    decisions: list[dict[str, Any]] | None = Field(
        default=None,
        title="Decisions",
        description="Answers an approval: for each of its action requests {type: approve | edit | reject | respond}.",
    )
    resume: SkipJsonSchema[Any] = Field(
        default=None, description="Answers a pause that a tool asked for: any value; true goes on with a run that died."
    )

    @model_validator(mode="before")
    @classmethod
    def _read_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"question": value}
        if not isinstance(value, dict | BaseModel):
            raise ValueError(f"Give a question, or an object with one; there is a {type(value).__name__}.")
        if not isinstance(value, dict):
            return value
        filled = {name: given for name, given in value.items() if name not in _EMPTY or given != _EMPTY[name]}
        given = [name for name in ASKS if value.get(name) is not None]
        if len(given) == 1 and given[0] not in filled:
            raise ValueError(f"{given[0]} is empty.")
        return filled

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [name for name in ASKS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"Give one of question, messages, decisions and resume; there is {given or 'none'}.")
        if self.answers_a_pause:
            return self
        if not self.text.strip():
            raise ValueError(f"{given[0]} is empty.")
        if self.messages and self.messages[-1].role != "user":
            raise ValueError(f"The last message is the {self.messages[-1].role}'s; it must be the user's.")
        return self

    @property
    def answers_a_pause(self) -> bool:
        """Whether this goes on with a run that paused, and asks nothing new."""
        return self.decisions is not None or self.resume is not None

    @property
    def text(self) -> str:
        """All that is asked and said."""
        return self.question or "\n".join(message.content for message in self.messages or ())

    @property
    def asks(self) -> str | None:
        """The question; None if this answers a pause."""
        return None if self.answers_a_pause else self.as_messages()[1]

    @property
    def answer(self) -> Any:
        """What a run that paused is resumed with."""
        return self.resume if self.decisions is None else {"decisions": self.decisions}

    def as_messages(self) -> tuple[list[AnyMessage], str]:
        """What it adds to the conversation: messages, and the question at their end; none if it goes on."""
        *history, last = self.messages or [Message(content=self.question or "")]
        return [message.as_langchain() for message in history], last.content


def _without_nulls(schema: dict[str, Any]) -> None:
    """Have a JSON schema show a field that may be left out as one of its type, and not of that or null."""
    for field in schema.get("properties", {}).values():
        types = [each for each in field.pop("anyOf", []) if each != {"type": "null"}]
        field |= types[0] if len(types) == 1 else {"anyOf": types} if types else {}
        if field.get("default", "") is None:
            del field["default"]


class FormInput(AgentInput):
    """The same for the playground, whose form can't cope with null."""

    model_config = ConfigDict(title="Question", json_schema_extra=_without_nulls)
