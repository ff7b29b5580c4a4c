"""Examples after the patterns of the paper: copy one, delete the rest."""
