"""Active-learning generative design of band-gap materials."""

__version__ = "0.1.0"
