"""The conversation: plans and results as messages, and how models see them."""
