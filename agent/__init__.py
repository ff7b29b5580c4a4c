"""An LLMCompiler agent for LangGraph, after "An LLM Compiler for Parallel Function Calling" (Kim et al., ICML 2024).

Read `graph` first; then a room for each of `planner`, `executor` and `joiner`, on the pure `language`, on `tooling`
(any LangChain tool, fitted to a plan) and on the `conversation`.
"""

from agent.context import Context
from agent.graph import create_llm_compiler
from agent.models import PROVIDERS, default_model, load_model
from agent.servers.errors import ModelError
from agent.state import State
from agent.tooling.as_tool import as_tool
from agent.tooling.inject import InjectedIdempotencyKey

__all__ = [
    "PROVIDERS",
    "Context",
    "InjectedIdempotencyKey",
    "ModelError",
    "State",
    "as_tool",
    "create_llm_compiler",
    "default_model",
    "load_model",
]
