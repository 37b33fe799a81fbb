"""``aldesign structures``: a crystal for each formula, by substitution into the nearest template."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aldesign.cli.output import FormulaColumn, Json, Quiet, note, print_json, print_rows, progress
from aldesign.errors import AldesignError, InputError, InterruptedRunError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aldesign.datasets.formulas import InputRow
    from aldesign.execution import Workers
    from aldesign.structures.build import StructureRow
    from aldesign.structures.hull import Hull
    from aldesign.structures.making import Recipe

_CHUNK = 64
_GO_ON = "give the same command again: it goes on from there"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(structures)


def structures(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for structures.csv, details.csv and the CIFs.")],
    formulas: Annotated[
        list[str] | None, typer.Argument(metavar="[FORMULA]...", help="Formulas in any spelling.")
    ] = None,
    source: Annotated[Path | None, typer.Option("--input", metavar="FILE", help="CSV, text or JSON lines.")] = None,
    templates: Annotated[
        str,
        typer.Option(
            metavar="aflow|builtin|FILE|FOLDER", help="JSON lines of crystals, a folder of CIFs, or of `data mp`."
        ),
    ] = "aflow",
    max_emd: Annotated[float, typer.Option(min=0.0, help="Largest distance of formula and template.")] = 30.0,
    tries: Annotated[int, typer.Option(min=1, help="How many templates to look at, nearest first.")] = 20,
    candidates: Annotated[
        int, typer.Option(min=1, help="How many crystals to make of a formula; energy and likelihood choose one.")
    ] = 3,
    hull: Annotated[
        Path | None,
        typer.Option(metavar="FILE|FOLDER", help="Known phases: of `data mp`, or formulas and formation energies."),
    ] = None,
    relax: Annotated[
        bool, typer.Option(help="Relax by CHGNet; without it the energy is that of the cell as made.")
    ] = True,
    steps: Annotated[int, typer.Option(min=1, help="Relaxation steps at most.")] = 100,
    energy: Annotated[bool, typer.Option(help="Compute formation energies by CHGNet and crystal_graph_eform.")] = True,
    workers: Annotated[int, typer.Option(min=1, help="Workers for relaxations.")] = 1,
    dask: Annotated[bool, typer.Option("--dask", help="Dask workers on this machine, not plain processes.")] = False,
    address: Annotated[str | None, typer.Option(help="Relax on the workers of this Dask scheduler.")] = None,
    formula_column: FormulaColumn = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Build a crystal for each formula, with its energies, as CIFs and tables; a killed call goes on if repeated."""
    from aldesign.datasets.formulas import FormulaFile, read_formulas
    from aldesign.files import refuse_overwriting
    from aldesign.structures.build import COLUMNS
    from aldesign.structures.making import Recipe

    if bool(formulas) == bool(source):
        raise InputError("give either formulas or --input FILE", "e.g. aldesign structures NaCl --out crystals")
    if hull is not None and not energy:
        raise InputError("--hull needs energies, and --no-energy asks for none", "leave out one of them")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file", "give a folder")
    table = out / "structures.csv"
    refuse_overwriting(table, source)
    refuse_overwriting(out / "details.csv", source)
    for read in (source, hull, Path(templates)):
        if read is not None and _holds_cifs(out, read):
            raise InputError(f"CIFs of {read} could be overwritten: they lie in {out}", "give another --out")
    file = (
        read_formulas(source, formula_column)
        if source is not None
        else FormulaFile(_given(formulas or []), has_ids=False)
    )
    recipe = Recipe(max_emd, tries, candidates, energy, relax, steps)
    header = ("id", *COLUMNS) if file.has_ids else COLUMNS
    records: list[dict[str, object]] = []
    details: list[dict[str, object]] = []
    stopped: KeyboardInterrupt | OSError | None = None
    say = progress(quiet)
    with file, _Maker(templates, hull, out, recipe, _crew(workers, dask, address)) as maker:
        if say is not None:
            for remark in maker.remarks:
                note(remark)
        if maker.found and say is not None:
            note(f"{maker.found} formulas were done before: {out}")
        try:
            for row, made in maker.rows(file.rows):
                record = {**made.as_record(), "cif": made.cif or None}
                record = {key: round(value, 4) if isinstance(value, float) else value for key, value in record.items()}
                records.append({"id": row.id or "", **record} if file.has_ids else record)
                details.append({"id": row.id or "", **made.details} if file.has_ids else dict(made.details))
                if say is not None:
                    say(f"{len(records)}: {record['formula']}: {record['cif'] or record['reason']}")
        except (KeyboardInterrupt, OSError) as error:
            stopped = error
        if not records and stopped is None:
            raise InputError("the input has no rows", "give at least one formula")
        if stopped is not None:
            _stop(stopped, table, header, records)
        _write(table, header, records)
        _write_details(out / "details.csv", details, file.has_ids)
        maker.complete()
    made_count = sum(record["cif"] is not None for record in records)
    if as_json:
        print_json([{**record, "details": detail or None} for record, detail in zip(records, details, strict=True)])
    note(f"{made_count} of {len(records)} formulas have a crystal: {table}")


def _holds_cifs(out: Path, read: Path) -> bool:
    """Return whether CIFs that are read lie where CIFs are written."""
    folder = read if read.is_dir() else read.parent if read.suffix.lower() == ".cif" and read.is_file() else None
    return folder is not None and out.is_dir() and out.samefile(folder) and any(out.glob("*.cif"))


def _write(table: Path, header: tuple[str, ...], records: list[dict[str, object]]) -> None:
    from aldesign.files import write_csv

    write_csv(table, header, ([_cell(value) for value in record.values()] for record in records))


def _write_details(table: Path, details: list[dict[str, object]], ids: bool) -> None:
    from aldesign.files import write_csv
    from aldesign.structures.build import DETAILS

    header = ("id", *DETAILS) if ids else DETAILS
    write_csv(table, header, ([_cell(row.get(column)) for column in header] for row in details if "formula" in row))


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
        raise InterruptedRunError(f"interrupted: {done}", _GO_ON) from cause
    at = f" ({cause.filename})" if cause.filename else ""
    raise AldesignError(
        f"{cause.strerror or cause}{at}: {done}",
        f"mend that, free some space for instance; then {_GO_ON}",
    ) from cause


def _given(texts: list[str]) -> Iterator[InputRow]:
    from aldesign.datasets.formulas import parse_texts

    return iter(parse_texts(texts))


class _Maker:
    """Makes rows in the order of the input, in chunks; equal formulas are made once, and none a second time."""

    def __init__(self, templates: str, hull: Path | None, out: Path, recipe: Recipe, workers: Workers | None) -> None:
        from aldesign.structures.templates import SHIPPED, TemplateLibrary

        if templates not in SHIPPED and not Path(templates).exists():
            raise InputError(
                f"there are no templates at {templates}", f"allowed: {', '.join(SHIPPED)}, a file or a folder"
            )
        self._library = TemplateLibrary.of(templates)
        self._hull = _known_phases(hull)
        self._out, self._recipe = out, recipe
        self._workers = workers
        self._files = ExitStack()
        self.remarks = [f"templates: {text}" for text in self._library.notes]
        if self._hull is not None:
            self.remarks += [f"known phases: {text}" for text in self._hull.notes]

    def __enter__(self) -> _Maker:
        from aldesign.structures.unfinished import Unfinished, held, settings_key

        with ExitStack() as files:
            files.enter_context(held(self._out))
            key = settings_key(self._library.digest, self._recipe, self._hull.digest if self._hull else "")
            self._unfinished = Unfinished(self._out, key)
            self._files = files.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._files:
            if self._workers is not None:
                self._workers.close(at_once=kind is not None)

    @property
    def found(self) -> int:
        """How many formulas an earlier call made."""
        return self._unfinished.found

    def complete(self) -> None:
        """Say that the tables hold every row."""
        self._unfinished.complete()

    def rows(self, source: Iterator[InputRow]) -> Iterator[tuple[InputRow, StructureRow]]:
        """Yield each row of the input with its row of the table, the CIF written."""
        from aldesign.datasets.formulas import chunks
        from aldesign.structures.build import StructureRow, build

        for chunk in chunks(source, _CHUNK):
            wanted = dict.fromkeys(row.formula for row in chunk if row.formula is not None)
            new = [formula for formula in wanted if self._unfinished.get(formula) is None]
            landing = build(new, self._library, self._recipe, hull=self._hull, out=self._out, workers=self._workers)
            for row in chunk:
                if row.formula is None:
                    yield row, StructureRow(row.text, reason=row.error)
                    continue
                made = self._unfinished.get(row.formula)
                if made is None:  # new formulas land in the order of their first rows
                    made = next(landing)
                    self._unfinished.add(made)
                yield row, made


def _crew(workers: int, dask: bool, address: str | None) -> Workers | None:
    """Return who relaxes crystals; None is this process."""
    from functools import partial

    from aldesign.execution import Workers, executor

    if dask or address is not None:
        return Workers(partial(executor, "dask", workers, address=address))
    return Workers(partial(executor, "processes", workers)) if workers > 1 else None


def _known_phases(path: Path | None) -> Hull | None:
    from aldesign.structures.hull import Hull

    if path is not None and not path.exists():
        raise InputError(f"there are no known phases at {path}", "give a folder of `data mp`, or a CSV")
    return None if path is None else Hull.from_path(path)


def _cell(value: object) -> object:
    import json

    if isinstance(value, dict | list):
        return json.dumps(value, separators=(",", ":"))
    return str(value).lower() if isinstance(value, bool) else value
