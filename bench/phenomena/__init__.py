"""Known phenomena that the instrument must show, one per file; `bench/validation.py` runs them."""
