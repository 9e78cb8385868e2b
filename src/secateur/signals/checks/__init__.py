"""Checks of recordings: statements against physics, against the samples, and against each other."""
