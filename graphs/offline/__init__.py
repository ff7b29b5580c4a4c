"""`offline`: a small rule-based chat model, so that the template runs without a key, a server or a network."""
