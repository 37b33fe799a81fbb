"""Campaigns whose answers come from outside, with the programs that get them."""
