"""``python -m aldesign`` is the command line."""

from aldesign.cli import main

main()
