"""Relaxation and formation energy of crystals by CHGNet, a universal interatomic potential.

Deng et al., Nature Machine Intelligence 5, 1031 (2023); the weights come with the package `chgnet`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from aldesign.chemistry.elements import NUMBER
from aldesign.errors import StructureError
from aldesign.records import Crystal
from aldesign.structures.energy.potential import MODEL, Cell
from aldesign.structures.energy.references import SCALE, Scale, disagreement, formation_energy, references
from aldesign.structures.energy.relaxation import Run, run_all, told
from aldesign.structures.geometry import lattice_vectors
from aldesign.structures.graphs import MAX_VOLUME_PER_ATOM, MIN_VOLUME_PER_ATOM

__all__ = [
    "FMAX",
    "MAX_SITES",
    "MODEL",
    "POTENTIAL",
    "SCALE",
    "STEPS",
    "Energy",
    "Scale",
    "disagreement",
    "evaluate_many",
    "evaluate_one",
    "formation_energy",
    "references",
]
FMAX = 0.1  # eV/Å
STEPS = 100
MAX_SITES = 200
POTENTIAL = f"CHGNet {MODEL}"
"""Name and version of the potential, for exports."""


@dataclass(frozen=True)
class Energy:
    """What the potential says of one crystal, or why it says nothing.

    Attributes:
        formation_energy_ev_per_atom: On the scale `SCALE`, see `formation_energy`; None with an error.
        energy_ev_per_atom: The potential's energy; None with an error.
        crystal: The crystal as relaxed, or as given.
        relaxed: Whether positions and cell were relaxed.
        converged: Whether all forces ended below `FMAX`; for an unrelaxed crystal, whether they are so.
        steps: Relaxation steps taken.
        volume_ratio: Volume after over volume before.
        seconds: Wall time, of a batch its share.
        error: Why there is no energy; empty on success.

    """

    formation_energy_ev_per_atom: float | None
    energy_ev_per_atom: float | None
    crystal: Crystal
    relaxed: bool
    converged: bool = False
    steps: int = 0
    volume_ratio: float = 1.0
    seconds: float = 0.0
    error: str = ""


def evaluate_one(crystal: Crystal, relax: bool = True, steps: int = STEPS, fmax: float = FMAX) -> Energy:
    """Return the energy of one crystal; whatever goes wrong is told in its `error`.

    The network is loaded once per process and runs on one thread, so that this can be mapped over workers.

    Args:
        crystal: At most 200 sites.
        relax: Whether to relax positions and cell first.
        steps: Relaxation steps at most.
        fmax: Largest force in eV/Å at the end.

    """
    return evaluate_many([crystal], relax, steps, fmax)[0]


def evaluate_many(
    crystals: Sequence[Crystal],
    relax: bool = True,
    steps: int = STEPS,
    fmax: float = FMAX,
    *,
    limit_s: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Energy]:
    """Return the energy of each crystal, in order; a bad one carries its error and does not sink the rest.

    All advance together, a step of each in one pass of the network; those that have converged or failed leave. The
    same list gives the same answers in any process. Its neighbours in the list touch a crystal's answer by rounding
    alone.

    Args:
        crystals: Any number, at most 200 sites each.
        relax: Whether to relax positions and cell first.
        steps: Relaxation steps at most, of each.
        fmax: Largest force in eV/Å at the end.
        limit_s: Wall time for all; what is under way then stays unconverged, what has not begun carries an error.
            With a limit, answers depend on the speed of the machine.
        progress: Called with the number done and the total.

    """
    answers: dict[int, Energy] = {}

    def end(run: Run) -> None:
        answers[run.place] = _energy(crystals[run.place], run, relax)
        if progress is not None:
            progress(len(answers), len(crystals))

    runs: list[Run] = []
    for place, crystal in enumerate(crystals):
        try:
            runs.append(Run(place, _cell(crystal)))
        except Exception as error:  # one bad crystal must not sink the rest, whatever is wrong with it
            answers[place] = Energy(None, None, crystal, False, error=told(error))
    if progress is not None and answers:
        progress(len(answers), len(crystals))
    run_all(runs, relax, steps, fmax, limit_s, end)
    return [answers[place] for place in range(len(crystals))]


def _cell(crystal: Crystal) -> Cell:
    """Return the crystal as the potential takes it.

    Raises:
        StructureError: It is too large, has an unknown element, or spans no volume.

    """
    if len(crystal) > MAX_SITES:
        raise StructureError(f"{len(crystal)} sites are more than {MAX_SITES}")
    if not len(crystal):
        raise StructureError("there are no atoms")
    formation_energy(crystal, 0.0)  # tells of elements without a reference before time is spent on them
    with np.errstate(all="ignore"):
        vectors = lattice_vectors(crystal.lattice)
        size = abs(np.linalg.det(vectors))
        positions = crystal.frac @ vectors
    if not (np.isfinite(positions).all() and size > 0 and min(crystal.lattice[:3]) > 0):
        raise StructureError(f"the lattice {crystal.lattice} spans no volume, or coordinates are not finite")
    if not MIN_VOLUME_PER_ATOM < size / len(crystal) < MAX_VOLUME_PER_ATOM:
        raise StructureError(f"{len(crystal)} atoms in {size:.4g} Å³ are no crystal")
    return Cell(np.array([NUMBER[symbol] for symbol in crystal.species], dtype=np.int64), vectors, positions)


def _energy(crystal: Crystal, run: Run, relax: bool) -> Energy:
    """Return what came of a run."""
    if run.error:
        return Energy(None, None, crystal, False, steps=run.steps, seconds=run.seconds, error=run.error)
    per_atom = run.energy_ev / len(crystal)
    return Energy(
        formation_energy(crystal, per_atom),
        per_atom,
        _moved(crystal, run.cell) if relax else crystal,
        relax,
        run.converged,
        run.steps,
        run.volume_ratio,
        run.seconds,
    )


def _moved(crystal: Crystal, cell: Cell) -> Crystal:
    from pymatgen.core import Lattice

    a, b, c, alpha, beta, gamma = Lattice(cell.vectors).parameters
    # positions and vectors are deformed alike, so that their ratio needs no deformation
    frac = (cell.positions @ np.linalg.inv(cell.cell)) % 1.0
    return Crystal(crystal.id, (a, b, c, alpha, beta, gamma), crystal.species, np.where(frac < 1.0, frac, 0.0))
