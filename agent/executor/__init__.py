"""The executor: makes the calls of a plan, each when what it refers to is there."""
