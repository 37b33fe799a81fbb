"""``aldesign structures``: a crystal for each formula, by substitution into the nearest template."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aldesign.cli.output import FormulaColumn, Json, Quiet, note, print_json, print_rows, progress
from aldesign.errors import AldesignError, InputError, InterruptedRunError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aldesign.datasets.formulas import InputRow
    from aldesign.structures.templates import TemplateLibrary


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(structures)


def structures(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for structures.csv and the CIFs.")],
    formulas: Annotated[
        list[str] | None, typer.Argument(metavar="[FORMULA]...", help="Formulas in any spelling.")
    ] = None,
    source: Annotated[Path | None, typer.Option("--input", metavar="FILE", help="CSV, text or JSON lines.")] = None,
    templates: Annotated[
        str,
        typer.Option(metavar="aflow|FILE|FOLDER", help="JSON lines of crystals, a folder of CIFs, or of `data mp`."),
    ] = "aflow",
    max_emd: Annotated[float, typer.Option(min=0.0, help="Largest distance of formula and template.")] = 10.0,
    tries: Annotated[int, typer.Option(min=1, help="How many templates to try, nearest first.")] = 20,
    relax: Annotated[
        bool, typer.Option(help="Relax by CHGNet; without it the energy is that of the cell as made.")
    ] = True,
    steps: Annotated[int, typer.Option(min=1, help="Relaxation steps at most.")] = 100,
    energy: Annotated[bool, typer.Option(help="Compute formation energies by CHGNet.")] = True,
    formula_column: FormulaColumn = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Build a crystal for each formula, with its formation energy, as CIFs and a table."""
    from aldesign.datasets.formulas import FormulaFile, read_formulas
    from aldesign.files import refuse_overwriting
    from aldesign.structures.build import COLUMNS
    from aldesign.structures.templates import TemplateLibrary

    if bool(formulas) == bool(source):
        raise InputError("give either formulas or --input FILE", "e.g. aldesign structures NaCl --out crystals")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file", "give a folder")
    table = out / "structures.csv"
    refuse_overwriting(table, source)
    for read in (source, Path(templates)):
        if read is not None and _holds_cifs(out, read):
            raise InputError(f"CIFs of {read} could be overwritten: they lie in {out}", "give another --out")
    file = (
        read_formulas(source, formula_column)
        if source is not None
        else FormulaFile(_given(formulas or []), has_ids=False)
    )
    if templates == "aflow":
        library = TemplateLibrary.from_aflow()
    else:
        if not Path(templates).exists():
            raise InputError(f"there are no templates at {templates}", "allowed: aflow, a file or a folder")
        library = TemplateLibrary.from_path(Path(templates))
    maker = _Maker(library, out, max_emd, tries, relax, steps, energy)
    say = progress(quiet)
    records: list[dict[str, object]] = []
    stopped: KeyboardInterrupt | OSError | None = None
    with file:
        try:
            for row in file.rows:
                record = maker.make(row)
                records.append({"id": row.id or "", **record} if file.has_ids else record)
                if say is not None:
                    say(f"{len(records)}: {record['formula']}: {record['cif'] or record['reason']}")
        except (KeyboardInterrupt, OSError) as error:
            stopped = error
    if not records and stopped is None:
        raise InputError("the input has no rows", "give at least one formula")
    header = ("id", *COLUMNS) if file.has_ids else COLUMNS
    if stopped is not None:
        _stop(stopped, table, header, records)
    _write(table, header, records)
    made = sum(record["cif"] is not None for record in records)
    if as_json:
        print_json(records)
    note(f"{made} of {len(records)} formulas have a crystal: {table}")


def _holds_cifs(out: Path, read: Path) -> bool:
    """Return whether CIFs that are read lie where CIFs are written."""
    folder = read if read.is_dir() else read.parent if read.suffix.lower() == ".cif" and read.is_file() else None
    return folder is not None and out.is_dir() and out.samefile(folder) and any(out.glob("*.cif"))


def _write(table: Path, header: tuple[str, ...], records: list[dict[str, object]]) -> None:
    from aldesign.files import write_csv

    write_csv(table, header, ([_cell(value) for value in record.values()] for record in records))


def _stop(
    cause: KeyboardInterrupt | OSError, table: Path, header: tuple[str, ...], records: list[dict[str, object]]
) -> None:
    """Save the rows done so far, in the table or else on standard output, and raise what stopped the work."""
    done = f"{table} holds the first {len(records)} rows"
    try:
        _write(table, header, records)
    except OSError as error:
        done = f"{table} cannot be written ({error.strerror}): the first {len(records)} rows are printed instead"
        print_rows(header, [[_cell(value) for value in record.values()] for record in records])
    if isinstance(cause, KeyboardInterrupt):
        raise InterruptedRunError(f"interrupted: {done}", "give the same command again") from cause
    at = f" ({cause.filename})" if cause.filename else ""
    raise AldesignError(
        f"{cause.strerror or cause}{at}: {done}", "mend that, free some space for instance, and give the command again"
    ) from cause


def _given(texts: list[str]) -> Iterator[InputRow]:
    from aldesign.datasets.formulas import parse_texts

    return iter(parse_texts(texts))


class _Maker:
    """Makes the row of one formula; equal formulas are made once."""

    def __init__(
        self, library: TemplateLibrary, out: Path, max_emd: float, tries: int, relax: bool, steps: int, energy: bool
    ) -> None:
        self._library = library
        self._out = out
        self._max_emd = max_emd
        self._tries = tries
        self._relax = relax
        self._steps = steps
        self._energy = energy
        self._done: dict[str, dict[str, object]] = {}

    def make(self, row: InputRow) -> dict[str, object]:
        """Return the row of `structures.csv`, its CIF written."""
        if row.formula is None:
            from aldesign.structures.build import StructureRow

            return {**StructureRow(row.text, reason=row.error).as_record(), "cif": None}
        if row.formula not in self._done:
            self._done[row.formula] = self._new(row.formula)
        return self._done[row.formula]

    def _new(self, formula: str) -> dict[str, object]:
        from aldesign.structures.build import build

        (row,) = build(
            [formula],
            self._library,
            max_emd=self._max_emd,
            tries=self._tries,
            energy=self._energy,
            relax=self._relax,
            steps=self._steps,
            out=self._out,
        )
        notes = [row.reason] if row.reason else list(row.assignment.warnings if row.assignment else ())
        if row.relaxed and row.energy is not None and not row.energy.converged:
            notes.append(f"relaxation did not converge in {self._steps} steps")
        cells = {key: round(value, 4) if isinstance(value, float) else value for key, value in row.as_record().items()}
        return {**cells, "cif": row.cif or None, "reason": "; ".join(notes)}


def _cell(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value
