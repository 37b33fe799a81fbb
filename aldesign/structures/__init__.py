"""Floor 2: from a formula to a crystal."""
