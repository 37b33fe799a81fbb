"""Floor 1: formula algebra, vectorised over many formulas."""
