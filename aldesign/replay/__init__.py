"""A campaign rehearsed against a table of known gaps."""
