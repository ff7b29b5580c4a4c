"""The joiner: the answer, or another plan."""
