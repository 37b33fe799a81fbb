"""Labelled rows as a model of formulas alone needs them: one label for each formula, none in two parts."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from aldesign.chemistry.formula import canonical_many
from aldesign.records import LabelledRow


def one_per_formula(rows: Sequence[LabelledRow]) -> list[LabelledRow]:
    """Return one row for each formula, in the order of their first appearance, with canonical formulas.

    A formula that stands several times (polymorphs, repeated measurements) gets the mean of its labels: rows do not
    say which of them is the ground state. A table that does, by a column e_above_hull, is reduced to ground states when
    it is read.

    Raises:
        FormulaError: A formula cannot be read.

    """
    groups: dict[str, list[LabelledRow]] = defaultdict(list)
    for row, formula in zip(rows, canonical_many([row.formula for row in rows]), strict=True):
        if not isinstance(formula, str):
            raise formula
        groups[formula].append(row)
    return [
        group[0]
        if len(group) == 1 and group[0].formula == formula
        else replace(group[0], formula=formula, value=math.fsum(row.value for row in group) / len(group))
        for formula, group in groups.items()
    ]


def disjoint(
    train: Sequence[LabelledRow], validation: Sequence[LabelledRow]
) -> tuple[list[LabelledRow], list[LabelledRow], str]:
    """Return both parts with one row for each formula, those of `train` not in the other, and what was done.

    The text is empty where nothing was.

    Raises:
        FormulaError: A formula cannot be read.

    """
    learn, held = one_per_formula(train), one_per_formula(validation)
    known = {row.formula for row in learn}
    unseen = [row for row in held if row.formula not in known]
    told = []
    if spare := len(train) - len(learn) + len(validation) - len(held):
        told.append(f"{spare} rows repeat a formula: the mean of its labels is used")
    if shared := len(held) - len(unseen):
        told.append(f"{shared} formulas for validation are training formulas and are left out of validation")
    return learn, unseen, "; ".join(told)
