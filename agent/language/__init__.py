"""The plan language: what plans are made of, and how they are read. It imports the standard library alone."""
