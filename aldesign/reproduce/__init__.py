"""The experiments of the active-learning generative design paper, with our models beside its own."""
