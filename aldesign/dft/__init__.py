"""First-principles calculations of crystals: settings, codes, jobs with limits, and a store so that nothing is paid twice."""
