"""Chat models behind any server: what each does in its own way is made the same."""
