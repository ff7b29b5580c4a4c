"""The agents that are raced, each a script that runs in a process of its own."""
