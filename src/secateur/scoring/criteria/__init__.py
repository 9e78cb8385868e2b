"""Criteria: how much a head, a KV group or a channel matters; one file per criterion."""
