"""Surgery: a plan carried out on a model, and the zero masks that prove it right."""
