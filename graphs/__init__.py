"""Compiled graphs, as `langgraph.json` names them. Here agent and tools are put together."""
