"""Stands in for pw.x and projwfc.x: reads their inputs, answers with `cosine_bands` in their formats.

``python pretended_pw.py MODE PROGRAM -in FILE``; MODE is well, stuck, broken, metal or no-projections.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
from cosine_bands import FERMI, eigenvalues, mesh

HARTREE = 27.211386245988
BOHR = 0.529177210903


def main(mode: str, program: str, file: str) -> int:
    text = Path(file).read_text()
    data = dict(re.findall(r"^\s*(\w+)\s*=\s*'?([^'\n]*)", text, re.MULTILINE))
    if program == "projwfc.x":
        return project(mode, Path(data["filproj"]))
    say("     Program PWSCF v.7.0 starts")
    if mode == "broken":
        say(" %%%%%%%%%%%%\n     Error in routine davcio (10):\n     error while reading\n %%%%%%%%%%%%")
        return 1
    lines = [line.split() for line in text.splitlines()]
    start = next(i for i, line in enumerate(lines) if line and line[0] == "K_POINTS")
    if lines[start][1] == "automatic":
        points = mesh(tuple(int(x) for x in lines[start + 1][:3]))
    else:
        points = np.array(lines[start + 2 : start + 2 + int(lines[start + 1][0])], dtype=float)[:, :3]
    start = next(i for i, line in enumerate(lines) if line and line[0] == "CELL_PARAMETERS")
    cell = np.array(lines[start + 1 : start + 4], dtype=float) / BOHR
    spins, electrons = int(data["nspin"]), 8.0
    energies = eigenvalues(points, int(data["nbnd"]), electrons, shift=2.5 if mode == "metal" else 0.0)
    if mode == "stuck":
        say(f"     convergence NOT achieved after {data['electron_maxstep']} iterations: stopping")
        return 2
    write(data["calculation"], cell, points, energies, spins, electrons)
    return 0


def write(task: str, cell: np.ndarray, points: np.ndarray, energies: np.ndarray, spins: int, electrons: float) -> None:
    alat = float(np.linalg.norm(cell[0]))
    cartesian = points @ np.linalg.inv(cell).T * alat
    blocks = "".join(
        f'<ks_energies><k_point weight="{2 / len(points)}">{row(k)}</k_point>'
        f'<eigenvalues size="{spins * len(e)}">{row(np.tile(e, spins) / HARTREE)}</eigenvalues></ks_energies>\n'
        for k, e in zip(cartesian, energies, strict=True)
    )
    vectors = "".join(f"<a{i + 1}>{row(vector)}</a{i + 1}>" for i, vector in enumerate(cell))
    folder = Path("crystal.save")
    folder.mkdir(exist_ok=True)
    (folder / "shape").write_text(f"{spins} {len(points)} {energies.shape[1]}")
    (folder / "data-file-schema.xml").write_text(
        f"""<?xml version="1.0" encoding="UTF-8"?>
<qes:espresso xmlns:qes="http://www.quantum-espresso.org/ns/qes/qes-1.0">
<general_info><creator NAME="PWSCF" VERSION="7.0">XML file</creator></general_info>
<input><control_variables><calculation>{task}</calculation></control_variables></input>
<output>
<convergence_info><scf_conv><convergence_achieved>{str(task == "scf").lower()}</convergence_achieved>
<n_scf_steps>7</n_scf_steps></scf_conv></convergence_info>
<atomic_structure nat="2" alat="{alat}"><cell>{vectors}</cell></atomic_structure>
<total_energy><etot>-10.0</etot><demet>-0.5</demet></total_energy>
<magnetization><total>0.0</total></magnetization>
<band_structure><lsda>{"true" if spins == 2 else "false"}</lsda><nelec>{electrons}</nelec>
<fermi_energy>{FERMI / HARTREE}</fermi_energy>
{blocks}</band_structure>
</output>
</qes:espresso>
"""
    )


def project(mode: str, prefix: Path) -> int:
    if mode == "no-projections":
        say(" %%%%%%%%%%%%\n     Error in routine projwave (1):\n     no orbitals\n %%%%%%%%%%%%")
        return 1
    spins, points, bands = (int(x) for x in (Path("crystal.save") / "shape").read_text().split())
    for end in ("up", "down")[:spins]:
        lines = ["title", f" 4 {points} {bands}", " F F"]
        for orbital, momentum in enumerate((0, 1, 1, 1)):
            lines.append(f" {orbital + 1} 1 Si 3{'sp'[momentum]} 1 {momentum} 1")
            lines += [f" {k + 1} {b + 1} 0.2" for k in range(points) for b in range(bands)]
        Path(f"{prefix}.projwfc_{end}").write_text("\n".join(lines) + "\n")
    return 0


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def row(values: np.ndarray) -> str:
    return " ".join(f"{value:.15e}" for value in values)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[4]))
