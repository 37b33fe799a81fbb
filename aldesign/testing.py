"""The conformance suite for oracles: what a third party's class must do to be used in a campaign.

In a test of the package that provides the oracle::

    from aldesign.registry import load_oracle
    from aldesign.testing import check_oracle, check_trainable

    def test_my_oracle():
        check_oracle(load_oracle("my_oracle"), name="my_oracle")

    def test_my_oracle_learns(tmp_path):
        check_trainable("my_oracle", tmp_path, {"epochs": 3})
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from aldesign.errors import InputError
from aldesign.protocols import Oracle, TrainableOracle
from aldesign.records import Candidate, Crystal, LabelledRow, OracleCard, Prediction
from aldesign.registry import load_oracle, oracle_class

UNITS = {"band_gap": "eV", "formation_energy_per_atom": "eV/atom"}
BAD_FORMULAS = ("Xx3", "", "NaCl)", "not a formula", "nan", "H" + 400 * "9")
UNSEEN = "OgF4"  # no one has made it: an oracle may refuse it, or say that it is beyond its data


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


def _spoilt() -> dict[str, Crystal]:
    """Return crystals of NaCl that no oracle can take seriously."""
    good = CRYSTALS["NaCl"]
    return {
        "coinciding atoms": replace(good, frac=np.zeros((2, 3))),
        "coordinates that are no numbers": replace(good, frac=np.full((2, 3), np.nan)),
        "a cell without volume": replace(good, lattice=(4.0, 4.0, 4.0, 120.0, 120.0, 120.0)),
        "an unknown element": replace(good, species=("Na", "Xx")),
        "another composition": replace(good, species=("Na", "Na")),
        "no atoms": replace(good, species=(), frac=np.zeros((0, 3))),
    }


# Ionic radii in Å (Shannon 1976, six neighbours), for crystals of about the right size.
_CATIONS = {1: {"Li": 0.76, "Na": 1.02, "K": 1.38, "Rb": 1.52, "Cs": 1.67}, 2: {"Mg": 0.72, "Ca": 1.0, "Sr": 1.18}}
_ANIONS = {1: {"F": 1.33, "Cl": 1.81, "Br": 1.96, "I": 2.2}, 2: {"O": 1.4, "S": 1.84, "Se": 1.98, "Te": 2.21}}
_METALS = {("Zn", "Cu"): 2.95, ("Al", "Ni"): 2.89, ("Al", "Fe"): 2.91, ("Al", "Co"): 2.86, ("Mg", "Ag"): 3.31}


def example_rows(target: str = "band_gap", level: str = "PBE") -> list[LabelledRow]:
    """Return 37 compounds with crystals, and labels that fall with the distance of the ions: enough to learn from."""
    rows = []
    for charge, cations in _CATIONS.items():
        for cation, small in cations.items():
            for anion, large in _ANIONS[charge].items():
                edge = math.sqrt(2) * (small + large)  # of the primitive cell of rock salt
                crystal = _primitive(f"{cation}{anion}", (cation, anion), edge, 60.0, 0.5)
                rows.append((crystal, round(20.0 / (small + large) - 3.0, 3)))
    rows += [(_primitive("".join(pair), pair, edge, 90.0, 0.5), 0.0) for pair, edge in _METALS.items()]
    sign = 1.0 if target == "band_gap" else -0.5
    return [
        LabelledRow(crystal.id, sign * label, None, level, crystal, i) for i, (crystal, label) in enumerate(rows, 1)
    ]


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
    _check_same(asked, answers, oracle.predict(tuple(asked)), tolerance, "asked as a tuple")
    _check_same(asked, answers, oracle.predict([*asked, *asked])[len(asked) :], tolerance, "asked beside itself")
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
    _require(isinstance(card.training, Mapping), f"card.training is {type(card.training).__name__}")
    try:
        json.dumps(dict(card.training), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"card.training must survive JSON: {error}") from error


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
        _require(math.isfinite(answer.seconds) and answer.seconds >= 0, f"{where}: took {answer.seconds} s")


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
    told = [f"{formula[:20]!r}" for formula in BAD_FORMULAS]
    if oracle.card.needs == "structure":
        bad += [Candidate("NaCl"), *(Candidate("NaCl", structure_id="x", crystal=c) for c in _spoilt().values())]
        told += [f"a crystal with {what}" for what in ("no sites at all: none was given", *_spoilt())]
    bad.append(Candidate(UNSEEN))
    told.append(f"{UNSEEN}, which nobody has seen,")
    mixed, places = list(asked), []
    for i, candidate in enumerate(bad):
        places.append(min(2 * i, len(mixed)))
        mixed.insert(places[-1], candidate)
    try:
        together = oracle.predict(mixed)
    except Exception as error:
        raise AssertionError(f"a bad candidate must give an error, predict raised {error!r}") from error
    _check_answers(oracle.card, mixed, together)
    for place, candidate, what in zip(places, bad, told, strict=True):
        answer = together[place]
        if candidate.formula in BAD_FORMULAS:
            _require(not answer.ok, f"{what} is not answerable but got {answer}")
        elif candidate.formula == UNSEEN:
            _require(not (answer.ok and answer.in_domain), f"{what} is outside of the domain but got {answer}")
        else:
            # some may do without, such as an ensemble whose other members read formulas, if they say so
            blind = answer.ok and answer.in_domain is not False
            _require(not blind, f"{what} is outside of the domain but got {answer}")
    rest = [answer for i, answer in enumerate(together) if i not in places]
    _check_same(asked, answers, rest, tolerance, "beside bad candidates")


def check_trainable(
    name: str,
    directory: Path,
    options: Mapping[str, Any] | None = None,
    *,
    train: Sequence[LabelledRow] | None = None,
    validation: Sequence[LabelledRow] | None = None,
    seed: int = 0,
    tolerance: float = 1e-6,
) -> None:
    """Check that the oracle called `name` keeps the contract of `aldesign.protocols.TrainableOracle`.

    It is trained four times on a few compounds: keep it small by `options`.

    Args:
        name: Entry-point name.
        directory: An empty folder to work in.
        options: For its constructor.
        train: Rows to learn from; three quarters of `example_rows` by default.
        validation: Rows for early stopping and calibration; the rest of them by default.
        seed: Of the training.
        tolerance: Largest allowed difference between answers that should be equal, in the oracle's unit.

    Raises:
        AssertionError: The contract is broken; the message says where.

    """
    kind = cast(Callable[..., TrainableOracle], oracle_class(name))
    settings = dict(options or {})
    _require(isinstance(kind(**settings), TrainableOracle), f"{name} lacks fit or save")
    if train is None or validation is None:
        rows = example_rows(kind(**settings).card.property)
        order = np.random.default_rng(seed).permutation(len(rows)).tolist()
        cut = 3 * len(rows) // 4
        train, validation = [rows[i] for i in order[:cut]], [rows[i] for i in order[cut:]]
    asked = [Candidate(row.formula, crystal=row.crystal) for row in (*validation, *train)]

    lines: list[str] = []
    oracle = kind(**settings)
    _require(oracle.fit(train, validation, seed=seed, progress=lines.append) is oracle, "fit must return self")
    _require(all(isinstance(line, str) and line for line in lines), f"progress takes lines of text, got {lines[:3]}")
    _check_trained_card(oracle.card, train, validation)
    answers = oracle.predict(asked)
    for candidate, answer in zip(asked, answers, strict=True):
        _require(answer.ok, f"{candidate.formula}, which it was shown, is not answered: {answer.error}")
        _require(answer.std is not None and answer.std > 0, f"{candidate.formula}: std {answer.std}, not above 0")

    oracle.save(directory / "weights")
    stored = load_oracle(name, directory / "weights")
    _require(stored.card.training == oracle.card.training, "stored and loaded, the card's facts change")
    _require(bool(stored.card.identity.digest), "loaded weights must have a digest, card.identity.digest")
    _check_same(asked, answers, stored.predict(asked), tolerance, "asked after storing and loading")
    check_oracle(stored, candidates=asked[:6], name=name, directory=directory / "weights", tolerance=tolerance)

    def again(how: str, checkpoint: Path | None, progress: Callable[[str], None] | None = None) -> None:
        fresh = kind(**settings).fit(train, validation, seed=seed, checkpoint=checkpoint, progress=progress)
        _check_same(asked, answers, fresh.predict(asked), tolerance, how)

    if lines:
        middle, seen, running, killed = (len(lines) + 1) // 2, list[str](), directory / "running", directory / "killed"

        def watch(line: str) -> None:
            seen.append(line)
            if len(seen) == middle and running.is_dir():
                shutil.copytree(running, killed)  # what kill -9 would leave

        again("trained again with the same seed", running, watch)
        again("trained again after it had been killed", killed)
        seen.clear()

        def stop(line: str) -> None:
            seen.append(line)
            if len(seen) == middle:
                raise KeyboardInterrupt

        interrupted = directory / "interrupted"
        try:
            again("", interrupted, stop)
        except KeyboardInterrupt:
            again("trained again after Ctrl-C", interrupted)
        else:
            raise AssertionError("fit swallowed KeyboardInterrupt: nobody could stop it")
    else:
        again("trained again with the same seed", directory / "running")
    _check_refusals(kind, settings, train)


def _check_trained_card(card: OracleCard, train: Sequence[LabelledRow], validation: Sequence[LabelledRow]) -> None:
    _check_card(card)
    _require(card.level == train[0].level, f"trained on {train[0].level}, the card says {card.level}")
    told = card.training
    missing = [key for key in ("data", "split", "metrics", "training_seconds") if not told.get(key)]
    _require(not missing, f"card.training lacks {', '.join(missing)}")
    rows = len(train) + len(validation)
    _require(
        told["data"].get("rows") == rows, f"card.training['data']['rows'] is {told['data'].get('rows')}, not {rows}"
    )
    _require(bool(told["data"].get("digest")), "card.training['data'] has no digest")
    split = {key: told["split"].get(key) for key in ("train", "validation")}
    _require(split == {"train": len(train), "validation": len(validation)}, f"card.training['split'] is {split}")
    _require("seed" in told["split"], "card.training['split'] does not tell the seed")
    judged = told["metrics"].get("validation", {})
    judged = judged.get(card.property, judged)  # by property, where there are several
    _require("mae" in judged, f"card.training['metrics']['validation'] has no mae: {judged}")


def _check_refusals(
    kind: Callable[..., TrainableOracle], settings: dict[str, Any], train: Sequence[LabelledRow]
) -> None:
    mixed = [replace(train[0], level="HSE"), *train[1:]]
    cases = {"no rows": [], "mixed levels of theory": mixed}
    if kind(**settings).card.needs == "structure":
        cases["rows without crystals"] = [replace(row, crystal=None) for row in train]
        # a crystal of another composition than its row's is refused by the reader of tables
        spoilt = [
            replace(train[0], formula="NaCl", crystal=crystal)
            for what, crystal in _spoilt().items()
            if what != "another composition"
        ]
        try:
            kind(**settings).fit([*train, *spoilt])
        except Exception as error:
            raise AssertionError(f"spoilt crystals must not sink the training, fit raised {error!r}") from error
    for what, rows in cases.items():
        try:
            kind(**settings).fit(rows)
        except InputError:
            continue
        except Exception as error:
            raise AssertionError(f"{what} must be refused with an InputError, fit raised {error!r}") from error
        # one model may hold several levels, and then it says for which it answers
        _require(what == "mixed levels of theory", f"{what} must be refused with an InputError, fit accepted them")


def _torch_threads() -> int | None:
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())
