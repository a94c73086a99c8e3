"""Figures: tidy tables in, matplotlib figures out; one figure per file."""
