"""Floor 3: the campaign engine."""
