"""Oracles by name, through the entry-point group ``aldesign.oracles``."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, cast

from aldesign.errors import AldesignError, InputError, OracleError
from aldesign.protocols import Oracle, OracleFactory

GROUP = "aldesign.oracles"


def oracle_entries() -> dict[str, EntryPoint]:
    """Return the installed oracles' entry points by name, without importing any of them."""
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name)}


def oracle_class(name: str) -> OracleFactory:
    """Return the class behind `name`.

    Raises:
        InputError: No installed oracle has that name.
        OracleError: Its package cannot be imported.

    """
    entries = oracle_entries()
    if name not in entries:
        near = get_close_matches(name, entries, n=1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"no oracle is called {name!r}", f"{meant}installed: {', '.join(entries) or 'none'}")
    try:
        return cast(OracleFactory, entries[name].load())
    except Exception as error:
        raise OracleError(
            f"oracle {name!r} ({entries[name].value}) cannot be imported: {error}",
            "reinstall the package that provides it",
        ) from error


def load_oracle(name: str, directory: Path | None = None, **options: Any) -> Oracle:
    """Return a ready oracle.

    Args:
        name: Entry-point name.
        directory: Folder written by ``aldesign train``; None for the weights shipped with the oracle.
        options: Passed to the oracle's ``load``.

    Raises:
        InputError: Unknown name or unusable options.
        OracleError: The oracle could not be loaded.

    """
    factory = oracle_class(name)
    try:
        return factory.load(directory, **options)
    except AldesignError:
        raise
    except TypeError as error:
        raise InputError(f"oracle {name!r} refused its options {options!r}: {error}") from error
    except Exception as error:
        raise OracleError(f"oracle {name!r} could not be loaded: {type(error).__name__}: {error}") from error
