"""Formation energies of all entries of the Materials Project, for distances to the hull.

A hull needs every phase that may compete, those without a band structure and the polymorphs included; hence a table
of its own, without crystals.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import combinations
from math import inf
from pathlib import Path
from typing import Any

from aldesign.datasets.mp import Progress, fetch_pages, opened, origin, read_page
from aldesign.errors import AldesignError, FormulaError, InputError
from aldesign.files import write_csv, write_json
from aldesign.structures.formation_units import implausible

COLUMNS = ("id", "formula", "formation_energy_per_atom", "e_above_hull")
_FIELDS = ("material_id", "formula_pretty", "formation_energy_per_atom", "energy_above_hull")
_MAX_ELEMENTS = 8  # 255 chemical systems, which still fit into one address


def fetch_formation_energies(
    out: Path, elements: Sequence[str] = (), *, page_size: int = 1000, progress: Progress | None = None
) -> dict[str, Any]:
    """Download the formation energies that a hull needs, write ``energies.csv`` and its card, and return the card.

    Pages are kept in ``out/energy_pages`` until all is there, so that an interrupted download goes on.

    Args:
        out: The folder, which `aldesign.structures.hull.Hull` reads.
        elements: Only entries of these elements and no others, subsystems included; all entries where empty.
        page_size: Entries of one request.
        progress: Takes lines of text.

    Raises:
        InputError: An unknown element, more than eight, ``MP_API_KEY`` is not set, or the key was refused.
        AldesignError: The network or the server failed, or no entry came.
        InterruptedRunError: Ctrl-C; pages so far are kept.

    """
    say = progress or (lambda _: None)
    filters: dict[str, Any] = {"fields": list(_FIELDS)}
    if elements:
        filters["chemsys"] = _systems(elements)
    pages = out / "energy_pages"
    with opened(pages) as client:
        version = str(client.db_version)
        wanted = {"query": sorted(elements), "database_version": version, "page_size": page_size}
        fetch_pages(client, filters, wanted, _record, pages, inf, say)
    records = {record["id"]: record for path in sorted(pages.glob("*.json.gz")) for record in read_page(path)}
    usable = [record for record in records.values() if "problem" not in record]
    if not usable:
        raise AldesignError(f"the query gave no usable formation energy ({len(records)} entries came)", "ask for more")
    write_csv(out / "energies.csv", COLUMNS, ([record[column] for column in COLUMNS] for record in usable))
    card = {
        **origin(version),
        "elements": sorted(elements),
        "level": "PBE(+U) with the corrections of 2020, mixed with r2SCAN, as the project's own hull",
        "rows": len(usable),
        "formulas": len({record["formula"] for record in usable}),
        "unusable": len(records) - len(usable),
    }
    write_json(out / "energies.json", card)
    shutil.rmtree(pages)
    return card


def chosen_elements(text: str) -> tuple[str, ...]:
    """Return the elements that a user lists, none for ``all``; InputError for what is neither."""
    symbols = tuple(word.strip() for word in text.split(",") if word.strip())
    if text.strip().lower() == "all":
        return ()
    if not symbols:
        raise InputError("no element was given for the energies", "give symbols such as Li,Fe,O, or all")
    _systems(symbols)
    return symbols


def _systems(elements: Sequence[str]) -> list[str]:
    """Return the chemical systems of elements, e.g. ``Li``, ``O`` and ``Li-O``."""
    from aldesign.chemistry.elements import NUMBER

    unknown = [symbol for symbol in elements if symbol not in NUMBER]
    if unknown:
        raise InputError(f"{', '.join(unknown)} is no element", "give symbols such as Li,Fe,O, or all")
    symbols = sorted(set(elements))
    if len(symbols) > _MAX_ELEMENTS:
        raise InputError(
            f"{len(symbols)} elements have {2 ** len(symbols) - 1} chemical systems, too many for one question",
            f"give at most {_MAX_ELEMENTS} elements, or all",
        )
    return ["-".join(part) for size in range(1, len(symbols) + 1) for part in combinations(symbols, size)]


def _record(document: dict[str, Any]) -> dict[str, Any]:
    """Return an entry as we keep it; ``problem`` says why it is of no use."""
    from aldesign.chemistry.formula import canonical

    name, energy = str(document["material_id"]), document.get("formation_energy_per_atom")
    if energy is None:
        return {"id": name, "problem": "no formation energy"}
    if reason := implausible(float(energy)):
        return {"id": name, "problem": reason}
    try:
        formula = canonical(str(document["formula_pretty"]))
    except (FormulaError, KeyError) as error:
        return {"id": name, "problem": str(error)}
    return {
        "id": name,
        "formula": formula,
        "formation_energy_per_atom": float(energy),
        "e_above_hull": document.get("energy_above_hull"),
    }
