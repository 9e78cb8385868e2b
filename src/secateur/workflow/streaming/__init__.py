"""Cutting a checkpoint that does not fit in memory: one block at a time, with everything else on disk."""
