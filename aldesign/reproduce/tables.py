"""The paper's released tables, and the external test that none of its samples has seen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from aldesign.datasets.table import read_table
from aldesign.errors import InputError
from aldesign.records import LabelledRow
from aldesign.reproduce.paper import START_BELOW_EV, START_ROWS
from aldesign.seeds import stream

FILES: Mapping[str, str] = {
    "exp1": "Exp1_42k.csv",
    "exp2-bs": "Exp2_BS_1k.csv",
    "exp2-al": "Exp2_AL_1741.csv",
    "exp3-bs": "Exp3_BS_0.3k.csv",
    "exp3-al": "Exp3_AL_1153.csv",
}
TEST_ROWS = 3000
Rows = tuple[LabelledRow, ...]


@dataclass(frozen=True)
class Tables:
    """The rows of every sample, one for each formula, and those of the external test.

    Attributes:
        samples: Rows by sample; those of the test are left out of ``exp1``.
        test: Rows of ``exp1`` that are in no other sample: a tenth of them, `TEST_ROWS` at most.
        notes: What was read, for people.

    """

    samples: Mapping[str, Rows]
    test: Rows
    notes: tuple[str, ...]

    def low_rows(self, seed: int, repeat: int) -> Rows:
        """Return the rows that experiment 4 starts from: `START_ROWS`, all below `START_BELOW_EV`."""
        low = [row for row in self.samples["exp1"] if row.value < START_BELOW_EV]
        chosen = stream(seed, repeat, "exp4 start").permutation(len(low))[:START_ROWS]
        return tuple(low[i] for i in sorted(chosen.tolist()))


def find_tables(folder: Path) -> Path:
    """Return the folder that holds `FILES`: the one given, or ``agd`` in it.

    Raises:
        InputError: A file is missing; all of them are named.

    """
    for place in (folder / "agd", folder):
        missing = [name for name in FILES.values() if not (place / name).is_file()]
        if not missing:
            return place
        if len(missing) < len(FILES):
            break
    raise InputError(
        f"{place} lacks {', '.join(missing)}",
        "give --data (or ALDESIGN_DATA) the folder with the tables that the paper released, or the one above agd/",
    )


def digests(folder: Path) -> dict[str, str]:
    """Return the first 16 hexadecimal digits of each file's SHA-256."""
    return {key: hashlib.sha256((folder / name).read_bytes()).hexdigest()[:16] for key, name in FILES.items()}


@lru_cache(maxsize=2)
def load_tables(folder: Path, seed: int) -> Tables:
    """Return the tables of a folder; `seed` chooses the external test.

    Negative gaps, which the paper's own oracle gave, count as 0.
    """
    read = {key: read_table(folder / name, negative="clip") for key, name in FILES.items()}
    seen = {row.formula for key, table in read.items() if key != "exp1" for row in table.rows}
    others = [i for i, row in enumerate(read["exp1"].rows) if row.formula not in seen]
    size = min(TEST_ROWS, len(others) // 10)
    if not size:
        raise InputError(
            f"{FILES['exp1']} has {len(others)} formulas that are in no other table, too few for a test",
            "give the table as released",
        )
    chosen = {others[i] for i in stream(seed, 0, "external test").permutation(len(others))[:size].tolist()}
    samples = {key: table.rows for key, table in read.items()}
    samples["exp1"] = tuple(row for i, row in enumerate(read["exp1"].rows) if i not in chosen)
    notes = tuple(
        "".join(
            [f"{FILES[key]}: {len(table.rows)} formulas, {len(table.bad)} refused"]
            + [f", {note}" for note in table.notes if "negative gaps set to 0" in note]
        )
        for key, table in read.items()
    )
    return Tables(samples, tuple(read["exp1"].rows[i] for i in sorted(chosen)), notes)
