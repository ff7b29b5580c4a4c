"""What happens in a run, noted through LangChain's callbacks: the same for every agent, and apart for every run."""

import time
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from agent.language.tasks import Signature
from agent.language.values import render_call, to_text
from apps.evaluation.results import ModelCall, Tokens, ToolCall
from apps.runs.errors import in_one_line
from apps.runs.wording import in_short

PURPOSES = {"write_plan": "plan", "planner": "plan", "joiner": "join"}
"""Of a model call, by the node or task that makes it."""

ARGUMENT_CHARS = 200
STOPPED = "stopped before it ended"


class Recorder(BaseCallbackHandler):
    """Notes the model calls and tool calls of one run. Make one for each run: runs go on at the same time."""

    run_inline = True

    def __init__(self, signatures: Mapping[str, Signature] | None = None) -> None:
        """
        Args:
            signatures: Those of the tools, by which calls are written as plans have them.
        """
        self._signatures = signatures or {}
        self.began = time.perf_counter()
        """The clock that times are relative to."""

        self.calls: list[ModelCall] = []
        self.tools: list[ToolCall] = []
        self._open_calls: dict[UUID, tuple[str, str, float]] = {}
        self._open_tools: dict[UUID, tuple[str, str, float]] = {}
        self._parents: dict[UUID, UUID] = {}
        self._tools_in: dict[UUID, list[UUID]] = {}
        """The tool calls made by each step."""

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self.began

    def close(self) -> None:
        """Note the calls that have not ended as stopped now; the run is over."""
        for run_id in list(self._open_calls):
            self._call_ended(run_id, None, STOPPED)
        for run_id in list(self._open_tools):
            self._tool_ended(run_id, STOPPED)

    def on_chat_model_start(self, *_: Any, run_id: UUID, **about: Any) -> None:
        """A model call begins."""
        metadata = about.get("metadata") or {}
        parameters = about.get("invocation_params") or {}
        model = metadata.get("ls_model_name") or parameters.get("model") or parameters.get("_type") or "unknown"
        node = str(metadata.get("langgraph_node", ""))
        purpose = self._tool_around(about.get("parent_run_id")) or PURPOSES.get(node, node)
        self._open_calls[run_id] = str(model), purpose, self.now

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """A model call has ended."""
        self._call_ended(run_id, _tokens_of(response))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **about: Any) -> None:
        """A model call has failed, or what it said was enough and it was stopped."""
        response = about.get("response")
        tokens = _tokens_of(response) if isinstance(response, LLMResult) else None
        self._call_ended(run_id, tokens, in_one_line(error) if isinstance(error, Exception) else STOPPED)

    def on_chain_start(self, *_: Any, run_id: UUID, parent_run_id: UUID | None = None, **__: Any) -> None:
        """A step between a tool and the model call that it makes."""
        if parent_run_id:
            self._parents[run_id] = parent_run_id

    def on_tool_start(
        self,
        serialized: Mapping[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **about: Any,
    ) -> None:
        """A tool call begins. One that another tool makes is part of that tool."""
        if parent_run_id:
            self._parents[run_id] = parent_run_id
        if any(step in self._open_tools for step in self._steps_around(parent_run_id)):
            return
        name = (serialized or {}).get("name") or about.get("name") or "tool"
        inputs = about.get("inputs")
        said = self._written(str(name), inputs) if isinstance(inputs, dict) else input_str
        self._open_tools[run_id] = str(name), in_short(said, ARGUMENT_CHARS), self.now
        if parent_run_id:
            self._tools_in.setdefault(parent_run_id, []).append(run_id)

    def _written(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """The arguments as plans write them."""
        signature = self._signatures.get(tool)
        positional = signature.positional(arguments) if signature else None
        return render_call("", arguments, positional=positional)[1:-1]

    def on_tool_end(self, output: Any, *, run_id: UUID, **_: Any) -> None:
        """A tool call has ended; some report failure in what they return."""
        failed = getattr(output, "status", "success") == "error"
        self._tool_ended(run_id, in_short(to_text(output.content), ARGUMENT_CHARS) if failed else "")

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """A tool call has failed."""
        said = in_one_line(error) if isinstance(error, Exception) else STOPPED
        self._tool_ended(run_id, in_short(said, ARGUMENT_CHARS))

    def _tool_around(self, run_id: UUID | None) -> str | None:
        """The name of the tool that a call is made for."""
        for step in self._steps_around(run_id):
            # LangChain hands a tool its caller's config, so that what the tool calls seems to be called beside it.
            for tool in (step, *reversed(self._tools_in.get(step, ()))):
                if tool in self._open_tools:
                    return self._open_tools[tool][0]
        return None

    def _steps_around(self, run_id: UUID | None) -> Iterator[UUID]:
        """The step, the one that it is part of, and so on."""
        while run_id:
            yield run_id
            run_id = self._parents.get(run_id)

    def _call_ended(self, run_id: UUID, tokens: Tokens | None, error: str = "") -> None:
        if call := self._open_calls.pop(run_id, None):
            model, purpose, started = call
            self.calls.append(ModelCall(model, purpose, round(started, 4), round(self.now, 4), tokens, error))

    def _tool_ended(self, run_id: UUID, error: str = "") -> None:
        if call := self._open_tools.pop(run_id, None):
            tool, arguments, started = call
            self.tools.append(ToolCall(tool, arguments, round(started, 4), round(self.now, 4), error))


def _tokens_of(response: LLMResult) -> Tokens | None:
    for generations in response.generations:
        for generation in generations:
            message = generation.message if isinstance(generation, ChatGeneration) else None
            if isinstance(message, AIMessage) and (usage := message.usage_metadata):
                cached = (usage.get("input_token_details") or {}).get("cache_read") or 0
                return Tokens(usage["input_tokens"], cached, usage["output_tokens"])
    return None
