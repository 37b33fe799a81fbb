"""Floor 2: tables of known compounds and their gaps."""
