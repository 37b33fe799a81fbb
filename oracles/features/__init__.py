"""Descriptors of compositions."""
