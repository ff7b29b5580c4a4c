"""`llm-compiler eval`: the paper's evaluation on questions of your own, with the ReAct baselines beside it."""
