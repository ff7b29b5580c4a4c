"""An LLMCompiler agent for LangGraph, after "An LLM Compiler for Parallel Function Calling" (Kim et al., ICML 2024).

Where to find what, each list in the order in which it is best read:

- The graph, its settings and its state: `graph`, `context`, `state`, `running`.
- Planning: `planner`, which reads text or tool calls (`tool_call_plan`) and hands tasks over by `stream`.
- The plan language, pure: `tasks`, `parser`, `call_reader`, `arguments`, `literals`, `plain_calls`; `references`,
  `plan`, `maps`.
- Executing: `executor`, `execution`, `outcomes`, `resolver`, `calls`, `approval`.
- Tools of any make: `signatures`, `json_types`, `injection`, `fitting`, `invoke`, `threads`, `retries`, `results`,
  `saving`, `agent_tool`.
- Joining: `joiner`, `direct_join`.
- What is said: `messages`, `transcript`, `excerpt`, `prompts`, `events`, `secrets`; and by which `models`.
"""

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
