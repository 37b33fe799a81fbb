"""Oracles and descriptors by name, through the entry-point groups ``aldesign.oracles`` and ``aldesign.descriptors``."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, cast

from aldesign.errors import AldesignError, InputError, OracleError
from aldesign.protocols import Descriptor, DescriptorFactory, Oracle, OracleFactory

GROUP = "aldesign.oracles"
DESCRIPTORS = "aldesign.descriptors"


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
        raise _unknown("oracle", name, entries)
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


def descriptor_entries() -> dict[str, EntryPoint]:
    """Return the installed descriptors' entry points by name, without importing any of them."""
    return {entry.name: entry for entry in sorted(entry_points(group=DESCRIPTORS), key=lambda e: e.name)}


def load_descriptor(name: str) -> Descriptor:
    """Return a ready descriptor of formulas.

    Raises:
        InputError: No installed descriptor has that name.
        OracleError: Its package cannot be imported, or its files cannot be read.

    """
    entries = descriptor_entries()
    if name not in entries:
        raise _unknown("descriptor", name, entries)
    try:
        return cast(DescriptorFactory, entries[name].load()).load()
    except AldesignError:
        raise
    except Exception as error:
        raise OracleError(
            f"descriptor {name!r} ({entries[name].value}) could not be loaded: {type(error).__name__}: {error}",
            "reinstall the package that provides it",
        ) from error


def _unknown(what: str, name: str, known: Iterable[str]) -> InputError:
    names = list(known)
    near = get_close_matches(name, names, n=1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return InputError(f"no {what} is called {name!r}", f"{meant}installed: {', '.join(names) or 'none'}")
