"""Where a crystal is computed at most once: the store is asked first, then a job is run, and its result kept."""

from __future__ import annotations

import fcntl
import glob
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import NamedTuple

from aldesign.dft.cells import primitive
from aldesign.dft.jobs import Limits, run_job
from aldesign.dft.results import Result
from aldesign.dft.settings import Settings
from aldesign.dft.store import ResultStore
from aldesign.errors import AldesignError, CalculationError
from aldesign.records import Crystal
from aldesign.structures.cif import formula_of


class Answer(NamedTuple):
    """A result, whether it had been computed before, and why the store could not keep it, if so."""

    result: Result
    from_store: bool
    unkept: str = ""


@dataclass(frozen=True)
class Laboratory:
    """A store, the limits of each new calculation, and where it may work.

    Attributes:
        store: Where results are looked for and kept.
        limits: What one calculation may cost.
        scratch: Folder for the calculations' own files; the system's temporary folder where None.
        retry: Whether a crystal that failed in a way that would come again is tried again all the same.
        stop: Once it is set, calculations under way are killed.

    """

    store: ResultStore
    limits: Limits = field(default_factory=Limits)
    scratch: Path | None = None
    retry: bool = False
    stop: Event | None = None

    def compute(self, crystal: Crystal, settings: Settings) -> Result:
        """Return the result of a crystal; see `answer`."""
        return self.answer(crystal, settings).result

    def answer(self, crystal: Crystal, settings: Settings) -> Answer:
        """Return the result of a crystal from the store or from a new calculation, which the store then keeps.

        Processes and threads that ask for the same compound in cells of the same size wait for each other, so that a
        crystal is paid for once; where the file system has no locks, or the machines differ, it may be paid for
        twice, and both results are equal. A result that cannot be kept is returned with a note that says so.

        Raises:
            CalculationError: There is no result; its `kind` and text say why. A result computed with other data sets
                than those that the code would take now is none: energies and gaps would differ.
            AldesignError: The store cannot be read.

        """
        found = self._stored(crystal, settings)
        if found is not None:
            return found
        with _alone(self.store.path, _claim(primitive(crystal), settings)):
            found = self._stored(crystal, settings)  # another may have computed it meanwhile
            return found if found is not None else self._computed(crystal, settings)

    def _stored(self, crystal: Crystal, settings: Settings) -> Answer | None:
        found = self.store.find(crystal, settings)
        if isinstance(found, CalculationError):
            if self.retry:
                return None
            raise found
        if found is None:
            return None
        _refuse_other_data_sets(found, self.store.path)
        return Answer(found, from_store=True)

    def _computed(self, crystal: Crystal, settings: Settings) -> Answer:
        try:
            result = run_job(crystal, settings, self.limits, self.scratch, stop=self.stop)
        except CalculationError as error:
            with suppress(AldesignError):  # the failure itself is what matters
                self.store.put_failure(crystal, settings, error, self.limits)
            raise
        try:
            self.store.put(crystal, result)
        except AldesignError as error:
            told = replace(result, notes=(*result.notes, f"the result is not kept: {error}"))
            return Answer(told, False, str(error))
        return Answer(result, False)


class Archive(Laboratory):
    """A laboratory that computes nothing: what its store does not hold is an error."""

    def _computed(self, crystal: Crystal, settings: Settings) -> Answer:
        raise CalculationError(
            "unavailable", f"{formula_of(crystal)} at {settings.level} was not computed before", "compute it first"
        )


def _refuse_other_data_sets(result: Result, store: Path) -> None:
    """Raise CalculationError where a result was computed with data sets that are no longer those at hand."""
    from aldesign.dft import codes

    now = codes.code(result.settings.code).data_sets(sorted(set(result.crystal.species)), result.settings)
    other = [
        f"{name} was {was}, is {now[name]}"
        for name, was in sorted(result.software.items())
        if now.get(name, was) != was
    ]
    if other:
        raise CalculationError(
            "unavailable",
            f"{store} holds {result.formula} computed with other data sets: {'; '.join(other)}",
            "name another store (option store, or --out), or have the code take the former data sets",
        )


def _claim(cell: Crystal, settings: Settings) -> str:
    text = f"{formula_of(cell)} {len(cell)} {settings.digest}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def _alone(store: Path, name: str) -> Iterator[None]:
    """Keep others who claim the same name out until the block ends, even by a kill."""
    path = store.with_name(f".{store.name}.{name}.lock")
    try:
        handle = _locked(path)
    except OSError:  # no locks here, or nothing may be written
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # while it is held: whoever waits for it sees that it has gone and makes another
        os.close(handle)
        _clear_away(store)


def _clear_away(store: Path) -> None:
    """Remove what claims of killed processes have left behind; nobody holds those."""
    for path in store.parent.glob(f".{glob.escape(store.name)}.*.lock"):
        with suppress(OSError):
            handle = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(handle), path.stat()):
                    path.unlink()
            finally:
                os.close(handle)


def _locked(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
