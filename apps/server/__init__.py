"""The agent over HTTP, and a page to watch it."""
