"""How a network learns: what may change (scopes), what is minimised (objectives), what reads it (heads)."""
