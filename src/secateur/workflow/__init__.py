"""Whole jobs: from recordings to a verified bundle, step by step and resumable."""
