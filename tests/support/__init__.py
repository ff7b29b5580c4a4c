"""What tests are made with: model and MCP servers, databases, terminals, processes."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The project."""
