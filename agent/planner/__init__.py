"""The planner: one model call that writes the plan, read as it streams."""
