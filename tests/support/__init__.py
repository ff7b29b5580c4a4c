"""What tests are made with: model and MCP servers, databases, terminals, processes."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The project."""

PATIENCE = 100.0
"""Seconds after which a wait counts as hanging: less than a test may take, far more than any machine needs."""
