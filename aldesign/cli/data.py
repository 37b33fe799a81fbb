"""``aldesign data``: tables to learn from. Only ``mp`` and ``matbench`` use the network."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from aldesign.cli.options import Negative, Property
from aldesign.cli.output import (
    FormulaColumn,
    Json,
    Quiet,
    ValueColumn,
    note,
    print_json,
    print_records,
    print_rows,
    progress,
    report_bad,
)
from aldesign.files import write_csv, write_text

Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder for labels.csv, structures.jsonl.gz, card.json.")]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(name="data", help="Fetch, list and describe tables.", no_args_is_help=True)
    for command in (mp, matbench, builtin, describe, plan, pack):
        group.command()(command)
    app.add_typer(group)


def mp(
    out: Out,
    elements: Annotated[str | None, typer.Option(help="Only entries that hold all of these, e.g. Li,O.")] = None,
    max_elements: Annotated[int | None, typer.Option(min=1, help="At most so many elements.")] = None,
    max_e_above_hull: Annotated[float | None, typer.Option(min=0.0, help="eV/atom.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many entries, for a trial.")] = None,
    energies: Annotated[
        str | None,
        typer.Option(
            metavar="all|ELEMENTS",
            help="Also energies.csv for distances to the hull: formation energies of all entries, or of all made of "
            "these elements alone, e.g. Li,Fe,P,O.",
        ),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Download gaps and crystals of the Materials Project; the key is read from MP_API_KEY."""
    from aldesign.datasets.mp import Query, fetch_materials_project
    from aldesign.datasets.mp_energies import chosen_elements, fetch_formation_energies

    among = None if energies is None else chosen_elements(energies)
    query = Query(
        tuple(word.strip() for word in (elements or "").split(",") if word.strip()),
        max_elements,
        max_e_above_hull,
        limit,
    )
    card = fetch_materials_project(out, query, progress=progress(quiet))
    if among is not None:
        card["energies"] = fetch_formation_energies(out, among, progress=progress(quiet))
    if as_json:
        print_json(card)
        return
    note(f"{card['rows']} compounds, database {card['database_version']}: {out / 'labels.csv'}")
    if among is not None:
        note(f"{card['energies']['rows']} formation energies: {out / 'energies.csv'}")


def matbench(
    out: Out,
    name: Annotated[
        Literal["matbench_expt_gap", "matbench_mp_gap"], typer.Option(help="Which table.")
    ] = "matbench_expt_gap",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Download a Matbench table of band gaps through matminer's loader."""
    from aldesign.datasets.matbench import fetch_matbench

    card = fetch_matbench(out, name, progress=progress(quiet))
    if as_json:
        print_json(card)
    else:
        note(f"{card['rows']} rows of {name}: {out / 'labels.csv'}")


def builtin(
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="The CSV; default standard output.")] = None,
    card: Annotated[
        bool, typer.Option("--card", help="The data set's card instead: settings, limits, failures.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the built-in compounds with their computed gaps and formation energies; some are prototypes without."""
    from aldesign.datasets.builtin import builtin_card, builtin_crystals, lowest

    if card:
        print_json(builtin_card())
        return
    computed = lowest()
    rows = []
    for formula, crystal in builtin_crystals().items():
        row = computed.get(formula)
        energies = (None, None) if row is None else (row.formation_energy_ev_per_atom, row.above_hull_ev_per_atom)
        numbers = [None if value is None else round(value, 4) for value in (row.gap_ev if row else None, *energies)]
        rows.append((formula, crystal.id, *numbers))
    header = ("formula", "structure_id", "band_gap", "formation_energy_per_atom", "e_above_hull")
    if output is not None:
        write_csv(output, header, rows)
        note(f"{len(rows)} compounds, {len(computed)} with a computed gap: {output}")
    elif as_json:
        print_json([dict(zip(header, row, strict=True)) for row in rows])
    else:
        print_rows(header, rows)


def plan(
    out: Annotated[Path, typer.Option(metavar="FILE", help="JSON lines of crystals, best first.")],
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="At most so many crystals.")] = 850,
    relaxed: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Relaxations, kept and taken up; default beside the output.")
    ] = None,
    with_polymorphs: Annotated[
        bool,
        typer.Option("--polymorphs", help="Add rock salt, zinc blende and caesium chloride for each of them."),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Plan a data set: textbook solids and known formulas in small cells by CHGNet; goes on where it was stopped."""
    from aldesign.datasets.plan import plan as make
    from aldesign.dft.elements import references

    kept = relaxed or out.with_name(f"{out.stem}.relaxed.jsonl")
    say = progress(quiet)

    def tell(done: int, total: int) -> None:
        if say is not None:
            say(f"{done} of {total} relaxed: {kept}")

    planned = make(references(), kept, n, tell)
    lines = [item.to_json() for item in planned]
    write_text(out, "".join(json.dumps(line) + "\n" for line in lines))
    if with_polymorphs:
        from aldesign.datasets.polymorphs import polymorphs

        lines += polymorphs(out)
        write_text(out, "".join(json.dumps(line) + "\n" for line in lines))
    note(f"{len(lines)} crystals: {out}; compute them with `aldesign dft compute --input {out} --out DIR`")


def pack(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Results of `aldesign dft compute`.")],
    crystals: Annotated[Path, typer.Option("--plan", metavar="FILE", help="The crystals, of `aldesign data plan`.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to write; default the package, as the built-in set.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Pack computed crystals into a data set: gaps, formation energies, densities of states, and a card."""
    from aldesign.datasets.builtin import FILES
    from aldesign.datasets.packing import pack as make

    path = FILES if out is None else out / FILES.name
    packed = make(folder, crystals, path)
    if as_json:
        print_json(asdict(packed))
        return
    note(
        f"{packed.rows} crystals, {packed.failed} failed, {packed.waiting} not computed yet, "
        f"{packed.size / 1024:.0f} KiB, digest {packed.digest[:16]}: {path}.safetensors"
    )
    for symbol, count in packed.without_energy.items():
        note(f"{count} crystals have no formation energy: {symbol} has no reference energy")


def describe(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A table of formulas and labels.")],
    target: Property = "band_gap",
    negative: Negative = "reject",
    formula_column: FormulaColumn = None,
    value_column: ValueColumn = None,
    as_json: Json = False,
) -> None:
    """Say how a table is understood: columns, usable rows, refused rows with reasons, range, elements."""
    import numpy as np

    from aldesign.chemistry.elements import SYMBOLS
    from aldesign.chemistry.formula import compositions
    from aldesign.datasets.table import read_table

    table = read_table(source, formula_column, value_column, negative=negative, target=target)
    values = np.array([row.value for row in table.rows])
    parsed = compositions([row.formula for row in table.rows])
    present = np.unique(parsed.numbers[parsed.numbers > 0])
    facts: dict[str, object] = {
        "rows": len(table.rows),
        "refused": len(table.bad),
        "unit": table.unit,
        "least": float(values.min()),
        "median": float(np.median(values)),
        "greatest": float(values.max()),
        "zero": int((values == 0).sum()),
        "elements": len(present),
        "most_elements_in_a_formula": int(parsed.n_elements().max()),
        "with_crystal": sum(row.crystal is not None for row in table.rows),
        "notes": list(table.notes),
    }
    if as_json:
        bad = [{"line": row.line, "text": row.text, "reason": row.reason} for row in table.bad]
        print_json(facts | {"element_list": [SYMBOLS[z] for z in present], "refused_rows": bad})
        return
    facts["notes"] = "; ".join(table.notes)
    print_records([{"fact": key, "value": value} for key, value in facts.items()], as_json=False, title=str(source))
    report_bad(table.bad)
