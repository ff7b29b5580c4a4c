"""Compiled graphs and the ways in. Here agent and tools are put together."""
