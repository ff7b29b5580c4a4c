"""Web shopping (section 5.4 of the paper)."""
