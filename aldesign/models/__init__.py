"""Floor 2: the generative and surrogate models."""
