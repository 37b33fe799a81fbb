"""The experiments of the active-learning generative design paper as campaigns."""
