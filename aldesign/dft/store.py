"""Results on disk, found again for the same crystal in any setting of its cell; safe for several processes at once."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from aldesign.dft.cells import primitive
from aldesign.dft.jobs import Limits
from aldesign.dft.results import Result, crystal_from_json, crystal_to_json
from aldesign.dft.settings import Settings
from aldesign.errors import AldesignError, CalculationError, InputError
from aldesign.records import Crystal
from aldesign.structures.cif import formula_of, to_pymatgen

FORMAT = 1
REMEMBERED = ("convergence", "structure")
"""Failures that would come again, whatever time, memory and disk there is."""
LENGTH = 1e-3
"""Cells whose edges differ by a larger share are different crystals."""
_ANGLE = 0.1  # degrees
_SITE = 0.005  # root mean square displacement over the cube root of the volume per atom
_APPLICATION = 0x616C6466  # marks the file as ours, in SQLite's header
_WAIT_SECONDS = 60.0  # for another process that writes
_TABLES = (
    """entry (
        number INTEGER PRIMARY KEY, formula TEXT NOT NULL, sites INTEGER NOT NULL, settings TEXT NOT NULL,
        cell TEXT NOT NULL, content TEXT, failure TEXT, written REAL NOT NULL)""",
    """place (
        key TEXT NOT NULL, settings TEXT NOT NULL, entry INTEGER NOT NULL REFERENCES entry,
        PRIMARY KEY (key, settings)) WITHOUT ROWID""",
)


class ResultStore:
    """One SQLite file of results and of failures that would come again.

    A crystal is looked for as it stands first, and then among all of its formula computed with equal settings by
    pymatgen's ``StructureMatcher`` (primitive cells, not scaled): a supercell, another choice of axes, shifted or
    renumbered sites find the same entry; a cell whose edges differ by more than `LENGTH` does not.

    Args:
        path: The file; made where there is none.

    Raises:
        InputError: The file is no store, is damaged, comes from a newer version, or cannot be made.

    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise InputError(f"the store of results {self.path} is a folder", "name a file, or move the folder away")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._open() as base:
                self._begin(base)
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be made: {error.strerror}", "choose a place that may be written"
            ) from error
        except sqlite3.OperationalError as error:  # locked, full, or not to be written
            raise InputError(
                f"{self.path} cannot be opened: {error}", "is there room, and may it be written?"
            ) from error
        except sqlite3.DatabaseError as error:
            raise InputError(
                f"{self.path} is damaged or no store of results: {error}", "move it away, or name another file"
            ) from error

    def find(self, crystal: Crystal, settings: Settings) -> Result | CalculationError | None:
        """Return the result of a crystal, or why it has none if another try would fail as well; None otherwise.

        Raises:
            CalculationError: The cell is impossible.
            AldesignError: The file cannot be read.

        """
        number = self._find(crystal, settings)
        if number is None:
            return None
        with self._reading() as base:
            row = base.execute("SELECT content, failure FROM entry WHERE number = ?", (number,)).fetchone()
        content, failure = row if row is not None else (None, None)
        try:
            if content is not None:
                return Result.from_json(json.loads(content))
            if failure is None:
                return None
            told = json.loads(failure)
            return CalculationError(told["kind"], told["message"], told["hint"])
        except (ValueError, KeyError, TypeError) as error:
            raise AldesignError(
                f"{self.path}: what it holds of {formula_of(crystal)} is damaged: {error}", "move the file away"
            ) from error

    def get(self, crystal: Crystal, settings: Settings) -> Result | None:
        """Return the result of a crystal; None where there is none. Raises as `find`."""
        found = self.find(crystal, settings)
        return found if isinstance(found, Result) else None

    def failure(self, crystal: Crystal, settings: Settings) -> CalculationError | None:
        """Return why a crystal gave no result before; None where another try may succeed. Raises as `find`."""
        found = self.find(crystal, settings)
        return found if isinstance(found, CalculationError) else None

    def put(self, crystal: Crystal, result: Result) -> None:
        """Write down the result of a crystal; it takes the place of an earlier one or of a failure.

        Raises:
            AldesignError: The file cannot be written; nothing in it has changed.

        """
        self._enter(crystal, result.settings, json.dumps(result.to_json(), allow_nan=False), None)

    def put_failure(self, crystal: Crystal, settings: Settings, error: CalculationError, limits: Limits) -> bool:
        """Write down a failure that would come again; return whether it is one.

        Raises:
            AldesignError: The file cannot be written; nothing in it has changed.

        """
        if error.kind not in REMEMBERED:
            return False
        told = {"kind": error.kind, "message": error.message, "hint": error.hint, "limits": asdict(limits)}
        self._enter(crystal, settings, None, json.dumps(told))
        return True

    def results(self, settings: Settings | None = None) -> Iterator[Result]:
        """Yield every result, or those with `settings`, in the order they were entered."""
        with self._reading() as base:
            rows = base.execute(
                "SELECT number FROM entry WHERE content IS NOT NULL AND coalesce(?, settings) = settings "
                "ORDER BY number",
                (None if settings is None else settings.digest,),
            ).fetchall()
        for (number,) in rows:
            with self._reading() as base:
                found = base.execute("SELECT content FROM entry WHERE number = ?", (number,)).fetchone()
            yield Result.from_json(json.loads(found[0]))

    def known(self, settings: Settings) -> set[str]:
        """Return the keys (`crystal_key`) of crystals that have a result with `settings`."""
        with self._reading() as base:
            rows = base.execute(
                "SELECT key FROM place JOIN entry ON entry = number WHERE place.settings = ? AND content IS NOT NULL",
                (settings.digest,),
            )
            return {key for (key,) in rows}

    def __len__(self) -> int:
        with self._reading() as base:
            (count,) = base.execute("SELECT count(*) FROM entry WHERE content IS NOT NULL").fetchone()
        return int(count)

    def _find(self, crystal: Crystal, settings: Settings) -> int | None:
        """Return the entry of a crystal; one found by comparing structures is found at once the next time."""
        key = crystal_key(crystal)
        with self._reading() as base:
            number = _placed(base, key, settings)
        if number is None:
            number = self._like(primitive(crystal), settings)
            if number is not None:
                self._remember(key, settings, number)
        return number

    def _like(self, cell: Crystal, settings: Settings) -> int | None:
        """Return the entry whose primitive cell matches `cell`."""
        with self._reading() as base:
            rows = base.execute(
                "SELECT number, cell FROM entry WHERE formula = ? AND sites = ? AND settings = ? ORDER BY number",
                (formula_of(cell), len(cell), settings.digest),
            ).fetchall()
        return next((number for number, text in rows if same(cell, crystal_from_json(json.loads(text)))), None)

    def _remember(self, key: str, settings: Settings, number: int) -> None:
        with suppress(AldesignError), self._writing() as base:  # only a short cut: without it the search is slower
            base.execute("INSERT OR IGNORE INTO place VALUES (?, ?, ?)", (key, settings.digest, number))

    def _enter(self, crystal: Crystal, settings: Settings, content: str | None, failure: str | None) -> None:
        cell, key, now = primitive(crystal), crystal_key(crystal), time.time()
        like = self._like(cell, settings)
        with self._writing() as base:
            number = _placed(base, key, settings)
            number = like if number is None else number
            if number is None:
                row = (formula_of(cell), len(cell), settings.digest, json.dumps(crystal_to_json(cell)), now)
                number = base.execute(
                    "INSERT INTO entry (formula, sites, settings, cell, written) VALUES (?, ?, ?, ?, ?)", row
                ).lastrowid
            if content is not None:
                base.execute(
                    "UPDATE entry SET content = ?, failure = NULL, written = ? WHERE number = ?",
                    (content, now, number),
                )
            else:  # never instead of a result
                base.execute(
                    "UPDATE entry SET failure = ?, written = ? WHERE number = ? AND content IS NULL",
                    (failure, now, number),
                )
            base.execute("INSERT OR REPLACE INTO place VALUES (?, ?, ?)", (key, settings.digest, number))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection of its own to each use: for threads and forked processes alike."""
        base = sqlite3.connect(self.path, timeout=_WAIT_SECONDS, isolation_level=None)
        try:
            base.execute("PRAGMA synchronous=FULL")
            yield base
        finally:
            base.close()

    def _begin(self, base: sqlite3.Connection) -> None:
        (mark,) = base.execute("PRAGMA application_id").fetchone()
        (form,) = base.execute("PRAGMA user_version").fetchone()
        (tables,) = base.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and mark != _APPLICATION:
            raise InputError(f"{self.path} is no store of results, but another database", "name another file")
        if form > FORMAT:
            raise InputError(
                f"{self.path} has format {form}; this version reads up to {FORMAT}", "use a newer aldesign"
            )
        if form == FORMAT:
            return
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("BEGIN IMMEDIATE")
        for table in _TABLES:
            base.execute(f"CREATE TABLE IF NOT EXISTS {table}")
        base.execute("CREATE INDEX IF NOT EXISTS kind ON entry (formula, settings)")
        base.execute(f"PRAGMA application_id={_APPLICATION}")
        base.execute(f"PRAGMA user_version={FORMAT}")
        base.execute("COMMIT")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._open() as base:
                yield base
        except sqlite3.Error as error:
            raise AldesignError(
                f"{self.path} cannot be read: {error}",
                "is the disk full? If not, the file may be damaged: move it away, or name another",
            ) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._open() as base:
                base.execute("BEGIN IMMEDIATE")
                yield base
                base.execute("COMMIT")
        except sqlite3.Error as error:
            raise AldesignError(
                f"{self.path} could not be written: {error}", "make room for it; what it holds is kept"
            ) from error


def crystal_key(crystal: Crystal) -> str:
    """Return 32 hexadecimal digits that name a crystal as it stands: its cell, its sites and their order."""
    lattice = ",".join(f"{x:.6f}" for x in crystal.lattice)
    sites = ";".join(
        f"{symbol},{x % 1.0:.6f},{y % 1.0:.6f},{z % 1.0:.6f}"
        for symbol, (x, y, z) in zip(crystal.species, crystal.frac.tolist(), strict=True)
    )
    return hashlib.sha256(f"{lattice}|{sites}".encode()).hexdigest()[:32]


def same(cell: Crystal, other: Crystal) -> bool:
    """Return whether two primitive cells are of one crystal, edges within `LENGTH`."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(ltol=LENGTH, stol=_SITE, angle_tol=_ANGLE, primitive_cell=False, scale=False)
    return bool(matcher.fit(to_pymatgen(cell), to_pymatgen(other)))


def _placed(base: sqlite3.Connection, key: str, settings: Settings) -> int | None:
    row = base.execute("SELECT entry FROM place WHERE key = ? AND settings = ?", (key, settings.digest)).fetchone()
    return None if row is None else int(row[0])
