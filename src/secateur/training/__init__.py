"""Fitting a diagnoser, its rivals, and the figures that judge them."""
