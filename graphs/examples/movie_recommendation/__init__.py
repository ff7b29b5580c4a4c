"""Movie recommendation (section 5.1 of the paper)."""
