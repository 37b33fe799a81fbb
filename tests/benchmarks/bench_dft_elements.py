"""Make the reference crystals of the elements, and their energies.

``python tests/benchmarks/bench_dft_elements.py crystals OUT.json`` writes the crystals: structures at room temperature
or below as in ASE's table of the elements and pymatgen's AFLOW prototypes, the solids relaxed by CHGNet; molecules with
experimental bond lengths in boxes. Prints how far each volume moved.
``python tests/benchmarks/bench_dft_elements.py energies OUT.json STORE...`` writes their energies with the preset
``production``, from files of results; what is in none of them is computed into the first, or with ``stored`` in the
place of ``energies`` left out.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.dft import setups
from aldesign.dft.cells import primitive
from aldesign.dft.elements import references
from aldesign.dft.jobs import Limits
from aldesign.dft.laboratory import Laboratory
from aldesign.dft.results import crystal_to_json
from aldesign.dft.settings import Settings
from aldesign.dft.store import ResultStore
from aldesign.errors import CalculationError
from aldesign.records import Crystal
from aldesign.structures.energy import evaluate_one
from aldesign.structures.geometry import volume
from aldesign.structures.templates.sources import read_aflow

BOXES = {  # bond length in Å, edges of the box in Å
    "H": (0.741, (6.0, 6.0, 6.7)),
    "N": (1.098, (6.5, 6.5, 7.6)),
    "O": (1.208, (6.5, 6.5, 7.7)),
    "F": (1.412, (6.5, 6.5, 7.9)),
}
PROTOTYPES = {  # AFLOW label, rescaled to the volume per atom in Å³ of the experimental cell
    "B": ("A_hR12_166_2h", 7.28),
    "C": ("A_hP4_194_bc", 8.80),
    "P": ("A_oC8_64_f/A17", 18.99),
    "Ga": ("A_oC8_64_f/A11", 19.6),
    "Se": ("A_hP3_152_a", 27.3),
}
CHAINS = {"Te": (4.457, 5.929, 0.2636)}
"""Edges in Å and the free coordinate, space group 152 (Adenis, Langer and Lindqvist, Acta Cryst. C 45, 941, 1989)."""
# Edges and bond length in Å, space group 64; Cl and Br as in Powell, Heal and Torrie, Mol. Phys. 53, 929 (1984)
HALOGENS = {
    "Cl": ((6.145, 4.395, 8.154), 1.994),
    "Br": ((6.737, 4.548, 8.761), 2.301),
    "I": ((7.136, 4.686, 9.784), 2.715),
}
TILT_DEG = 32.2  # of the molecules from the third edge, as in iodine
CUBIC_OR_HEXAGONAL = {  # where ASE has nothing that `ase.build.bulk` makes, or a larger cell: structure, a, c/a
    "Mn": ("fcc", 3.50, None),
    "Ce": ("fcc", 4.73, None),
    "La": ("fcc", 5.31, None),
    "Pr": ("fcc", 5.16, None),
    "Nd": ("fcc", 5.12, None),
    "Pm": ("fcc", 5.10, None),
    "Sm": ("fcc", 5.06, None),
    "Sn": ("diamond", 6.49, None),
    "He": ("fcc", 4.24, None),
    "Rn": ("fcc", 6.60, None),
}
KEPT = frozenset({"He", "Ne", "Ar", "Kr", "Xe", "Rn", "C", "P", "As", "Se", "Te", "Hg", *HALOGENS})
"""Held together by dispersion in one direction at least, which PBE lacks: left at the experimental cell."""
ABOVE_GROUND = {
    "S": "the ring S8 alone in a box; packing in the crystal is left out, which PBE takes for 0.01 to 0.03 eV/atom",
    "P": "black phosphorus; the Materials Project's PBE puts fibrous and violet forms 0.04 eV/atom lower",
    "Mn": "face-centred and ferromagnetic at the start, not the 29 atoms of alpha-Mn: about 0.075 eV/atom too high",
    "Cr": "one atom a cell, so without its antiferromagnetism: about 0.01 eV/atom too high",
    "Ga": "alpha-Ga, which PBE puts 0.01 eV/atom above its lowest form",
    "In": "body-centred tetragonal, 0.027 eV/atom above the lowest of the Materials Project's PBE",
    "Se": "chains (trigonal), 0.006 eV/atom above the rings of the Materials Project's PBE",
    "Sm": "face-centred, 0.011 eV/atom above the double hexagonal packing",
    "Hg": "rhombohedral; PBE binds mercury by too little to tell its packings apart",
    "Cl": "the crystal at its experimental cell; PBE binds the molecules by some 0.01 eV/atom",
    "Br": "the crystal at its experimental cell",
    "I": "the crystal at its experimental cell",
    "C": "graphite at its experimental cell; PBE does not bind its layers",
    "O": "the molecule, triplet, without the correction for PBE's overbinding of O2 (about 0.4 eV a molecule)",
}
for _symbol in ("Pr", "Nd", "Pm"):
    ABOVE_GROUND[_symbol] = "face-centred in place of the double hexagonal packing: about 0.01 eV/atom too high"
ABOVE_GROUND["Rn"] = "face-centred at a guessed distance; never measured"


def molecule(symbol: str) -> Crystal:
    """Return a dimer along the third edge of a box, or the ring S8."""
    if symbol == "S":
        angle = np.deg2rad(45.0 * np.arange(8))
        ring = np.stack([2.359 * np.cos(angle), 2.359 * np.sin(angle), 0.498 * (-1.0) ** np.arange(8)], axis=1)
        edges = np.array([9.6, 9.6, 6.4])
        positions = ring
    else:
        bond, box = BOXES[symbol]
        edges = np.array(box)
        positions = np.array([[0, 0, -bond / 2], [0, 0, bond / 2]])
    a, b, c = (float(edge) for edge in edges)
    frac = (positions / edges + 0.5) % 1.0
    return Crystal(f"element-{symbol}", (a, b, c, 90.0, 90.0, 90.0), (symbol,) * len(frac), frac)


def prototype(symbol: str) -> Crystal:
    """Return an AFLOW prototype at the element's volume."""
    label, per_atom = PROTOTYPES[symbol]
    found = next(crystal for crystal in read_aflow() if crystal.id == f"aflow/{label}")
    scale = (per_atom * len(found) / volume(found)) ** (1 / 3)
    a, b, c, alpha, beta, gamma = found.lattice
    lattice = (a * scale, b * scale, c * scale, alpha, beta, gamma)
    return Crystal(f"element-{symbol}", lattice, (symbol,) * len(found), found.frac)


def with_free_coordinates(symbol: str) -> Crystal:
    """Return a halogen's or tellurium's crystal from its cell and the free coordinates of its site."""
    from ase.spacegroup import crystal

    if symbol in CHAINS:
        a, c, x = CHAINS[symbol]
        atoms = crystal(symbol, [(x, 0.0, 1 / 3)], spacegroup=152, cellpar=[a, a, c, 90, 90, 120])
    else:
        edges, bond = HALOGENS[symbol]
        tilt = np.deg2rad(TILT_DEG)
        site = (0.0, bond / 2 * np.sin(tilt) / edges[1], bond / 2 * np.cos(tilt) / edges[2])
        atoms = crystal(symbol, [site], spacegroup=64, cellpar=[*edges, 90, 90, 90])
    cell = tuple(float(x) for x in atoms.cell.cellpar())
    species = tuple(atoms.get_chemical_symbols())
    return Crystal(f"element-{symbol}", cell, species, atoms.get_scaled_positions())  # type: ignore[arg-type]


def tabulated(symbol: str) -> Crystal:
    """Return the crystal of ASE's table, or of the one above."""
    from ase.build import bulk

    if symbol in CUBIC_OR_HEXAGONAL:
        name, a, ratio = CUBIC_OR_HEXAGONAL[symbol]
        atoms = bulk(symbol, name, a=a, covera=ratio)
    else:
        atoms = bulk(symbol)
    a, b, c, alpha, beta, gamma = (float(x) for x in atoms.cell.cellpar())
    species = tuple(atoms.get_chemical_symbols())
    return Crystal(f"element-{symbol}", (a, b, c, alpha, beta, gamma), species, atoms.get_scaled_positions())


def made(symbol: str) -> dict[str, Any]:
    """Return an entry of the file."""
    is_molecule = symbol in BOXES or symbol == "S"
    make = molecule if is_molecule else prototype if symbol in PROTOTYPES else tabulated
    if symbol in HALOGENS or symbol in CHAINS:
        make = with_free_coordinates
    start = make(symbol)
    crystal, how = start, "molecule in a box" if is_molecule else "experimental cell"
    if not is_molecule and symbol not in KEPT:
        energy = evaluate_one(start, steps=200, fmax=0.02)
        ratio = volume(energy.crystal) / volume(start)
        fault = energy.error or ("" if energy.converged else "not converged")
        print(f"{symbol:3s} {len(start):3d} volume {ratio:.3f} {fault}")
        if not fault and 0.88 < ratio < 1.12:
            crystal, how = energy.crystal, "relaxed by CHGNet"
    crystal = primitive(replace(crystal, id=f"element-{symbol}"))
    entry = {**crystal_to_json(crystal), "molecule": is_molecule, "geometry": how}
    return {**entry, "note": ABOVE_GROUND.get(symbol, "")}


def crystals(out: Path) -> None:
    """Write the crystals."""
    entries = {symbol: made(symbol) for symbol in sorted(setups.elements())}
    for entry in entries.values():
        entry["lattice"] = [round(x, 5) for x in entry["lattice"]]
        entry["frac"] = [[round(x, 6) for x in row] for row in entry["frac"]]
    lines = ",\n".join(f"  {json.dumps(symbol)}: {json.dumps(entry)}" for symbol, entry in entries.items())
    out.write_text(f'{{"elements": {{\n{lines}\n}}}}\n', encoding="utf-8")


def energies(out: Path, stores: list[ResultStore], compute: bool) -> None:
    """Write the energies; elements without one are named, with the reason."""
    settings = Settings.of("production")
    laboratory = Laboratory(stores[0], Limits(seconds=7200, memory_gib=8))
    entries: dict[str, Any] = {}
    failed: dict[str, str] = {}
    seconds, software = 0.0, {}
    for symbol, reference in references().items():
        wanted = reference.settings(settings)
        found = next((kept for store in stores if (kept := store.get(reference.crystal, wanted))), None)
        if found is None and not compute:
            failed[symbol] = "not computed yet"
            continue
        try:
            result = found or laboratory.compute(reference.crystal, wanted)
        except CalculationError as error:
            failed[symbol] = str(error)
            print(symbol, error, flush=True)
            continue
        entries[symbol] = {
            "ev_per_atom": round(result.energy_ev_per_atom, 5),
            "data_set": result.software[f"data set {symbol}"],
            "moment_mb": round(result.magnetization / len(result.crystal), 3),
        }
        seconds += result.seconds
        software = {name: text for name, text in result.software.items() if not name.startswith("data set")}
    card = {
        "what": "energies of the reference crystals in element_crystals.json, by GPAW at the level PBE",
        "made_by": "tests/benchmarks/bench_dft_elements.py energies",
        "settings": settings.to_json(),
        "molecules": "as above with the k-points that Reference.settings asks for",
        "software": software,
        "seconds": round(seconds),
        "absent": failed,
        "energy_digest": settings.energy_digest,
    }
    head = json.dumps(card, indent=1)[:-2]
    lines = ",\n".join(f"  {json.dumps(symbol)}: {json.dumps(entry)}" for symbol, entry in entries.items())
    out.write_text(f'{head},\n "energies": {{\n{lines}\n }}\n}}\n', encoding="utf-8")
    print(f"{len(entries)} energies, {len(failed)} failed, {seconds:.0f} s of calculations")


if __name__ == "__main__":
    if sys.argv[1] == "crystals":
        crystals(Path(sys.argv[2]))
    else:
        energies(Path(sys.argv[2]), [ResultStore(path) for path in sys.argv[3:]], sys.argv[1] == "energies")
