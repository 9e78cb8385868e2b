"""Winning back what a cut costs: least-squares re-fit, then adapters with distillation."""
