"""Pictures of runs: a timeline, and the plan as a graph."""
