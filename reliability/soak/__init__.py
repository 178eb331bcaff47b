"""Everything at once, for an hour: ``python -m reliability.soak``."""
