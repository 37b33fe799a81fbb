"""Crystals with what first principles say of them, in two files: arrays without pickle, and a card of JSON."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aldesign.chemistry.elements import NUMBER, SYMBOLS
from aldesign.errors import CheckpointError
from aldesign.files import atomic_path, write_text
from aldesign.records import Crystal

if TYPE_CHECKING:
    from aldesign.dft.results import Dos

FORMAT = 1
GRID_EV = (-10.0, 15.0, 251)
"""First and last energy and number of energies of every density of states; 0 is the top of the valence band."""
SHELLS = ("s", "p", "d")
_LEVELS = 255  # a density of states keeps so many steps below its maximum
_NUMBERS = (
    *("gap_ev", "direct_gap_ev", "energy_ev_per_atom", "formation_energy_ev_per_atom", "above_hull_ev_per_atom"),
    *("magnetization", "seconds"),
)
_WORDS = ("formula", "prototype", "space_group", "source")


@dataclass(frozen=True, eq=False)
class Computed:
    """A crystal and its computed properties.

    Attributes:
        crystal: The primitive cell computed; its id tells it from the others.
        formula: Canonical reduced formula.
        prototype: Name of its family.
        space_group: International symbol.
        source: ``"textbook"`` for a structure that the compound is known in, else where the formula came from.
        gap_ev: Fundamental gap, 0 for a metal.
        direct_gap_ev: Least vertical gap, 0 for a metal.
        energy_ev_per_atom: On the scale of the code and its data sets.
        formation_energy_ev_per_atom: From elements computed alike; None where one of them is missing.
        above_hull_ev_per_atom: Above the hull of the set's own compounds and the elements' references; None likewise.
            An element's other crystals may lie a little below its reference.
        magnetization: μB per cell.
        seconds: Wall time of the calculation.
    """

    crystal: Crystal
    formula: str
    prototype: str
    space_group: str
    source: str
    gap_ev: float
    direct_gap_ev: float
    energy_ev_per_atom: float
    formation_energy_ev_per_atom: float | None
    above_hull_ev_per_atom: float | None
    magnetization: float
    seconds: float
    _curves: np.ndarray = field(repr=False)  # states per eV and cell (4, 251), NaN beyond the computed bands

    @property
    def dos(self) -> Dos:
        """Return the density of states, total and s, p, d, as far up as bands were computed."""
        from aldesign.dft.results import Dos

        known = np.isfinite(self._curves[0])
        curves = self._curves[:, known].astype(np.float64)
        energies = np.linspace(*GRID_EV)[known]
        return Dos(energies, curves[0], dict(zip(SHELLS, curves[1:], strict=True)))


@dataclass(frozen=True, eq=False)
class ComputedSet:
    """Computed crystals with the card that says how they came about.

    Attributes:
        rows: The crystals, in the order of their plan.
        card: Settings, software, element references, failures, licence and limits.
        digest: First 16 hexadecimal digits of the SHA-256 of the arrays.
    """

    rows: tuple[Computed, ...]
    card: Mapping[str, Any]
    digest: str


def on_grid(dos: Dos) -> np.ndarray:
    """Return a density of states on `GRID_EV`, total and s, p, d, float32 (4, 251); NaN beyond its own grid."""
    energies = np.linspace(*GRID_EV)
    curves = [dos.total, *(dos.projected.get(name, np.zeros(len(dos.total))) for name in SHELLS)]
    found = np.array([np.interp(energies, dos.energies_ev, curve) for curve in curves], dtype=np.float32)
    found[:, (energies < dos.energies_ev[0] - 1e-9) | (energies > dos.energies_ev[-1] + 1e-9)] = np.nan
    return found


def save_computed(rows: Sequence[Computed], card: Mapping[str, Any], path: Path) -> str:
    """Write `path` with the endings ``.safetensors`` and ``.json``; return the digest of the arrays."""
    from safetensors.numpy import save

    arrays = {name: _column([getattr(row, name) for row in rows]) for name in _NUMBERS}
    arrays["lattice"] = np.array([row.crystal.lattice for row in rows])
    arrays["sites"] = np.array([len(row.crystal) for row in rows], dtype=np.uint8)
    arrays["number"] = np.array([NUMBER[s] for row in rows for s in row.crystal.species], dtype=np.uint8)
    arrays["frac"] = np.concatenate([row.crystal.frac for row in rows])
    arrays |= _packed(np.array([row._curves for row in rows]))
    content = save(arrays)
    digest = hashlib.sha256(content).hexdigest()
    words = {name: [getattr(row, name) for row in rows] for name in _WORDS}
    told = {**card, "class": "ComputedSet", "format": FORMAT, "count": len(rows), "sha256": digest}
    told["crystals"] = {"id": [row.crystal.id for row in rows], **words}
    with atomic_path(path.with_suffix(".safetensors")) as temporary:
        temporary.write_bytes(content)
    write_text(path.with_suffix(".json"), json.dumps(told, ensure_ascii=False, indent=1) + "\n")
    return digest[:16]


def load_computed(path: Path) -> ComputedSet:
    """Return what `save_computed` wrote.

    Raises:
        CheckpointError: A file is missing, damaged or of another format.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    files = path.with_suffix(".safetensors"), path.with_suffix(".json")
    try:
        content = files[0].read_bytes()
        card = json.loads(files[1].read_text(encoding="utf-8"))
        if not isinstance(card, dict) or (card.get("class"), card.get("format")) != ("ComputedSet", FORMAT):
            raise CheckpointError(f"{files[1]} is not the card of a computed set of format {FORMAT}")
        digest = hashlib.sha256(content).hexdigest()
        if digest != card["sha256"]:
            raise CheckpointError(f"{files[0]} is not the file that its card describes", "restore or rebuild both")
        arrays = load(content)
        words = card.pop("crystals")
        rows = tuple(_rows(arrays, words))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{error.filename} is missing", "a computed set has a .safetensors and a .json file"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, IndexError, SafetensorError) as error:
        raise CheckpointError(f"the computed set {path} cannot be read: {error}", "restore or rebuild it") from error
    return ComputedSet(rows, card, digest[:16])


def _rows(arrays: Mapping[str, np.ndarray], words: Mapping[str, Sequence[str]]) -> list[Computed]:
    ends = np.cumsum(arrays["sites"], dtype=np.int64)
    curves = _unpacked(arrays)
    found = []
    for i, name in enumerate(words["id"]):
        part = slice(int(ends[i]) - int(arrays["sites"][i]), int(ends[i]))
        a, b, c, alpha, beta, gamma = map(float, arrays["lattice"][i])
        species = tuple(SYMBOLS[z] for z in arrays["number"][part])
        crystal = Crystal(name, (a, b, c, alpha, beta, gamma), species, arrays["frac"][part])
        numbers = {key: _value(arrays[key][i]) for key in _NUMBERS}
        found.append(Computed(crystal, **{key: words[key][i] for key in _WORDS}, **numbers, _curves=curves[i]))  # type: ignore[arg-type]
    return found


def _column(values: Sequence[float | None]) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _value(value: np.floating[Any]) -> float | None:
    return None if np.isnan(value) else float(value)


def _packed(curves: np.ndarray) -> dict[str, np.ndarray]:
    """Return curves (n, 4, 251) as bytes below their maxima; small values keep more digits than large ones."""
    height = np.nanmax(curves, axis=2)
    share = np.sqrt(np.clip(np.nan_to_num(curves), 0.0, None) / np.maximum(height, 1e-30)[:, :, None])
    known = np.isfinite(curves[:, 0])
    spans = np.array([(row.argmax(), len(row) - row[::-1].argmax()) for row in known], dtype=np.int16)
    steps = np.rint(share * _LEVELS).astype(np.uint8)
    return {"dos": steps, "dos_height": height.astype(np.float32), "dos_span": spans}


def _unpacked(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    share = arrays["dos"].astype(np.float32) / _LEVELS
    curves = np.asarray(share * share * arrays["dos_height"][:, :, None])
    places = np.arange(curves.shape[2])
    spans = arrays["dos_span"]
    curves[((places < spans[:, :1]) | (places >= spans[:, 1:]))[:, None, :].repeat(curves.shape[1], axis=1)] = np.nan
    return curves
