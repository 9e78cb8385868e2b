"""Tasks: what a model is for. Everything that depends on that, and nothing else, stands here."""
