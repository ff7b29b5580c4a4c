"""The Game of 24 (section 5.3 of the paper)."""
