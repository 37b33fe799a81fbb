"""Relaxation of many crystals side by side: each step asks the potential about all that are not done yet.

Positions and the logarithm of the deformation are moved together by FIRE, as ASE's `FrechetCellFilter` and `FIRE` do;
Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from aldesign.errors import StructureError
from aldesign.structures.energy.potential import Answer, Cell, evaluate

POOL = 64  # crystals under way at once
WEIGHT = 20_000  # edges and angles of one pass, those of some 100 atoms; more fall out of the processor's cache
MAX_VOLUME_RATIO = 2.0
# FIRE's constants as in the paper and in ASE
_DT, _DT_MAX, _MAX_STEP = 0.1, 1.0, 0.2
_WAIT, _GROW, _SHRINK, _MIX, _MIX_FADE = 5, 1.1, 0.5, 0.1, 0.99


@dataclass(eq=False)
class Fire:
    """The memory of one descent."""

    velocity: np.ndarray | None = None
    dt: float = _DT
    mix: float = _MIX
    downhill: int = 0

    def move(self, force: np.ndarray) -> np.ndarray:
        """Return the next displacement for a force, both of one shape."""
        if self.velocity is None:
            self.velocity = np.zeros_like(force)
        elif np.vdot(force, self.velocity) > 0.0:
            along = force * (np.linalg.norm(self.velocity) / np.linalg.norm(force))
            self.velocity = (1.0 - self.mix) * self.velocity + self.mix * along
            if self.downhill > _WAIT:
                self.dt = min(self.dt * _GROW, _DT_MAX)
                self.mix *= _MIX_FADE
            self.downhill += 1
        else:
            self.velocity[:] = 0.0
            self.mix = _MIX
            self.dt *= _SHRINK
            self.downhill = 0
        self.velocity += self.dt * force
        step = self.dt * self.velocity
        length = float(np.linalg.norm(step))
        return step * (_MAX_STEP / length) if length > _MAX_STEP else step


@dataclass(eq=False)
class Run:
    """One crystal on its way.

    Attributes:
        place: Its position in the list that was asked.
        cell: Where it is now.
        steps: Steps taken.
        seconds: Its share of the time so far.
        energy_ev: Of the cell, at the last evaluation.
        converged: Whether all forces are below the threshold.
        error: Why it was given up.

    """

    place: int
    cell: Cell
    steps: int = 0
    seconds: float = 0.0
    energy_ev: float = float("nan")
    converged: bool = False
    error: str = ""
    _fire: Fire = field(default_factory=Fire)
    _volume: float = 0.0

    def __post_init__(self) -> None:
        self._volume = self.volume

    @property
    def volume(self) -> float:
        """Volume of the cell in Å³."""
        return float(abs(np.linalg.det(self.cell.vectors)))

    @property
    def volume_ratio(self) -> float:
        """Volume over that of the start."""
        return self.volume / self._volume

    def advance(self, answer: Answer, relax: bool, steps: int, fmax: float) -> bool:
        """Take in an answer and move on; return whether this crystal is done.

        Raises:
            StructureError: The numbers are not finite or the cell ran away.

        """
        self.energy_ev = answer.energy_ev
        force = answer.forces
        if relax:
            # the logarithm of the deformation is stretched by the number of atoms, as ASE does, to weigh like them
            force = np.vstack([force, answer.cell_force / len(force)])
        if not (np.isfinite(answer.energy_ev) and np.isfinite(force).all()):
            raise StructureError("the potential gave numbers that are not finite")
        if not 1 / MAX_VOLUME_RATIO < self.volume_ratio < MAX_VOLUME_RATIO:
            raise StructureError(
                f"the cell did not hold: its volume went to {self.volume_ratio:.2f} of the start in {self.steps} steps"
            )
        self.converged = bool(np.linalg.norm(force, axis=1).max() < fmax)
        if self.converged or not relax or self.steps >= steps:
            return True
        move = self._fire.move(force)
        self.cell.positions = self.cell.positions + move[:-3]
        self.cell.log_deformation = self.cell.log_deformation + move[-3:] / len(answer.forces)
        self.steps += 1
        return False


def run_all(
    runs: Sequence[Run],
    relax: bool,
    steps: int,
    fmax: float,
    limit_s: float | None = None,
    done: Callable[[Run], None] | None = None,
) -> None:
    """Bring every run to its end, in place; one that fails carries its error and leaves the others alone.

    Args:
        runs: Crystals at their start.
        relax: Whether to move at all.
        steps: Steps at most, of each.
        fmax: Largest force at the end, eV/Å; that on the cell, per atom, included.
        limit_s: Wall time after which those under way stop where they are and those waiting are given up.
        done: Called with each run as it ends.

    """
    end = None if limit_s is None else time.monotonic() + limit_s
    waiting = list(reversed(runs))
    active: list[Run] = []
    while active or waiting:
        while waiting and len(active) < POOL:
            active.append(waiting.pop())
        leaving: list[Run] = []
        if end is not None and time.monotonic() > end:
            steps = 0  # a last look at those under way, where they are
            leaving, waiting = waiting[::-1], []
            for run in leaving:
                run.error = f"its turn did not come within {limit_s:g} s"
        staying = [run for part in _parts(_healthy(active)) for run in _advance(part, relax, steps, fmax)]
        stays = {run.place for run in staying}
        if done is not None:
            for run in [*(run for run in active if run.place not in stays), *leaving]:
                done(run)
        active = staying


def _healthy(runs: Sequence[Run]) -> list[Run]:
    """Return the runs whose neighbours are known; the others carry their error."""
    found: list[Run] = []
    for run in runs:
        start = time.perf_counter()
        try:
            run.cell.pairs()
            found.append(run)
        except Exception as error:  # one bad crystal must not sink the rest, whatever a library raises
            run.error = told(error)
        run.seconds += time.perf_counter() - start
    return found


def _parts(runs: Sequence[Run]) -> list[list[Run]]:
    """Return the runs in groups of some `WEIGHT` edges and angles, in order."""
    parts: list[list[Run]] = []
    size = 0
    for run in runs:
        weight = run.cell.pairs().weight
        if not parts or size + weight > WEIGHT:
            parts.append([])
            size = 0
        parts[-1].append(run)
        size += weight
    return parts


def _advance(part: list[Run], relax: bool, steps: int, fmax: float) -> list[Run]:
    """Ask about a group and move it on; return those that are not done."""
    start = time.perf_counter()
    staying: list[Run] = []
    for run, answer in zip(part, _answers(part), strict=True):
        try:
            if isinstance(answer, str):
                run.error = answer
            elif not run.advance(answer, relax, steps, fmax):
                staying.append(run)
        except Exception as error:  # as above
            run.error = told(error)
    share = (time.perf_counter() - start) / len(part)
    for run in part:
        run.seconds += share
    return staying


def _answers(runs: Sequence[Run]) -> list[Answer | str]:
    """Return the potential's answers; where a group fails, each is asked alone to find the culprit."""
    try:
        return list(evaluate([run.cell for run in runs]))
    except Exception as error:  # as above
        if len(runs) == 1:
            return [told(error)]
    return [answer for run in runs for answer in _answers([run])]


def told(error: Exception) -> str:
    """Return why a crystal has no energy, in words."""
    return error.message if isinstance(error, StructureError) else f"{type(error).__name__}: {error}"
