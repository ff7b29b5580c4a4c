"""The graph: planner and executor side by side, then the joiner, round and round until there is an answer."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, get_args

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolCallTransformer
from langgraph.store.base import BaseStore
from langgraph.stream.transformers import CustomTransformer
from langgraph.types import Checkpointer
from pydantic import BaseModel

from agent.compiled import LLMCompiler
from agent.context import Context
from agent.executor.approval import make_approval
from agent.executor.node import make_executor
from agent.joiner.node import make_joiner
from agent.joiner.structured import ResponseFormat
from agent.models import Models
from agent.planner.node import PlannerProtocol, make_planner
from agent.state import Conversation, State, StructuredOutput
from agent.tooling.describe import as_tools
from agent.tooling.invoke import Wrapper


def create_llm_compiler(
    tools: Sequence[BaseTool | Callable[..., Any]],
    *,
    model: str | BaseChatModel | None = None,
    planner_model: str | BaseChatModel | None = None,
    joiner_model: str | BaseChatModel | None = None,
    system_prompt: str = "",
    examples: str = "",
    planner_protocol: PlannerProtocol = "text",
    wrap_tool_call: Wrapper | None = None,
    response_format: type[BaseModel] | Mapping[str, Any] | None = None,
    checkpointer: Checkpointer = None,
    store: BaseStore | None = None,
    name: str = "llm_compiler",
) -> CompiledStateGraph[State, Context, Conversation, Conversation]:
    """An agent that compiles a question into a DAG of tool calls and runs it in parallel (Kim et al., 2024, arXiv
    2312.04511).

    The graph takes `{"messages": […]}` and adds to them; the last message is the answer. One turn:

    1. `planner`: the model streams a plan, a tool call a line.
    2. `executor`, at the same time: starts each call as soon as it has been parsed and its dependencies are done.
       Calls that need a person's approval wait until nothing else can run, and then `approval` pauses the run.
    3. `joiner`: the model answers from the results, or asks for another plan (at most `Context.max_replans` times).

    Args:
        tools: LangChain tools, sync or async, or plain functions with type hints and a docstring.
        model: The chat model, as an object or as `"provider:model"`. Without one: `LLM_COMPILER_MODEL`, or OpenAI's if
            there is a key (see `agent.models.default_model`), looked up when the graph runs.
        planner_model: The model that plans, if it is another one.
        joiner_model: The model that joins, if it is another one.
        system_prompt: What planner and joiner are told besides: who they work for, how to answer.
        examples: Questions with their plans, as they should be; shown to the planner.
        planner_protocol: How the planner's model writes its plan: `"text"`, the plan language, which is the shortest;
            `"tools"`, by function calling, for models that plan well only so; or `"grammar"`, the plan language under a
            grammar that the model's server enforces (`Context.grammar_dialect`), for small models.
        wrap_tool_call: Called around each try of each tool call, after approval and within its time:
            `wrap(request, handler)` with LangGraph's `ToolCallRequest`, sync or async, as LangChain's middleware has
            it. It returns the `ToolMessage` of `handler(request)`, or another one.
        response_format: The form of the answer, a Pydantic model or the JSON schema of an object. The answer is then
            `structured_response` in the state, too; the message has it as JSON.
        checkpointer: Where threads are kept. Without one, each run is on its own.
        store: LangGraph's long-term memory, for tools that use it.
        name: The graph's name: in traces, as a node of another graph, and as a tool of LangGraph's server (`/mcp`).

    Raises:
        ValueError: A tool can't stand in a plan: its name is taken, or its arguments have no schema. There is no such
            protocol.
        TypeError: Something among the tools is no tool, or a model is no chat model.

    Running the graph raises `agent.ModelError` if a model can't be had, can't take the prompt or doesn't keep to the
    `response_format`, the client's own error if a model call fails, and Pydantic's `ValidationError` if the context is
    not one. Failures of tools and mistakes in plans raise nothing: they are shown to the joiner.
    """
    if planner_protocol not in get_args(PlannerProtocol):
        raise ValueError(
            f"planner_protocol is {planner_protocol!r}; it is one of {', '.join(get_args(PlannerProtocol))}."
        )
    if wrap_tool_call is not None and not callable(wrap_tool_call):
        raise TypeError(
            f"wrap_tool_call is {wrap_tool_call!r}, no function. Of a middleware, give its awrap_tool_call."
        )
    form = None if response_format is None else ResponseFormat(response_format)
    by_name = as_tools(tools)
    models = Models(model, planner_model, joiner_model)
    output = Conversation if form is None else StructuredOutput
    # The nodes are partials because LangGraph takes plain functions apart to look for graphs in them: 5 ms of 7.
    graph = StateGraph(State, context_schema=Context, input_schema=Conversation, output_schema=output)
    graph.add_node(
        "planner",
        partial(make_planner(by_name, models, examples, planner_protocol, system_prompt)),
        destinations={"executor": "tasks"},
    )
    graph.add_node(
        "executor",
        partial(make_executor(by_name, models, wrap_tool_call, shows_answers=form is None)),
        destinations=("joiner", "executor", "approval"),
    )
    graph.add_node("approval", partial(make_approval(by_name)), destinations=("executor",))
    graph.add_node(
        "joiner",
        partial(make_joiner(by_name, models, system_prompt, form)),
        destinations={"planner": "replan", "executor": "replan", END: "answer"},
    )
    graph.add_edge(START, "planner")
    graph.add_edge(START, "executor")
    compiled = graph.compile(
        checkpointer=checkpointer, store=store, name=name, transformers=[ToolCallTransformer, CustomTransformer]
    )
    return LLMCompiler.of(compiled)
