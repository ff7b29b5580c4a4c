"""Models behind any server: what servers do each in their own way is made the same, before anything else sees it.

`for_any_server(model)` is the model, of a subclass of its class, with these differences:

- Its thoughts are left out of its text, whole or streamed (see `agent.language.reasoning`).
- What a server or its client refuses that the model can do without, `stream_options` and `tool_choice`, is left out of
  the request; a server that answers a streaming request with one body, or with nothing, is asked for a whole answer.
- Half characters in prompts, which no server takes, are replaced.
- Tokens that each piece of an answer tells of anew count once.
- The pieces of tool calls have the form of OpenAI's, and a refusal is text.
- OpenAI's client gives out pieces as they are, and makes no objects of them, of which LangChain would make dicts again,
  and has connections of its own on each event loop: LangChain's, one set for all, fail on other loops than their own.
  Other clients are asked again if they meet such a connection.
- What other chat models say, if its client asks some, is not shown beside its own words.
- Errors have neither keys nor the server's response, of which tracers and logs would keep body and headers, but its
  status.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, TypeVar, cast

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata, subtract_usage
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.constants import TAG_NOSTREAM
from pydantic import BaseModel, SecretStr

from agent.language.reasoning import Thoughts
from agent.language.values import without_surrogates
from agent.servers.errors import ModelError, hide_secrets, is_refusal, is_stray, status_of
from agent.servers.openai_client import Untyped, on_each_loop

T = TypeVar("T")

_VAGUE = frozenset(
    """error errors code message detail msg type value body param none null object status invalid bad request
    unprocessable entity validation failed extra input inputs field fields parameter parameters argument arguments
    unknown unsupported unexpected unrecognized malformed json not is are was a an the in of or and permitted allowed
    supported valid true false""".split()  # noqa: SIM905 — they are read more easily so
)
"""The words of a refusal that doesn't say what is refused."""

_ENDS = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_WHOLE = frozenset(
    {"stop", "end_turn", "stop_sequence", "complete", "tool_calls", "tool_call", "tool_use", "function_call"}
)
"""What servers give as the reason of the end of a turn that was not cut off, in lower case."""

NOTHING = (
    "The model's server answered with nothing that is a chat completion. Is OPENAI_BASE_URL right? Most servers want "
    "it to end in /v1."
)
SAID = "The model's server answered: {said}"

MOST_STRAYS = 100
"""How many connections of other event loops a request may meet; each is gone when it was met."""

ANEW = "</think>"
"""What stands for a closing mark that nothing opened, where the text before it is out already."""


@dataclass
class Known:
    """What a model's answers have shown so far."""

    begins_in_thought: bool | None = None
    """Whether its answers begin in a thought that its template opens; None before the first answer."""

    refused: set[str] = field(default_factory=set)
    """What its server refuses of a request."""


def for_any_server(model: BaseChatModel) -> BaseChatModel:
    """The model with the differences that the module tells."""
    if isinstance(model, AnyServer):
        return model
    fitted = model.model_copy()
    if type(client := getattr(model, "async_client", None)).__module__.startswith("openai."):
        if hasattr(model, "root_async_client") and getattr(model, "http_async_client", None) is None:
            root = vars(fitted)["root_async_client"] = on_each_loop(model.root_async_client)
            client = root.chat.completions
        vars(fitted)["async_client"] = Untyped(client)
    private = {**(model.__pydantic_private__ or {}), "_known": Known()}
    object.__setattr__(fitted, "__pydantic_private__", private)
    object.__setattr__(fitted, "__class__", _fitted(type(model)))
    return fitted


def end_of(message: BaseMessage) -> tuple[str, bool]:
    """Why the model's turn ended, in its server's words, if that has been said; and whether the turn is whole."""
    said = message.response_metadata
    reason = next((said[name] for name in _ENDS if said.get(name)), None)
    reason = reason or (said.get("incomplete_details") or {}).get("reason") or ""
    return str(reason), str(reason).lower() in _WHOLE


def known_of(model: BaseChatModel) -> Known:
    """What the model's answers have shown."""
    return model._known if isinstance(model, AnyServer) else Known()


@cache
def _fitted(kind: type[BaseChatModel]) -> type[BaseChatModel]:
    streams = kind._astream is not BaseChatModel._astream or kind._stream is not BaseChatModel._stream
    bases: list[type] = [StreamedByAnyServer if streams else AnyServer]
    if hasattr(kind, "_convert_chunk_to_generation_chunk"):
        bases.append(ReadAsOpenAI)
    return cast("type[BaseChatModel]", type(kind.__name__, (*bases, kind), {"__module__": kind.__module__}))


class AnyServer(BaseChatModel):
    """The differences, for a class that comes after this one."""

    _known: Known

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **options: Any
    ) -> ChatResult:
        with self._errors():
            mended = [_with_texts(message, without_surrogates) for message in messages]
            result = await self._ask(mended, stop, run_manager, options)
        thoughts = Thoughts()
        for generation in result.generations:
            generation.message = _read(generation.message, thoughts, final=True)
        self._known.begins_in_thought = thoughts.begins_inside
        return result

    async def _ask(
        self, messages: list[BaseMessage], stop: Any, run_manager: Any, options: dict[str, Any]
    ) -> ChatResult:
        asking = Asking(self._known, options, with_usage=False)
        while True:
            try:
                result = await unshown(
                    super()._agenerate(messages, stop=stop, run_manager=run_manager, **asking.options)
                )
            except json.JSONDecodeError:
                raise ModelError(NOTHING) from None
            except Exception as error:
                if not asking.can_do_without(error):
                    raise
            else:
                asking.succeeded()
                return result

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """As in LangChain. A client that knows no such `tool_choice` does without; one that doesn't know the form of
        OpenAI's tools sends them all the same."""
        without_choice = {name: value for name, value in options.items() if name != "tool_choice"}
        for known in (options, without_choice):
            with suppress(TypeError, ValueError):
                return super().bind_tools(tools, **known)
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **without_choice)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            keys = [value.get_secret_value() for value in self.__dict__.values() if isinstance(value, SecretStr)]
            hidden: BaseException | None = error
            while hidden:
                hide_secrets(hidden, keys)
                hidden = hidden.__cause__ or hidden.__context__
            body = getattr(error, "body", None)
            if isinstance(body, str) and body not in str(error):  # OpenAI's client reads only objects in a stream
                error.args = (f"{error}: {body}", *error.args[1:])
            raise


class StreamedByAnyServer(AnyServer):
    """The same for a class that streams."""

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,  # noqa: ARG002 — who streams tells of the pieces
        **options: Any,
    ) -> AsyncIterator[Any]:
        thoughts = Thoughts(inside=bool(self._known.begins_in_thought))
        told: UsageMetadata | None = None
        with self._errors():
            mended = [_with_texts(message, without_surrogates) for message in messages]
            async with aclosing(self._chunks(mended, stop, options)) as chunks:
                async for chunk in chunks:
                    message = _read(chunk.message, thoughts)
                    if usage := message.usage_metadata:
                        if told and told["input_tokens"] == usage["input_tokens"]:
                            message.usage_metadata = subtract_usage(usage, told)
                        told = usage
                    if message is not chunk.message:
                        chunk = ChatGenerationChunk(message=message, generation_info=chunk.generation_info)
                    yield chunk
        if rest := thoughts.close():
            yield ChatGenerationChunk(message=AIMessageChunk(content=rest))
        self._known.begins_in_thought = thoughts.begins_inside

    async def _chunks(
        self, messages: list[BaseMessage], stop: Any, options: dict[str, Any]
    ) -> AsyncGenerator[ChatGenerationChunk]:
        asking = Asking(self._known, options, with_usage=bool(getattr(self, "stream_usage", None)))
        begun = False
        while not begun and asking.streams:
            try:
                async with aclosing(
                    cast("AsyncGenerator[Any]", super()._astream(messages, stop=stop, **asking.options))
                ) as stream:
                    while (chunk := await unshown(anext(stream, None))) is not None:
                        _check_cancelled()
                        begun = True
                        yield chunk
                    _check_cancelled()
                asking.streams = begun
            except Exception as error:
                if begun or not asking.can_do_without(error):
                    raise
        if not begun:
            yield _as_chunk(await self._ask(messages, stop, None, options))
        asking.succeeded()


async def unshown(asking: Awaitable[T]) -> T:
    """What a client makes of a request. If it asks other chat models, as one that falls back to others does, their
    words are not shown: they are those of this model, which is."""
    here = var_child_runnable_config.get() or {}
    token = var_child_runnable_config.set({**here, "tags": [*(here.get("tags") or ()), TAG_NOSTREAM]})
    try:
        return await asking
    finally:
        var_child_runnable_config.reset(token)


def _check_cancelled() -> None:
    """
    Raises:
        asyncio.CancelledError: It was to be raised before. `asyncio.wait_for`, in which langchain-openai waits for each
            piece, keeps it to itself in Python 3.11, if the piece comes at the same moment.
    """
    if (task := asyncio.current_task()) and task.cancelling():
        raise asyncio.CancelledError


class ReadAsOpenAI:
    """What ChatOpenAI and its relatives read of a response: the same form, whatever the server's is."""

    def _convert_chunk_to_generation_chunk(self, chunk: dict[str, Any], *args: Any) -> ChatGenerationChunk | None:
        if not chunk.get("choices") and (said := _error_in(chunk)):
            raise ModelError(SAID.format(said=said))
        return super()._convert_chunk_to_generation_chunk(_as_openai(chunk, "delta"), *args)  # type: ignore[misc, no-any-return]

    def _create_chat_result(self, response: Any, *args: Any) -> ChatResult:
        body = response.model_dump(warnings=False) if isinstance(response, BaseModel) else response
        if not isinstance(body, dict) or not isinstance(body.get("choices"), list) or not body["choices"]:
            said = _error_in(body) if isinstance(body, dict) else None
            raise ModelError(SAID.format(said=said) if said else NOTHING)
        result: ChatResult = super()._create_chat_result(_as_openai(body, "message"), *args)  # type: ignore[misc]
        message = response.choices[0].message if isinstance(response, BaseModel) else None  # type: ignore[attr-defined]
        # What `with_structured_output` looks for.
        for name in ("parsed", "refusal"):
            if hasattr(message, name):
                result.generations[0].message.additional_kwargs[name] = getattr(message, name)
        return result


class Asking:
    """The options of a request, and what is left out of them."""

    def __init__(self, known: Known, options: dict[str, Any], *, with_usage: bool) -> None:
        self.options = {name: value for name, value in options.items() if name not in known.refused}
        self.streams = "stream" not in known.refused
        self._known = known
        self._without: set[str] = set()
        self._strays = 0
        self._with_usage = with_usage and options.get("stream_usage") is not False
        if self._with_usage and "stream_options" in known.refused:
            self._leave_out("stream_options")

    def can_do_without(self, error: Exception) -> bool:
        """Whether to ask once more after this error: what the server may have refused is left out then."""
        if is_stray(error):
            self._strays += 1
            return self._strays <= MOST_STRAYS
        status = status_of(error)
        said = f"{error} {getattr(error, 'body', '')}".lower()
        names_usage = "stream_options" in said or "include_usage" in said
        words = re.findall(r"[^\W_]+", said)
        names_nothing = status in (400, 422) and all(word in _VAGUE or word.isdecimal() for word in words)
        if self._with_usage and status and (names_usage or names_nothing):
            self._leave_out("stream_options")
        elif not is_refusal(error):
            return False
        elif "tool_choice" in self.options:
            self._leave_out("tool_choice")
        elif self.streams and "stream" in said and not names_usage:
            self.streams = False
        else:
            return False
        return True

    def succeeded(self) -> None:
        """What was left out is so from now on."""
        self._known.refused |= self._without | (set() if self.streams else {"stream"})

    def _leave_out(self, name: str) -> None:
        self._without.add(name)
        if name == "stream_options":
            self._with_usage = False
            self.options = {**self.options, "stream_usage": False}
        else:
            self.options = {key: value for key, value in self.options.items() if key != name}


def _read(message: Any, thoughts: Thoughts, *, final: bool = False) -> Any:
    """A message, or a piece of one, without its thoughts."""

    def read(text: str) -> str:
        said, anew = thoughts.feed(text)
        if final:
            return said + thoughts.close()
        return ANEW + said if anew else said

    return _with_texts(message, read)


def _with_texts(message: Any, change: Callable[[str], str]) -> Any:
    """The message with each of its texts changed."""
    content = message.content
    if isinstance(content, str):
        changed: Any = change(content) if content else content
    else:
        blocks = [_told(block) for block in content]
        changed = [{**block, "text": change(block["text"])} if _is_text(block) else block for block in blocks]
    return message if changed == content else message.model_copy(update={"content": changed})


def _told(block: Any) -> Any:
    """The block, as text if it is a refusal."""
    is_refusal = isinstance(block, dict) and block.get("type") == "refusal" and isinstance(block.get("refusal"), str)
    return {**block, "type": "text", "text": block["refusal"]} if is_refusal else block


def _is_text(block: Any) -> bool:
    return isinstance(block, dict) and "text" in str(block.get("type")) and isinstance(block.get("text"), str)


def _as_chunk(result: ChatResult) -> ChatGenerationChunk:
    """A whole answer as one piece."""
    message = cast("AIMessage", result.generations[0].message)
    return ChatGenerationChunk(
        message=AIMessageChunk(
            content=message.content,
            additional_kwargs=message.additional_kwargs,
            response_metadata=message.response_metadata,
            usage_metadata=message.usage_metadata,
            id=message.id,
            tool_call_chunks=whole_calls(message),
        )
    )


def whole_calls(message: AIMessage) -> list[ToolCallChunk]:
    """The tool calls of a message, those included that can't be read, as pieces of which each is a whole call."""
    calls = [(call["name"], json.dumps(call["args"]), call["id"]) for call in message.tool_calls]
    calls += [(str(call["name"]), call["args"] or "", call["id"]) for call in message.invalid_tool_calls]
    return [tool_call_chunk(name=name, args=args, id=id_, index=index) for index, (name, args, id_) in enumerate(calls)]


# --- the form of OpenAI's responses


def _error_in(body: dict[str, Any]) -> Any:
    """What a response, or a piece of one, says of an error. Of pieces OpenAI's client knows only that under `error`."""
    message = body.get("message")  # that of an error; a model's own is an object
    error = body.get("error") or body.get("detail") or (message if isinstance(message, str) else None)
    return error.get("message", error) if isinstance(error, dict) else error


def _as_openai(body: dict[str, Any], wanted: Literal["delta", "message"]) -> dict[str, Any]:
    """A response, or a piece of one, whose first choice has the form of OpenAI's, and what is wanted of it."""
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return body
    choice = choices[0]
    part = "message" if body.get("object") == "chat.completion" or choice.get("delta") is None else "delta"
    said = choice.get(part)
    if said is None and isinstance(choice.get("text"), str):
        said = {"content": choice["text"]}
    said = _message(said) if isinstance(said, dict) else said
    return {**body, "choices": [{**choice, wanted: said}, *choices[1:]]}


def _message(said: dict[str, Any]) -> dict[str, Any]:
    calls = said.get("tool_calls")
    if not calls and isinstance(said.get("function_call"), dict):
        calls = [{"function": said["function_call"]}]
    message = {name: value for name, value in said.items() if name not in ("tool_calls", "function_call")}
    message["role"] = "assistant"
    message["content"] = message.get("content") or said.get("refusal")
    if isinstance(calls, dict):
        calls = [calls]
    if calls:
        message["tool_calls"] = [_call(call) for call in calls if isinstance(call, dict)]
    return message


def _call(call: dict[str, Any]) -> dict[str, Any]:
    given = call.get("function") or call.get("custom")
    function: dict[str, Any] = given if isinstance(given, dict) else call
    arguments = next((function[key] for key in ("arguments", "parameters", "input") if key in function), None)
    if arguments is not None and not isinstance(arguments, str):
        arguments = json.dumps(arguments)
    index = call.get("index")
    return {
        "index": int(str(index)) if str(index).isdecimal() else None,
        "id": str(call["id"]) if call.get("id") not in (None, "") else None,
        "type": "function",
        "function": {"name": function.get("name"), "arguments": arguments},
    }
