"""First-principles calculations of crystals: settings, codes, jobs with limits, and a store of what was paid for."""
