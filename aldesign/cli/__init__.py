"""Floor 4: the command line."""

from __future__ import annotations


def main() -> None:
    """Run the command line and leave with its exit code."""
    import sys

    from aldesign.cli.app import run

    sys.exit(run())
