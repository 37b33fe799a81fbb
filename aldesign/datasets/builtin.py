"""The compounds that every installation has: the charge-neutral ones among pymatgen's AFLOW prototypes."""

from __future__ import annotations

from functools import lru_cache

from aldesign.chemistry.formula import compositions
from aldesign.chemistry.neutrality import Options, valid_mask
from aldesign.records import Crystal


@lru_cache(maxsize=1)
def _by_formula() -> dict[str, Crystal]:
    from aldesign.structures.templates import TemplateLibrary

    library = TemplateLibrary.from_aflow()
    formulas = list(library.formulas)
    parsed = compositions(formulas)
    # Alloys of metals pass SMACT's test by default; as compounds to learn gaps from they are not wanted.
    wanted = valid_mask(parsed, Options(include_alloys=False)) & (parsed.n_elements() > 1)
    found: dict[str, Crystal] = {}
    for formula, crystal, keep in zip(formulas, library.crystals, wanted.tolist(), strict=True):
        # Of several prototypes with one formula the smallest cell, then the first id.
        if keep and (formula not in found or _rank(crystal) < _rank(found[formula])):
            found[formula] = crystal
    return {formula: found[formula] for formula in sorted(found)}


def _rank(crystal: Crystal) -> tuple[int, str]:
    return len(crystal), crystal.id


def builtin_formulas() -> list[str]:
    """Return the canonical formulas of the built-in compounds, sorted; their gaps are an oracle's to give.

    They are the compounds of two or more elements among the AFLOW prototypes (Mehl et al., Comput. Mater.
    Sci. 136, S1, 2017) whose charges balance by SMACT's default states, alloys not counted.
    """
    return list(_by_formula())


def builtin_crystals() -> dict[str, Crystal]:
    """Return a prototype crystal for each built-in formula."""
    return dict(_by_formula())
