"""Stands in for VASP: reads INCAR and KPOINTS, answers with `cosine_bands` in a vasprun.xml made from a real one.

``python pretended_vasp.py TEMPLATE MODE``; MODE is well, stuck, broken or metal.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from cosine_bands import FERMI, eigenvalues, mesh

PROJECTED = (0.4, 0.1, 0.1, 0.1, 0.02, 0.02, 0.02, 0.02, 0.02)  # s, three p, five d, of each of two atoms


def main(template: str, mode: str) -> int:
    if mode == "broken":
        sys.stdout.write("VERY BAD NEWS! internal error in subroutine IBZKPT\n")
        return 1
    incar = dict(line.replace(" ", "").split("=", 1) for line in Path("INCAR").read_text().splitlines() if "=" in line)
    if incar.get("ICHARG") == "11" and not Path("CHGCAR").is_file():
        sys.stdout.write("ERROR: charge density could not be read from file CHGCAR for ICHARG>10\n")
        return 1
    lines = Path("KPOINTS").read_text().splitlines()
    if lines[2].strip().lower().startswith("g"):
        points = mesh(tuple(int(x) for x in lines[3].split()))
    else:
        points = np.array([line.split()[:3] for line in lines[3 : 3 + int(lines[1])]], dtype=float)
    write(template, mode, incar, points)
    Path("CHGCAR").write_text("density\n")
    return 0


def write(template: str, mode: str, incar: dict[str, str], points: np.ndarray) -> None:
    tree = ElementTree.parse(template)
    root = tree.getroot()
    for name, rows in (("kpointlist", points), ("weights", np.full((len(points), 1), 1 / len(points)))):
        listed = root.find(f"kpoints/varray[@name='{name}']")
        listed.clear()
        listed.set("name", name)
        add_rows(listed, rows, "v")
    most = int(incar["NELM"])
    root.find("parameters/separator/separator/i[@name='NELM']").text = str(most)
    for place in root.findall("incar/i"):
        if place.get("name") == "LEPSILON":
            root.find("incar").remove(place)
    calculation = root.find("calculation")
    steps = calculation.findall("scstep")
    for step in steps[13:]:
        calculation.remove(step)
    if mode == "stuck":
        for _ in range(most - 13):
            calculation.insert(0, steps[12])
    bands, spins = int(incar["NBANDS"]), int(incar["ISPIN"])
    energies = eigenvalues(points, bands, 8.0, shift=2.5 if mode == "metal" else 0.0)
    for old in calculation.findall("eigenvalues"):
        calculation.remove(old)
    calculation.find("dos/i[@name='efermi']").text = str(FERMI)
    values = np.stack([energies, energies < FERMI], axis=-1)
    add_array(calculation, "eigenvalues", ("eigene", "occ"), np.stack([values] * spins))
    projected = ElementTree.SubElement(calculation, "projected")
    rows = np.broadcast_to(np.array(PROJECTED), (spins, len(points), bands, 2, 9))
    add_array(projected, "", ("s", "py", "pz", "px", "dxy", "dyz", "dz2", "dxz", "x2-y2"), rows)
    tree.write("vasprun.xml")


def add_array(parent: ElementTree.Element, name: str, fields: tuple[str, ...], values: np.ndarray) -> None:
    holder = ElementTree.SubElement(parent, name) if name else parent
    array = ElementTree.SubElement(holder, "array")
    for field in fields:
        ElementTree.SubElement(array, "field").text = field
    spin = "spin " if name else "spin"  # VASP writes it in two ways
    add_sets(ElementTree.SubElement(array, "set"), values, (spin, "kpoint ", "band "))


def add_sets(parent: ElementTree.Element, values: np.ndarray, names: tuple[str, ...]) -> None:
    if values.ndim == 2:
        add_rows(parent, values, "r")
        return
    for number, part in enumerate(values, start=1):
        comment = f"{names[0]}{number}"
        add_sets(ElementTree.SubElement(parent, "set", comment=comment), part, names[1:])


def add_rows(parent: ElementTree.Element, rows: np.ndarray, tag: str) -> None:
    for row in rows:
        ElementTree.SubElement(parent, tag).text = " ".join(f"{float(x):.8f}" for x in row)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
