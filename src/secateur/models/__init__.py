"""Models: the Diagnoser, binding of specifications to live modules, checkpoints."""
