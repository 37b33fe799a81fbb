"""What pw.x and projwfc.x of Quantum ESPRESSO leave behind, read back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from aldesign.dft.bands import Bands
from aldesign.dft.pseudopotentials import RYDBERG_EV
from aldesign.dft.results import SHELLS

HARTREE_EV = 2 * RYDBERG_EV
_ERROR = re.compile(r"%%%+\s*\n\s*Error in routine\s+(.*?)\n\s*%%%+", re.DOTALL)


@dataclass(frozen=True, eq=False)
class Output:
    """The content of ``data-file-schema.xml``, which pw.x writes when it is done.

    Attributes:
        bands: Eigenvalues of all k-points.
        energy_ev: Energy of the cell at zero smearing, eV: the mean of the free and the inner energy.
        magnetization: Moment of the cell, μB.
        n_electrons: Valence electrons of the cell.
        iterations: To self-consistency.
        converged: Whether that was reached.
        version: Of pw.x.

    """

    bands: Bands
    energy_ev: float
    magnetization: float
    n_electrons: float
    iterations: int
    converged: bool
    version: str


def read_output(path: Path, task: str = "scf") -> Output:
    """Read a file of pw.x's XML schema, versions 6.2 and later, of a run for ``scf`` or ``bands``.

    Raises:
        ValueError: The file is cut off, has no band structure, or is of another run.

    """
    try:
        tree = ElementTree.parse(path)  # noqa: S314  what the program just wrote
    except (ElementTree.ParseError, OSError) as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    root = tree.getroot()
    out = root.find("output")
    if out is None or out.find("band_structure") is None:
        raise ValueError(f"{path.name} holds no band structure")
    if (found := root.findtext("input/control_variables/calculation", "").strip()) != task:
        raise ValueError(f"{path.name} is of the task {found!r}, not {task!r}")
    free = float(out.findtext("total_energy/etot", "nan"))
    smearing = float(out.findtext("total_energy/demet", "0"))  # -TS
    creator = root.find("general_info/creator")
    return Output(
        bands=_bands(out),
        energy_ev=(free - 0.5 * smearing) * HARTREE_EV,
        magnetization=float(out.findtext("magnetization/total", "0")),
        n_electrons=float(out.findtext("band_structure/nelec", "nan")),
        iterations=int(out.findtext("convergence_info/scf_conv/n_scf_steps", "0")),
        converged=out.findtext("convergence_info/scf_conv/convergence_achieved", "true").strip() == "true",
        version="" if creator is None else creator.get("VERSION", ""),
    )


def _bands(out: ElementTree.Element) -> Bands:
    structure = out.find("band_structure")
    cell = out.find("atomic_structure/cell")
    atoms = out.find("atomic_structure")
    if structure is None or cell is None or atoms is None:
        raise ValueError("the output of pw.x lacks its cell")
    vectors = np.array([_numbers(cell.findtext(name)) for name in ("a1", "a2", "a3")]) / float(atoms.get("alat", "nan"))
    spins = 2 if structure.findtext("lsda", "false").strip() == "true" else 1
    blocks = structure.findall("ks_energies")
    points = np.array([_numbers(block.findtext("k_point")) for block in blocks]) @ vectors.T  # from units of 2π/alat
    weights = np.array([float(block.find("k_point").get("weight")) for block in blocks])  # type: ignore[union-attr,arg-type]
    energies = np.array([_numbers(block.findtext("eigenvalues")) for block in blocks]) * HARTREE_EV
    fermi = structure.findtext("fermi_energy") or structure.findtext("highestOccupiedLevel") or "nan"
    return Bands(
        np.sort(energies.reshape(len(blocks), spins, -1).transpose(1, 0, 2), axis=2),
        points,
        weights / weights.sum(),
        float(fermi) * HARTREE_EV,
    )


def read_projections(folder: Path, prefix: str, shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """Return the squared projections that projwfc.x wrote (``filproj``), summed by angular momentum.

    Args:
        folder: Where the files lie.
        prefix: Their name, as ``filproj``.
        shape: Spins, k-points and bands of the eigenvalues that they belong to.

    Raises:
        ValueError: A file is missing or has another shape.

    """
    files = [folder / f"{prefix}.projwfc_{end}" for end in ("up", "down")[: shape[0]]]
    found: dict[str, np.ndarray] = {}
    for spin, path in enumerate(files):
        if not path.is_file():
            raise ValueError(f"there is no {path.name}")
        for name, values in _projections(path, shape[1:], spins=shape[0]).items():
            found.setdefault(name, np.zeros(shape))[spin] += values
    return found


def _projections(path: Path, shape: tuple[int, int], spins: int) -> Mapping[str, np.ndarray]:
    lines = path.read_text().splitlines()
    # the header ends with: number of orbitals, k-points and bands; then two logicals
    start = next((i for i, line in enumerate(lines) if re.fullmatch(r"\s*[TF]\s+[TF]\s*", line)), None)
    if start is None:
        raise ValueError(f"{path.name} has no projections")
    orbitals, points, bands = (int(text) for text in lines[start - 1].split())
    if (points, bands) not in ((shape[0], shape[1]), (spins * shape[0], shape[1])):
        raise ValueError(f"{path.name} has {points} k-points and {bands} bands, not {shape[0]} and {shape[1]}")
    found: dict[str, np.ndarray] = {}
    block = 1 + shape[0] * shape[1]
    for orbital in range(orbitals):
        begin = start + 1 + orbital * block
        momentum = int(lines[begin].split()[-2])
        values = np.array([float(line.split()[-1]) for line in lines[begin + 1 : begin + block]])
        name = SHELLS[momentum]
        found[name] = found.get(name, 0.0) + values.reshape(shape)
    return found


def error_of(text: str) -> str:
    """Return the first error that a program of Quantum ESPRESSO reports in its output, on one line; empty for none."""
    found = _ERROR.search(text)
    return "" if found is None else " ".join(found.group(1).split())


def _numbers(text: str | None) -> np.ndarray:
    if text is None:
        raise ValueError("the output of pw.x lacks numbers")
    return np.array(text.split(), dtype=np.float64)
