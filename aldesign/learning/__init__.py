"""Floor 1: what every trained model shares: weights on disk, the training loop, threads."""
