"""Cheap tests that a formula must pass before an oracle is paid: every verdict with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from aldesign.errors import InputError, SpecError
from aldesign.protocols import Screen
from aldesign.screens.charges import ElectronegativityScreen, NeutralityScreen
from aldesign.screens.common import FormulaScreen, ScreenContext
from aldesign.screens.elements import ElementScreen
from aldesign.screens.energy import FormationEnergyScreen
from aldesign.screens.known import DuplicateScreen, NoveltyScreen
from aldesign.screens.window import GapWindowScreen

__all__ = ["SCREENS", "ScreenContext", "make_screen", "validate_screen"]

Entry = str | Mapping[str, Any]

SCREENS: Mapping[str, type[FormulaScreen]] = {
    kind.name: kind
    for kind in (
        DuplicateScreen,
        ElementScreen,
        NeutralityScreen,
        ElectronegativityScreen,
        NoveltyScreen,
        GapWindowScreen,
        FormationEnergyScreen,
    )
}


def make_screen(entry: Entry, context: ScreenContext) -> Screen:
    """Return the screen that a campaign file names.

    Args:
        entry: A name, or a mapping of one name to its options: ``{novelty: {known: builtin}}``.
        context: What the screen may know.

    Raises:
        SpecError: Unknown screen or option, or a value that is not allowed; the message says what is.

    """
    name, options = _named(entry)
    if name not in SCREENS:
        raise SpecError(f"no screen is called {name!r}", f"{_meant(name, SCREENS)}allowed: {', '.join(SCREENS)}")
    kind = SCREENS[name]
    allowed = [option.name for option in fields(kind) if option.name != "context"]
    for option in options:
        if option not in allowed:
            hint = f"allowed: {', '.join(allowed)}" if allowed else "it has no options"
            raise SpecError(f"screen {name!r} has no option {option!r}", _meant(str(option), allowed) + hint)
    try:
        return kind(context, **options)
    except InputError as error:
        raise SpecError(f"screen {name!r}: {error.message}", error.hint) from error


def validate_screen(entry: Entry, base: Path) -> None:
    """Raise SpecError if `make_screen` would refuse `entry`; lists of formulas are looked for and read."""
    make_screen(entry, ScreenContext(base=base))


def _named(entry: Entry) -> tuple[str, Mapping[str, Any]]:
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, Mapping) and len(entry) == 1:
        ((name, options),) = entry.items()
        if options is None:
            return str(name), {}
        if isinstance(options, Mapping):
            return str(name), options
    raise SpecError(f"{entry!r} is not a screen", "write its name, or `name: {option: value}`")


def _meant(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}? " if near else ""
