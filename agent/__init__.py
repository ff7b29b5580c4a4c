"""An LLMCompiler agent for LangGraph, after "An LLM Compiler for Parallel Function Calling" (Kim et al., ICML 2024)."""

from agent.agent_tool import as_tool
from agent.context import Context
from agent.graph import create_llm_compiler
from agent.models import PROVIDERS, ModelError, default_model, load_model
from agent.state import State

__all__ = [
    "PROVIDERS",
    "Context",
    "ModelError",
    "State",
    "as_tool",
    "create_llm_compiler",
    "default_model",
    "load_model",
]
