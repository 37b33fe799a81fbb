"""``aldesign dft show``: what a store of computed crystals holds, and their densities of states."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aldesign.cli.output import Json, note, print_json, print_records
from aldesign.errors import CalculationError, InputError

if TYPE_CHECKING:
    from aldesign.dft.results import Result


def show(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A store, or a folder of `aldesign dft compute`.")],
    formulas: Annotated[list[str] | None, typer.Argument(metavar="[FORMULA]...", help="Only these.")] = None,
    dos: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each density of states as CSV and picture.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show computed crystals: a table of all, or everything about those of the formulas named."""
    from aldesign.chemistry.formula import canonical
    from aldesign.dft.batch import STORE
    from aldesign.dft.store import ResultStore

    path = store / STORE if store.is_dir() else store
    if not path.is_file():
        raise InputError(f"there is no store of results at {path}", "name one, or a folder of `aldesign dft compute`")
    wanted = {canonical(formula) for formula in formulas or ()}
    found = [result for result in ResultStore(path).results() if not wanted or result.formula in wanted]
    without = sorted(wanted - {result.formula for result in found})
    if without:
        raise InputError(f"{path} holds no {', '.join(without)}", "`aldesign dft show STORE` lists all")
    if dos is not None:
        note(f"{_write_all(found, dos)} densities of states: {dos}")
    records = [_whole(result) if wanted else _row(result) for result in found]
    if wanted and not as_json:
        for record in records:
            typer.echo("\n".join(f"{name:28} {_text(value)}" for name, value in record.items()) + "\n")
    elif wanted:
        print_json(records)
    else:
        print_records(records, as_json)


def _row(result: Result) -> dict[str, Any]:
    return {
        "id": result.crystal.id,
        "formula": result.formula,
        "n_sites": len(result.crystal),
        "level": result.settings.level,
        "preset": result.settings.preset,
        "gap_ev": round(result.gap_ev, 4),
        "direct_gap_ev": round(result.direct_gap_ev, 4),
        "is_direct": result.is_direct,
        "energy_ev_per_atom": round(result.energy_ev_per_atom, 6),
        "magnetization": round(result.magnetization, 3),
        "seconds": result.seconds,
    }


def _whole(result: Result) -> dict[str, Any]:
    from aldesign.structures.geometry import space_group

    symbol, number = space_group(result.crystal)
    kinds = ("vbm_kpoint", "cbm_kpoint", "n_electrons", "n_kpoints", "iterations", "spin_polarized", "peak_gib")
    return {
        **_row(result),
        "formation_energy_ev_per_atom": _formation_energy(result),
        "space_group": f"{symbol} ({number})",
        "lattice": [round(x, 5) for x in result.crystal.lattice],
        **{kind: getattr(result, kind) for kind in kinds},
        **{f"{name}_ev": round(value, 4) for name, value in result.extra.items()},
        "settings": result.settings.to_json(),
        "software": dict(result.software),
        "notes": list(result.notes),
    }


def _formation_energy(result: Result) -> float | None:
    """Return the formation energy where the elements' energies are shipped for these settings, in eV per atom."""
    from aldesign.dft.elements import formation_energy_per_atom, shipped_energies

    try:
        return round(formation_energy_per_atom(result, shipped_energies(result.settings)), 4)
    except (InputError, CalculationError):
        return None


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "unknown" if value is None else str(value)


def _write_all(results: list[Result], folder: Path) -> int:
    from aldesign.files import write_csv
    from aldesign.report.dos_figure import dos_figure

    folder.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    for result in results:
        if result.dos is None:
            continue
        name = _name(result, taken)
        shells = list(result.dos.projected)
        columns = [result.dos.energies_ev, result.dos.total, *(result.dos.projected[shell] for shell in shells)]
        rows = [[f"{value:.4f}" for value in row] for row in zip(*columns, strict=True)]
        write_csv(folder / f"{name}.csv", ["energy_ev", "total", *shells], rows)
        figure = dos_figure(result)
        if figure is not None:
            figure.savefig(folder / f"{name}.png", dpi=150, bbox_inches="tight")
    return len(taken)


def _name(result: Result, taken: set[str]) -> str:
    """Return a file name that no other result has, on file systems that ignore case, too."""
    plain = "".join(c if c.isalnum() or c in "-." else "_" for c in f"{result.crystal.id}_{result.settings.level}")
    name, count = plain, 1
    while name.lower() in taken:
        count += 1
        name = f"{plain}-{count}"
    taken.add(name.lower())
    return name
