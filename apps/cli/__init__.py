"""The command line: `llm-compiler`."""
