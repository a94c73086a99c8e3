"""One step, one cycle, one chunk; the state between chunks; the bases that learners start from."""
