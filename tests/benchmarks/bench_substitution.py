"""Print how often rules of substitution find the structure of stable crystals, each formula left out of the templates.

Run: ``python tests/benchmarks/bench_substitution.py --out DIR [--rows 1000] [--relax 200] [--part fresh]`` with the
reference tables in $ALDESIGN_DATA. What is in DIR is not computed again; remove it after a change of the rules. Part
``development`` draws rows to choose settings on, ``reported`` and ``fresh`` two samples to report, no formula in two of
them. Relaxed are the first guesses and, as ``least``, our first three, the one of least energy being kept, as
the package does; CHGNet was trained on most of these crystals, so that its choice is better here than elsewhere.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from substitution_rules import TOP, Rules

from aldesign.records import Crystal
from aldesign.structures.assign import preferred
from aldesign.structures.cif import from_record
from aldesign.structures.energy import evaluate_many
from aldesign.structures.geometry import space_group, volume
from aldesign.structures.templates import TemplateLibrary

SEED = 20261121
STABLE = 0.025  # eV/atom above hull
SITES = 20
SYMPREC = 0.1  # Å, of truth and guess alike
STEPS = 60
TOGETHER = 10  # rows relaxed in one go
DRAWS = 2000  # of the bootstrap
RULES = ("paper", "random", "nearest", "ours")
LEAST = "least"  # of the energies of our first guesses, relaxed
SCALES = (0.003, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 1.0)  # eV/atom that weigh as much as a factor of e in likelihood
KEPT = 3  # guesses that the package relaxes
RELAXED = ("paper", "ours", LEAST)
PARTS = ("development", "reported", "fresh")
WRONG = {"hit": False, "group": False, "volume": None}


def chosen_rows(folder: Path, part: str, rows: int) -> list[str]:
    """Return ids of stable small crystals of one part; its first few are a fair sample of it."""
    labels = pd.read_csv(folder / "labels.csv.gz", keep_default_na=False, na_values=[""])
    stable = labels[(labels.e_above_hull < STABLE) & (labels.nsites <= SITES)].sort_values("id")
    draw = np.sort(np.random.default_rng(SEED).choice(len(stable), 1000, replace=False))
    reported = stable.iloc[draw]
    if part == "reported":
        order = np.random.default_rng(SEED + 2).permutation(len(reported))
        return [str(name) for name in reported.iloc[order[:rows]].id]
    others = stable[~stable.formula.isin(set(reported.formula))]
    development = set(np.random.default_rng(7).permutation(others.formula.unique())[:2000])
    chosen = others.formula.isin(development)
    seed, kept = (9, others[chosen]) if part == "development" else (SEED + 3, others[~chosen])
    order = np.random.default_rng(seed).permutation(len(kept))
    return [str(name) for name in kept.iloc[order[:rows]].id]


class Judge:
    """Compares guesses with the truth."""

    def __init__(self) -> None:
        from pymatgen.analysis.structure_matcher import StructureMatcher

        self.matcher = StructureMatcher()

    def __call__(self, truth: Crystal, guess: Crystal) -> dict[str, Any]:
        """Return whether the matcher and the space group agree, and the signed relative error of the volume."""
        try:
            hit = bool(self.matcher.fit(as_structure(truth), as_structure(guess)))
        except ValueError:  # a cell that pymatgen cannot reduce is no hit
            hit = False
        group = space_group(truth, SYMPREC)[1] == space_group(guess, SYMPREC)[1]
        error = (volume(guess) / len(guess)) / (volume(truth) / len(truth)) - 1
        return {"hit": hit, "group": group, "volume": error}


def as_structure(crystal: Crystal) -> Any:
    """Return pymatgen's view of a crystal."""
    from pymatgen.core import Lattice, Structure

    return Structure(Lattice.from_parameters(*crystal.lattice), list(crystal.species), crystal.frac)


def dls_error(truth: Crystal, guess: Crystal) -> float | None:
    """Return the relative error of the volume that pymatgen's DLSVolumePredictor gives the guess."""
    from pymatgen.analysis.structure_prediction.volume_predictor import DLSVolumePredictor

    try:
        found = float(DLSVolumePredictor().predict(as_structure(guess)))
    except (ValueError, KeyError, TypeError, RuntimeError):
        return None
    return (found / len(guess)) / (volume(truth) / len(truth)) - 1


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Return the finished rows of a file by key; a last line that was cut off is left out."""
    if not path.is_file():
        return {}
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        found[row["key"]] = row
    return found


def as_json(crystal: Crystal) -> dict[str, Any]:
    """Return a crystal as the tables spell it."""
    return {
        "id": crystal.id,
        "lattice": list(crystal.lattice),
        "species": list(crystal.species),
        "frac": np.round(crystal.frac, 6).tolist(),
    }


def guess_all(
    ids: Sequence[str], library: TemplateLibrary, out: Path, names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return what the named rules guess for every row, and how they fare; what is done is read from `out`."""
    path = out / "guesses.jsonl"
    done = read(path)
    places = {crystal.id: i for i, crystal in enumerate(library.crystals)}
    rules, judge = Rules(library, SEED), Judge()
    with path.open("a", encoding="utf-8") as file:
        for number, name in enumerate(ids):
            truth, formula = library.crystals[places[name]], library.formulas[places[name]]
            row: dict[str, Any] = {"key": name, "formula": formula, "template": rules.has_template(formula)}
            if name in done:
                row = done[name]
            missing = [rule for rule in names if rule not in row or (rule == "ours" and "likelihoods" not in row[rule])]
            if not missing:
                continue
            for rule in missing:
                start = time.perf_counter()
                guesses = rules.all()[rule](formula)[:TOP]
                took = time.perf_counter() - start
                first = as_json(guesses[0]) if guesses else None
                row[rule] = {"seconds": took, "first": first, "judged": [judge(truth, guess) for guess in guesses]}
                if rule == "ours":
                    row["dls"] = dls_error(truth, guesses[0]) if guesses else None
                    row[rule]["likelihoods"] = rules.likelihoods[:KEPT]
                    row[rule]["kept"] = [as_json(guess) for guess in guesses[:KEPT]]
            file.write(json.dumps(row) + "\n")
            file.flush()
            done[name] = row
            if number % 50 == 0:
                print(f"{number} of {len(ids)} rows", file=sys.stderr, flush=True)
    return done


def relax_all(
    ids: Sequence[str], done: Mapping[str, Any], library: TemplateLibrary, out: Path, names: Sequence[str]
) -> dict[str, Any]:
    """Return how the guess of each rule fares once relaxed; equal guesses are relaxed once."""
    path = out / "relaxed.jsonl"
    relaxed = read(path)
    truths = {crystal.id: crystal for crystal in library.crystals}
    judge = Judge()
    with path.open("a", encoding="utf-8") as file:
        for start in range(0, len(ids), TOGETHER):
            wanted = [
                (i, rule) for i in ids[start : start + TOGETHER] for rule in names if f"{i}|{rule}" not in relaxed
            ]
            if not wanted:
                continue
            spelled = {
                (i, rule): [json.dumps({**guess, "id": ""}) for guess in guesses_of(done[i], rule)]
                for i, rule in wanted
            }
            distinct = list(dict.fromkeys(text for texts in spelled.values() for text in texts))
            crystals = [from_record({**json.loads(text), "id": f"guess {n}"}) for n, text in enumerate(distinct)]
            energies = dict(zip(distinct, evaluate_many(crystals, steps=STEPS), strict=True))
            for (i, rule), texts in spelled.items():
                row: dict[str, Any] = {"key": f"{i}|{rule}", **WRONG}
                if texts:
                    values = [energies[text].formation_energy_ev_per_atom for text in texts]
                    # rounded as in the package, so that the likelier wins among equals
                    best = min(range(len(texts)), key=lambda n: math.inf if values[n] is None else round(values[n], 4))
                    found = energies[texts[best]]
                    row |= {**judge(truths[i], found.crystal), "error": found.error, "steps": found.steps, "best": best}
                    if rule == LEAST:
                        row |= {
                            "energies": values,
                            "each": [judge(truths[i], energies[text].crystal) for text in texts],
                        }
                relaxed[row["key"]] = row
                file.write(json.dumps(row) + "\n")
                file.flush()
            print(f"{min(start + TOGETHER, len(ids))} of {len(ids)} rows relaxed", file=sys.stderr, flush=True)
    return relaxed


def guesses_of(row: Mapping[str, Any], rule: str) -> list[dict[str, Any]]:
    """Return what is relaxed for a rule."""
    if rule == LEAST:
        return list(row["ours"]["kept"])
    return [row[rule]["first"]] if row[rule]["first"] else []


def share(values: Sequence[bool]) -> str:
    """Return a percentage with its bootstrap standard error."""
    numbers = np.asarray(values, dtype=float)
    draws = np.random.default_rng(SEED).integers(len(numbers), size=(DRAWS, len(numbers)))
    return f"{100 * numbers.mean():5.1f} ± {100 * numbers[draws].mean(axis=1).std():.1f}"


def error(values: Sequence[float]) -> str:
    """Return the median absolute error in percent with its bootstrap standard error."""
    numbers = np.abs(np.asarray(values, dtype=float))
    if not len(numbers):
        return "-"
    draws = np.random.default_rng(SEED).integers(len(numbers), size=(DRAWS, len(numbers)))
    return f"{100 * np.median(numbers):5.2f} ± {100 * np.median(numbers[draws], axis=1).std():.2f}"


def gain(ours: Sequence[bool], theirs: Sequence[bool]) -> str:
    """Return by how many percent more hits we have, with its bootstrap standard error over rows."""
    a, b = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    draws = np.random.default_rng(SEED).integers(len(a), size=(DRAWS, len(a)))
    ratios = a[draws].sum(axis=1) / np.maximum(b[draws].sum(axis=1), 1)
    return f"{100 * (a.sum() / b.sum() - 1):+.1f} ± {100 * ratios.std():.1f} %"


def lines(ids: Sequence[str], done: Mapping[str, Any], relaxed: Mapping[str, Any]) -> Iterator[str]:
    """Yield the table."""
    firsts = {rule: [(done[i][rule]["judged"] or [WRONG])[0] for i in ids] for rule in RULES}
    yield f"{len(ids)} rows, {sum(done[i]['template'] for i in ids)} with a template of another formula"
    head = f"{'rule':16}{'hit top 1, %':>15}{'hit top 5, %':>15}{'space group, %':>16}{'volume error, %':>17}"
    yield f"as substituted\n{head}{'guessed':>9}{'ms':>7}"
    for rule in RULES:
        judged = [done[i][rule]["judged"] for i in ids]
        first = firsts[rule]
        milliseconds = 1e3 * float(np.median([done[i][rule]["seconds"] for i in ids]))
        yield (
            f"{rule:16}{share([x['hit'] for x in first]):>15}"
            f"{share([any(x['hit'] for x in row) for row in judged]):>15}{share([x['group'] for x in first]):>16}"
            f"{error([x['volume'] for x in first if x['volume'] is not None]):>17}{sum(map(bool, judged)):9d}"
            f"{milliseconds:7.0f}"
        )
    dls = [done[i]["dls"] for i in ids if done[i]["dls"] is not None]
    yield f"our first guesses with the volume of pymatgen's DLSVolumePredictor: {error(dls)} %, for {len(dls)} of them"
    for other in ("paper", "nearest"):
        hits = [[x["hit"] for x in firsts[rule]] for rule in ("ours", other)]
        yield f"ours over {other}, hits among top 1: {gain(*hits)}"
    part = [i for i in ids if all(f"{i}|{rule}" in relaxed for rule in RELAXED)]
    if not part:
        return
    yield f"first {len(part)} rows, before and after relaxation by CHGNet, {STEPS} steps at most\n{head}{'failed':>8}"
    at = {name: i for i, name in enumerate(ids)}
    after = {rule: [relaxed[f"{i}|{rule}"] for i in part] for rule in RELAXED}
    for rule in RELAXED:
        before = [] if rule == LEAST else [(rule, [firsts[rule][at[i]] for i in part])]
        label = f"least of {KEPT}" if rule == LEAST else "  relaxed"
        for name, rows in (*before, (label, after[rule])):
            failed = sum(bool(x.get("error")) for x in rows)
            yield (
                f"{name:16}{share([x['hit'] for x in rows]):>15}{'':15}{share([x['group'] for x in rows]):>16}"
                f"{error([x['volume'] for x in rows if x['volume'] is not None]):>17}{failed:8d}"
            )
    for what in ("hit", "group"):
        found = {rule: [x[what] for x in rows] for rule, rows in after.items()}
        for other in ("paper", "ours"):
            yield f"least of {KEPT} over {other} relaxed, {what}: {gain(found[LEAST], found[other])}"
    for scale in SCALES:
        chosen = [weighed(relaxed[f"{i}|{LEAST}"], done[i]["ours"]["likelihoods"], scale) for i in part]
        hits, groups = ([x[what] for x in chosen] for what in ("hit", "group"))
        over = gain(hits, [x["hit"] for x in after["paper"]])
        yield (
            f"of {KEPT}, least energy / {scale:g} eV/atom - ln likelihood: hit {share(hits)} %, "
            f"group {share(groups)} %; hits over paper relaxed {over}"
        )
    one_of = [any(x["hit"] for x in done[i]["ours"]["judged"][:KEPT]) for i in part]
    yield f"one of our first {KEPT} is a hit as substituted: {share(one_of)} %"


def weighed(row: Mapping[str, Any], likelihoods: Sequence[float], scale: float) -> Mapping[str, Any]:
    """Return how the relaxed guess fares that energy (in units of `scale`) and likelihood together speak for."""
    found = preferred(row.get("energies", ()), likelihoods, scale)
    return WRONG if found is None else row["each"][found]


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--relax", type=int, default=0)
    parser.add_argument("--part", choices=PARTS, default="development")
    parser.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES), help="with fewer, no table")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    options.out.mkdir(parents=True, exist_ok=True)
    folder = Path(os.environ.get("ALDESIGN_DATA", "../shared/data")) / "mp"
    ids = chosen_rows(folder, options.part, options.rows)
    library = TemplateLibrary.from_path(folder)
    done = guess_all(ids, library, options.out, options.rules)
    relaxed = relax_all(ids[: options.relax], done, library, options.out, RELAXED)
    if set(RULES) - set(options.rules):
        return
    for line in lines(ids, done, relaxed):
        print(line)


if __name__ == "__main__":
    main()
