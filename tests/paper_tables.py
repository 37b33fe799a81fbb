"""Small tables in the shape of the paper's, whose gaps follow a rule: three times the difference of electronegativity
between anion and cation, less one."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np

_METALS = "Cs 0.79 Rb 0.82 K 0.82 Ba 0.89 Na 0.93 Sr 0.95 Li 0.98 Ca 1.00 La 1.10 Y 1.22 Mg 1.31 Hf 1.30 Zr 1.33"
_WORDS = f"{_METALS} Sc 1.36 Al 1.61 Zn 1.65 Ga 1.81 Ge 2.01".split()
CATIONS = {symbol: float(value) for symbol, value in zip(_WORDS[::2], _WORDS[1::2], strict=True)}
ANIONS = {"F": 3.98, "O": 3.44, "Cl": 3.16, "N": 3.04, "Br": 2.96, "I": 2.66, "S": 2.58, "Se": 2.55, "P": 2.19}


def rows() -> list[tuple[str, float]]:
    """Return formulas and gaps (eV) of the rule, in a random order."""
    every = [
        (f"{cation}{anion}{count}", round(max(0.0, 3.0 * (ANIONS[anion] - CATIONS[cation]) - 1.0), 4))
        for cation, anion, count in product(CATIONS, ANIONS, ("", "2", "3", "4"))
    ]
    return [every[i] for i in np.random.default_rng(0).permutation(len(every))]


def write_tables(folder: Path) -> Path:
    """Write the five tables into ``folder/agd``; return the folder."""
    given = rows()
    base2, base3 = given[:80], given[80:140]
    tables = {
        "Exp1_42k": given,
        "Exp2_BS_1k": base2,
        "Exp2_AL_1741": base2 + given[140:180] + [("NaKRbCsF4", -0.4)],
        "Exp3_BS_0.3k": base3,
        "Exp3_AL_1153": base3 + given[180:230],
    }
    (folder / "agd").mkdir(parents=True)
    for name, part in tables.items():
        lines = ["id,composition,Eg", *(f"{i},{formula},{gap}" for i, (formula, gap) in enumerate(part))]
        (folder / "agd" / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return folder
