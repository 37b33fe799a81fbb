"""Matbench's tables of band gaps through matminer's loader.

Dunn et al., npj Comput. Mater. 6, 138 (2020), MIT licence; experimental gaps from Zhuo et al., J. Phys. Chem. Lett. 9,
1668 (2018); calculated gaps from the Materials Project (CC BY 4.0).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.errors import AldesignError, InputError, InterruptedRunError
from aldesign.files import open_atomic, write_csv, write_json

LEVELS = {"matbench_expt_gap": "experiment", "matbench_mp_gap": "PBE"}
_LICENCES = {"matbench_expt_gap": "MIT", "matbench_mp_gap": "MIT; Materials Project CC BY 4.0"}


def fetch_matbench(
    out: Path, name: str = "matbench_expt_gap", *, progress: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Download a Matbench table and write ``labels.csv`` and ``card.json``, with crystals where it has them.

    ``labels.csv`` has ``id, formula, band_gap, level``; ids are Matbench's (``mb-expt-gap-0001`` is the first row),
    by which the official folds are defined. ``structures.jsonl.gz`` holds the crystals of ``matbench_mp_gap``.
    matminer keeps its own copy of the download in the folder that ``MATMINER_DATA`` names and checks its hash.

    Raises:
        InputError: There is no such table.
        AldesignError: It could not be downloaded.
        InterruptedRunError: Ctrl-C.

    """
    if name not in LEVELS:
        raise InputError(f"no Matbench table of gaps is called {name!r}", f"allowed: {', '.join(LEVELS)}")
    if progress is not None:
        progress(f"loading {name} through matminer")
    frame = _load(name)
    prefix = name.replace("matbench", "mb").replace("_", "-")
    digits = 4 if name == "matbench_expt_gap" else 6
    ids = [f"{prefix}-{i:0{digits}d}" for i in range(1, len(frame) + 1)]
    gaps = [float(gap) for gap in frame[_column(frame, name)]]
    if "structure" in frame.columns:
        formulas = _write_crystals(out / "structures.jsonl.gz", ids, list(frame["structure"]))
    else:
        formulas = [str(formula) for formula in frame["composition"]]
    level = LEVELS[name]
    rows = [row for row in zip(ids, formulas, gaps, [level] * len(ids), strict=True) if row[1]]
    write_csv(out / "labels.csv", ("id", "formula", "band_gap", "level"), rows)
    card = {
        "source": f"{name}, Matbench v0.1",
        "licence": _LICENCES[name],
        "citation": "A. Dunn et al., npj Computational Materials 6, 138 (2020)",
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": len(rows),
        "unusable": len(ids) - len(rows),
        "level": level,
        "sha256": hashlib.sha256((out / "labels.csv").read_bytes()).hexdigest(),
    }
    write_json(out / "card.json", card)
    return card


def _load(name: str) -> Any:
    try:
        from matminer.datasets import load_dataset

        # matminer announces its download on standard output, which belongs to the command's own output.
        with redirect_stdout(StringIO()):
            return load_dataset(name)
    except KeyboardInterrupt as error:
        raise InterruptedRunError("the download was interrupted", "give the same command again") from error
    except Exception as error:  # requests, hashes, disks: matminer raises many kinds, UserWarning among them
        text = " ".join(str(error).split())[:300]
        raise AldesignError(
            f"{name} could not be loaded through matminer: {type(error).__name__}: {text}",
            "check the network, or put the file where MATMINER_DATA points",
        ) from error


def _column(frame: Any, name: str) -> str:
    for column in ("gap expt", "gap pbe"):
        if column in frame.columns:
            return column
    raise AldesignError(f"{name} has no known column of gaps: {', '.join(map(str, frame.columns))}")


def _write_crystals(path: Path, ids: list[str], structures: list[Any]) -> list[str]:
    """Write the crystals that are fully occupied; return a formula per row, empty where there is none."""
    from aldesign.structures.cif import formula_of, from_pymatgen

    formulas = []
    with open_atomic(path) as stream:
        for name, structure in zip(ids, structures, strict=True):
            try:
                crystal = from_pymatgen(structure, name)
            except InputError:
                formulas.append("")
                continue
            formulas.append(formula_of(crystal))
            record = {
                "id": name,
                "lattice": [round(x, 8) for x in crystal.lattice],
                "species": list(crystal.species),
                "frac": np.round(crystal.frac, 8).tolist(),
            }
            json.dump(record, stream, separators=(",", ":"))
            stream.write("\n")
    return formulas
