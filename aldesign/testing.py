"""The conformance suite for oracles: what a third party's class must do to be used in a campaign.

In a test of the package that provides the oracle::

    from aldesign.registry import load_oracle
    from aldesign.testing import check_oracle

    def test_my_oracle():
        check_oracle(load_oracle("my_oracle"), name="my_oracle")
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.protocols import Oracle
from aldesign.records import Candidate, Crystal, OracleCard, Prediction
from aldesign.registry import load_oracle

UNITS = {"band_gap": "eV", "formation_energy_per_atom": "eV/atom"}
BAD_FORMULAS = ("Xx3", "", "NaCl)", "not a formula")


def _primitive(name: str, species: tuple[str, str], edge: float, angle: float, second: float) -> Crystal:
    frac = np.array([[0.0, 0.0, 0.0], [second, second, second]])
    return Crystal(name, (edge, edge, edge, angle, angle, angle), species, frac)


# Primitive cells from textbook lattice constants in Å: rock salt, zinc blende, diamond (edge a/sqrt(2), 60°), CsCl.
CRYSTALS: Mapping[str, Crystal] = {
    "NaCl": _primitive("NaCl rock salt", ("Na", "Cl"), 5.640 / math.sqrt(2), 60.0, 0.5),
    "MgO": _primitive("MgO rock salt", ("Mg", "O"), 4.212 / math.sqrt(2), 60.0, 0.5),
    "GaAs": _primitive("GaAs zinc blende", ("Ga", "As"), 5.653 / math.sqrt(2), 60.0, 0.25),
    "ZnS": _primitive("ZnS zinc blende", ("Zn", "S"), 5.409 / math.sqrt(2), 60.0, 0.25),
    "Si": _primitive("Si diamond", ("Si", "Si"), 5.431 / math.sqrt(2), 60.0, 0.25),
    "CsCl": _primitive("CsCl", ("Cs", "Cl"), 4.123, 90.0, 0.5),
}


def example_candidates() -> list[Candidate]:
    """Return six compounds with their crystals, which oracles of either need can answer for."""
    return [Candidate(formula, structure_id=c.id, crystal=c) for formula, c in CRYSTALS.items()]


def check_oracle(
    oracle: Oracle,
    formulas: Sequence[str] | None = None,
    *,
    candidates: Sequence[Candidate] | None = None,
    name: str | None = None,
    directory: Path | None = None,
    options: Mapping[str, Any] | None = None,
    tolerance: float = 1e-6,
) -> None:
    """Check that `oracle` keeps the contract of `aldesign.protocols.Oracle`.

    Args:
        oracle: The loaded oracle.
        formulas: Canonical formulas that it can answer for; six common compounds by default.
        candidates: The same with crystals, for an oracle that needs structures; instead of `formulas`.
        name: Its entry-point name; with it, the oracle is also loaded afresh and must give the same answers,
            as it will be in a worker process.
        directory: Where it was loaded from, if not the shipped weights.
        options: The options it was loaded with.
        tolerance: Largest allowed difference between answers to the same question, in the oracle's unit.

    Raises:
        AssertionError: The contract is broken; the message says where.

    """
    if candidates is None:
        candidates = example_candidates() if formulas is None else [Candidate(f) for f in formulas]
    asked = list(candidates)
    threads = _torch_threads()
    _check_card(oracle.card)
    _require(oracle.predict([]) == [], "predict([]) must return []")
    answers = oracle.predict(asked)
    _check_answers(oracle.card, asked, answers)
    if oracle.card.answers == "tell":
        _require(not any(a.ok for a in answers), "an oracle that answers by 'tell' must not predict values")
    else:
        failures = "; ".join(f"{c.formula}: {a.error}" for c, a in zip(asked, answers, strict=True))
        _require(any(a.ok for a in answers), f"no candidate could be answered, pass some that can: {failures}")
    _check_same(asked, answers, oracle.predict(asked), tolerance, "asked twice")
    _check_same(asked, answers, [oracle.predict([c])[0] for c in asked], tolerance, "asked alone")
    turned = oracle.predict(asked[::-1])[::-1]
    _check_same(asked, answers, turned, tolerance, "asked in reverse order")
    _check_bad_items(oracle, asked, answers, tolerance)
    _require(
        _torch_threads() in (threads, None) or threads is None,
        f"predict changed torch's threads from {threads} to {_torch_threads()}; that belongs to the caller",
    )
    if name is not None:
        settings = dict(options or {})
        _require(json.loads(json.dumps(settings)) == settings, f"options must survive JSON: {settings!r}")
        again = load_oracle(name, directory, **settings)
        _require(again.card == oracle.card, f"loaded afresh, the card changes: {oracle.card} != {again.card}")
        _check_same(asked, answers, again.predict(asked), tolerance, "asked after loading it afresh")


def _require(kept: bool, message: str) -> None:
    # not an assert statement, which `python -O` would skip
    if not kept:
        raise AssertionError(message)


def _check_card(card: OracleCard) -> None:
    _require(isinstance(card, OracleCard), f"card must be an OracleCard, is {type(card).__name__}")
    _require(bool(card.identity.name), "card.identity.name is empty")
    _require(bool(card.identity.version), "card.identity.version is empty")
    _require(bool(card.level), "card.level is empty: say PBE, HSE, experiment, ...")
    _require(card.property in UNITS, f"card.property is {card.property!r}; known: {', '.join(UNITS)}")
    _require(card.unit == UNITS[card.property], f"{card.property} is in {UNITS[card.property]}, not {card.unit!r}")
    _require(card.needs in ("formula", "structure"), f"card.needs is {card.needs!r}")
    _require(card.answers in ("predict", "tell"), f"card.answers is {card.answers!r}")


def _check_answers(card: OracleCard, asked: Sequence[Candidate], answers: Sequence[Prediction]) -> None:
    _require(isinstance(answers, list), f"predict must return a list, returned {type(answers).__name__}")
    _require(len(answers) == len(asked), f"{len(asked)} candidates gave {len(answers)} predictions")
    for candidate, answer in zip(asked, answers, strict=True):
        where = f"for {candidate.formula!r}"
        _require(isinstance(answer, Prediction), f"{where}: not a Prediction but {type(answer).__name__}")
        _require(answer.ok != bool(answer.error), f"{where}: exactly one of value and error must be given: {answer}")
        _require(answer.value is None or math.isfinite(answer.value), f"{where}: value is {answer.value}")
        _require(answer.std is None or (math.isfinite(answer.std) and answer.std >= 0), f"{where}: std {answer.std}")
        _require(answer.ok or answer.std is None, f"{where}: a failed prediction has a std")
        _require(answer.unit == card.unit, f"{where}: unit {answer.unit!r}, the card says {card.unit!r}")
        _require(answer.level == card.level, f"{where}: level {answer.level!r}, the card says {card.level!r}")
        _require(answer.oracle == card.identity, f"{where}: signed by {answer.oracle}, the card says {card.identity}")
        _require(answer.in_domain in (True, False, None), f"{where}: in_domain is {answer.in_domain!r}")
        _require(answer.seconds >= 0, f"{where}: took {answer.seconds} s")


def _check_same(
    asked: Sequence[Candidate],
    first: Sequence[Prediction],
    second: Sequence[Prediction],
    tolerance: float,
    how: str,
) -> None:
    _require(len(first) == len(second), f"{how}: {len(second)} answers instead of {len(first)}")
    for candidate, a, b in zip(asked, first, second, strict=True):
        told = f"{candidate.formula!r} {how} gives another answer: {a} then {b}"
        _require(a.ok == b.ok, told)
        _require(a.in_domain == b.in_domain, told)
        for x, y in ((a.value, b.value), (a.std, b.std)):
            _require((x is None) == (y is None), told)
            _require(x is None or y is None or abs(x - y) <= tolerance, told)


def _check_bad_items(
    oracle: Oracle, asked: Sequence[Candidate], answers: Sequence[Prediction], tolerance: float
) -> None:
    bad = [Candidate(formula) for formula in BAD_FORMULAS]
    if oracle.card.needs == "structure":
        bad = [*bad, Candidate(asked[0].formula)]  # without a crystal
    mixed, places = list(asked), []
    for i, candidate in enumerate(bad):
        places.append(min(2 * i, len(mixed)))
        mixed.insert(places[-1], candidate)
    try:
        together = oracle.predict(mixed)
    except Exception as error:
        raise AssertionError(f"a bad candidate must give an error, predict raised {error!r}") from error
    _check_answers(oracle.card, mixed, together)
    for place, candidate in zip(places, bad, strict=True):
        answer = together[place]
        if candidate.formula in BAD_FORMULAS:
            _require(not answer.ok, f"{candidate.formula!r} is not answerable but got {answer}")
        else:
            # some may do without, such as an ensemble whose other members read formulas, if they say so
            blind = answer.ok and answer.in_domain is not False
            _require(not blind, f"{candidate.formula!r} without a crystal is outside of the domain but got {answer}")
    rest = [answer for i, answer in enumerate(together) if i not in places]
    _check_same(asked, answers, rest, tolerance, "beside bad candidates")


def _torch_threads() -> int | None:
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())
