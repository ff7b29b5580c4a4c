"""Answers in a form that a program can read: `response_format`, a Pydantic model or a JSON schema."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, SystemMessage
from pydantic import BaseModel, ValidationError

from agent.conversation.messages import provider_name
from agent.conversation.transcript import add_text
from agent.joiner.reply import CONFIG
from agent.language.reasoning import without_thoughts
from agent.language.values import UNREADABLE
from agent.prompts import ANSWER_AS_JSON, ANSWER_BY_CALL, DOES_NOT_FIT, REPLAN_TOOL, joiner_prompt
from agent.servers.errors import ModelError, is_refusal
from agent.tooling.fit import adapter_of, reasons_of

NO_FIT = "The model's answer does not fit the response_format {name}, also when it was told why: {reasons}."
NO_FORMAT = "response_format is {given!r}. Give a Pydantic model, or the JSON schema of an object."

_JSON = re.compile(r"\{.*\}", re.DOTALL)


@dataclass(frozen=True)
class ResponseFormat:
    """The form of an answer."""

    schema: type[BaseModel] | Mapping[str, Any]

    def __post_init__(self) -> None:
        is_model = isinstance(self.schema, type) and issubclass(self.schema, BaseModel)
        is_object = isinstance(self.schema, Mapping) and ("properties" in self.schema or "$ref" in self.schema)
        if not is_model and not is_object:
            raise TypeError(NO_FORMAT.format(given=self.schema))

    @property
    def json_schema(self) -> dict[str, Any]:
        return dict(self.schema) if isinstance(self.schema, Mapping) else self.schema.model_json_schema()

    @property
    def name(self) -> str:
        """That of the tool by which a model gives the answer."""
        named = provider_name(str(self.json_schema.get("title", "")))
        return named if named and named != "replan" else "answer"

    @property
    def tool(self) -> dict[str, Any]:
        """The tool by which a model gives the answer, as providers want it."""
        schema = self.json_schema
        said = str(schema.get("description") or "Give the answer.")
        return {"type": "function", "function": {"name": self.name, "description": said, "parameters": schema}}

    def read(self, given: Any) -> Any:
        """The answer, from JSON: an instance of the model, or a dict.

        Raises:
            ValidationError: It does not fit.
        """
        if isinstance(self.schema, Mapping):
            return adapter_of(self.schema).validate_python(given)
        return self.schema.model_validate(given)

    def read_text(self, text: str) -> Any:
        """The answer, from a text that is JSON, or has it in a code block or a sentence.

        Raises:
            ValidationError: It does not fit.
        """
        found = _JSON.search(text)
        given: Any = text
        with suppress(*UNREADABLE):
            given = json.loads(found[0] if found else text)
        return self.read(given)


@dataclass(frozen=True)
class Structured:
    """An answer that fits."""

    value: Any
    message: AIMessage
    """For the conversation: the answer as JSON."""

    @property
    def update(self) -> dict[str, Any]:
        """Of the state."""
        return {"messages": [self.message], "structured_response": self.value}

    @classmethod
    def of(cls, value: Any, response: AIMessage | None = None) -> "Structured":
        text = value.model_dump_json() if isinstance(value, BaseModel) else json.dumps(value, ensure_ascii=False)
        usage = response.usage_metadata if response else None
        return cls(value, AIMessage(text, usage_metadata=usage))


async def ask(
    model: BaseChatModel, form: ResponseFormat, messages: Sequence[AnyMessage], *, tools: Collection[str]
) -> Structured | str:
    """The model's answer in this form; or what is missing, if it asks for another plan.

    Args:
        model: The chat model. One that calls no tools is asked to write JSON, and can't have another plan.
        form: The form.
        messages: The conversation with the results.
        tools: The names of the tools that another plan may call; none if there may be no other.

    Raises:
        ModelError: The answer does not fit, and neither does a second one.
    """
    why = ""
    for usable in (tools, ()):
        prompt = joiner_prompt(messages, tools=usable)
        response = await _respond(model, form, prompt, may_replan=bool(usable), why=why)
        feedback = next(
            (call["args"].get("feedback") for call in response.tool_calls if call["name"] == "replan"), None
        )
        if usable and feedback is not None:
            return str(feedback) or str(response.text)
        given = next((call["args"] for call in response.tool_calls if call["name"] == form.name), None)
        try:
            value = form.read_text(without_thoughts(str(response.text))) if given is None else form.read(given)
        except ValidationError as error:
            why = reasons_of(error)
        else:
            return Structured.of(value, response)
    raise ModelError(NO_FIT.format(name=form.name, reasons=why))


async def _respond(
    model: BaseChatModel, form: ResponseFormat, prompt: list[BaseMessage], *, may_replan: bool, why: str
) -> AIMessage:
    if why:
        prompt = [*prompt[:-1], add_text(prompt[-1], DOES_NOT_FIT.format(reasons=why))]
    try:
        bound = model.bind_tools([form.tool, *([REPLAN_TOOL] if may_replan else [])], tool_choice="any")
        by_call = _and_told(prompt, ANSWER_BY_CALL.format(name=form.name))
        return await bound.ainvoke(by_call, CONFIG)
    except NotImplementedError:
        pass
    except Exception as error:
        if not is_refusal(error):
            raise
    as_json = _and_told(prompt, ANSWER_AS_JSON.format(schema=json.dumps(form.json_schema)))
    return await model.ainvoke(as_json, CONFIG)


def _and_told(prompt: list[BaseMessage], told: str) -> list[BaseMessage]:
    return [SystemMessage(f"{prompt[0].text}\n\n{told}"), *prompt[1:]]
