"""Windows of a volume: where they lie, how they are cut, and what explains them."""
