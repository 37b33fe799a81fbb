"""Run directories as a campaign writes them, with invented but plausible content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aldesign.campaign.codec import prediction_to_json, trial_to_json
from aldesign.campaign.journal import Journal
from aldesign.campaign.ranking import objective
from aldesign.campaign.rows import cif_name
from aldesign.campaign.spec import CampaignSpec
from aldesign.chemistry.formula import canonical
from aldesign.records import Candidate, OracleIdentity, Prediction, Source, Trial, TrialState, Verdict

CATIONS = {"Li": 1, "Na": 1, "K": 1, "Cs": 1, "Mg": 2, "Ca": 2, "Sr": 2, "Ba": 2, "Zn": 2, "Al": 3, "Y": 3, "La": 3}
ANIONS = {"F": 1, "Cl": 1, "Br": 1, "I": 1, "O": 2, "S": 2, "Se": 2, "N": 3}
WIDTH = {"F": 8.0, "Cl": 5.6, "Br": 4.4, "I": 3.4, "O": 5.2, "S": 3.0, "Se": 2.2, "N": 3.4}
ORACLE = OracleIdentity("random_forest", "1", "0123456789abcdef")


def compounds(n: int, rng: np.random.Generator) -> list[tuple[str, float, dict[str, int]]]:
    """Return n distinct charge-neutral formulas, each with a gap in eV and its oxidation states."""
    found: dict[str, tuple[float, dict[str, int]]] = {}
    while len(found) < n:
        a, b = rng.choice(list(CATIONS), 2, replace=False)
        x = str(rng.choice(list(ANIONS)))
        p, q = (int(v) for v in rng.integers(1, 4, 2))
        charge = p * CATIONS[a] + q * CATIONS[b]
        if charge % ANIONS[x]:
            continue
        counts = {a: p, b: q, x: charge // ANIONS[x]}
        formula = canonical("".join(f"{s}{c}" for s, c in counts.items()))
        gap = max(0.05, WIDTH[x] - 0.3 * CATIONS[b] + 0.6 * float(rng.normal()))
        found.setdefault(formula, (gap, {a: CATIONS[a], b: CATIONS[b], x: -ANIONS[x]}))
    return [(formula, *rest) for formula, rest in found.items()]


def answer(gap: float, std: float | None = 0.35, *, error: str = "", in_domain: bool | None = True) -> Prediction:
    if error:
        return Prediction(None, None, "eV", ORACLE, "PBE", error=error)
    return Prediction(round(gap, 4), std, "eV", ORACLE, "PBE", in_domain, 0.01)


Build = Callable[..., Path]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Return ``build_run`` into a folder that all who ask for the same options share."""
    made: dict[str, Path] = {}

    def into(**options: Any) -> Path:
        key = repr(sorted(options.items()))
        if key not in made:
            made[key] = build_run(tmp_path_factory.mktemp("run") / "run", **options)
        return made[key]

    return into


@pytest.fixture(scope="session")
def page(build: Build) -> Callable[..., Path]:
    """Return the path of the page about a run, written once for all who ask for the same options."""
    from aldesign.report.html import write_report

    made: dict[Path, Path] = {}

    def of(**options: Any) -> Path:
        directory = build(**options)
        if directory not in made:
            made[directory] = write_report(directory)
        return made[directory]

    return of


def build_run(
    directory: Path,
    *,
    target: Mapping[str, Any] | None = None,
    seeds: int = 60,
    iterations: int = 4,
    batch: int = 15,
    structures: bool = True,
    stopped: str = "4 iterations done (stop.iterations)",
    open_iteration: bool = False,
    oracle: str = "random_forest",
    reason: str = "",
    random_seed: int = 7,
) -> Path:
    """Write a journal into `directory` and return it."""
    rng = np.random.default_rng(random_seed)
    definition = {"name": "wide-gap-halides", "target": dict(target or {"maximize": True}), "stop": {"iterations": 4}}
    spec = CampaignSpec.model_validate({**definition, "oracle": {"kind": oracle}, "batch_size": batch})
    directory.mkdir(parents=True)
    (directory / "campaign.yaml").write_text(spec.to_yaml())
    pool = compounds(seeds + (iterations + 1) * 2 * batch, rng)
    with Journal(directory, write=True, create=True) as journal:
        journal.append("created", created(spec, seeds, reason))
        number = 0
        begun = []
        for formula, gap, _ in pool[:seeds]:
            begun.append(Trial(number, 0, Candidate(formula, Source.SEED), TrialState.MEASURED, prediction=answer(gap)))
            number += 1
        journal.append("proposed", {"iteration": 0, "trials": [trial_to_json(t) for t in begun], **EMPTY})
        journal.append("closed", {"iteration": 0, "seconds": {"measure": 2.5}})
        measured: list[tuple[Trial, float]] = []
        rest = pool[seeds:]
        for iteration in range(1, iterations + open_iteration + 1):
            block, rest = rest[: 2 * batch], rest[2 * batch :]
            block.sort(key=lambda item: -item[1] - 0.5 * iteration * rng.random())
            trials = []
            for k, (formula, gap, states) in enumerate(block):
                expected = (round(gap + 0.7 * float(rng.normal()), 4), round(0.4 + 0.4 * float(rng.random()), 4))
                source = Source.LATENT if k % 3 else Source.GAN
                verdicts = [Verdict("duplicate", True, "new"), neutral(states)]
                state = TrialState.PENDING
                if k >= batch:
                    state = TrialState.REJECTED
                    verdicts[1:] = [refusal(formula, k, reason)]
                candidate = Candidate(formula, source)
                trials.append(
                    (Trial(number, iteration, candidate, state, tuple(verdicts), None, 0, expected, 1.0), gap)
                )
                number += 1
            stats = {"searched": 64, "decoded": 58, "sampled": 64, "pool": 117, "valid_before_screening": 101}
            stats |= {"rejected": {"duplicate": 5, "neutrality": batch - 5}, "chosen": batch}
            seconds = {"learn": 1.25, "propose": 3.5 + iteration, "screen": 0.2}
            payload = {"iteration": iteration, "stats": stats, "seconds": seconds}
            journal.append("proposed", {**payload, "trials": [trial_to_json(t) for t, _ in trials]})
            last = open_iteration and iteration == iterations + 1
            for k, (trial, gap) in enumerate(trials[: batch // 2 if last else batch]):
                failed = reason or "ValueError: no descriptor for this composition" if k == 7 else ""
                prediction = answer(gap, error=failed, in_domain=k % 5 != 0)
                journal.append("answered", {"trial": trial.number, "prediction": prediction_to_json(prediction)})
                if not failed:
                    measured.append((trial, gap))
            if not last:
                journal.append("closed", {"iteration": iteration, "seconds": {"measure": 0.8}})
        if structures:
            measured.sort(key=lambda item: -objective(spec).utility(np.array([round(item[1], 4)]))[0])
            rows = ["rank,formula,trial,cif"]
            (directory / "export").mkdir()
            for k, (trial, _) in enumerate(measured[:25]):
                journal.append("structured", structure(trial, k, reason))
                if k % 4:
                    name = cif_name(len(rows), trial.candidate.formula)
                    rows.append(f"{len(rows)},{trial.candidate.formula},{trial.number},{name}")
                    (directory / "export" / name).write_text("data_x\n")
            (directory / "export" / "candidates.csv").write_text("\n".join(rows) + "\n")
        if stopped and not open_iteration:
            journal.append("stopped", {"reason": stopped})
    return directory


EMPTY: dict[str, Any] = {"stats": {}, "seconds": {}}


def created(spec: CampaignSpec, seeds: int, reason: str) -> dict[str, Any]:
    bad = {"source": "gaps.csv", "line": 12, "text": "Xx2O,3.1", "reason": reason or "Xx is no element"}
    return {
        "spec": spec.model_dump(mode="json"),
        "version": "0.1.0",
        "oracle": {
            "name": "random_forest",
            "version": "1",
            "digest": "0123456789abcdef",
            "property": "band_gap",
            "level": "PBE",
            "description": "500 trees on Magpie features",
        },
        "digests": {"encoder": "aaaabbbbccccdddd", "generator": "eeeeffff00001111"},
        "seed": {"origin": "gaps.csv", "rows": seeds, "notes": ["column 'composition' read as the formula"]},
        "bad_rows": [bad],
    }


def neutral(states: Mapping[str, int]) -> Verdict:
    return Verdict("neutrality", True, "charges balance", {"oxidation_states": dict(states)})


def refusal(formula: str, k: int, reason: str) -> Verdict:
    if k % 3 == 0:
        return Verdict("duplicate", False, reason or f"{formula} is trial {k}, measured")
    return Verdict("neutrality", False, reason or f"nearest combination leaves a charge of {k % 4 + 1}")


def structure(trial: Trial, k: int, reason: str) -> dict[str, Any]:
    formula = trial.candidate.formula
    if k % 4 == 0:
        facts: dict[str, Any] = {"template_id": None, "emd": None}
        why = reason or "no template with amounts 1:2:5 within EMD 10"
        return {"trial": trial.number, "accepted": False, "reason": why, "facts": facts}
    facts = {
        "structure_id": f"{formula}-t",
        "template_id": f"AB_{k}",
        "template_formula": "SrTiO3",
        "emd": 1.25 + 0.1 * k,
        "space_group": "Pm-3m",
        "mapping": {"Sr": "Ba", "Ti": "Y", "O": "F"},
        "formation_energy_ev_per_atom": -2.5 + 0.07 * k,
        "energy_method": "CHGNet",
        "relaxed": True,
    }
    if k % 4 != 3:  # the others are as earlier versions wrote them
        apart = 0.04 * (k % 6)
        facts |= {
            "likelihood": 0.125,
            "support": 31,
            "bond_valence_deviation": round(0.06 + 0.02 * k, 4),
            "formation_energy_graph_ev_per_atom": round(facts["formation_energy_ev_per_atom"] + apart, 4),
            "formation_energy_graph_std_ev_per_atom": 0.031,
            "energies_disagree": apart > 0.15,
            "e_above_hull_ev_per_atom": None if k == 5 else round(0.01 * ((7 * k) % 23) - 0.02, 4),
            "decomposition": [] if k == 5 else [["BaF2", 0.6], ["YF3", 0.4]],
            "hull_reason": reason or "no known phase holds Y" if k == 5 else "",
            "alternatives": [
                {
                    "template_id": f"AB_{k}_2",
                    "template_formula": "NaCl",
                    "emd": 1.5 + 0.1 * k,
                    "space_group": "Fm-3m",
                    "formation_energy_ev_per_atom": -2.1,
                    "reason": reason or "0.120 eV/atom above the one kept",
                },
                {"template_id": f"AB_{k}_3", "template_formula": "ZnS", "emd": 2.5, "reason": "Ba and F overlap"},
            ],
            "space_group_relaxed": "P4/mmm",
            "volume_per_atom": 17.25,
            "converged": k % 5 != 0,
            "warnings": [reason or "a far template"] if k == 6 else [],
        }
    return {"trial": trial.number, "accepted": True, "reason": "", "facts": facts}
