"""How a worker runs each kind of model; a worker imports one of these modules and no other.

Each holds ``load(work)``, which returns a model with ``infer()``: one inference, batch 1. What the model
needs is imported at the top, so that memory after the import and after loading can be told apart; what a
bundle needs depends on its format, and is imported by ``import_runtime(work)``.
"""
