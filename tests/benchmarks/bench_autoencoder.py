"""What the shipped autoencoder does on formulas it has not seen, and what each part of its training buys.

Run: python tests/benchmarks/bench_autoencoder.py [--ablation FILE.csv]

Without options: the shipped weights, in formulas, neighbours, surrogate error and speed. With ``--ablation``, small
networks are trained on 20,000 formulas for six epochs each, one for every regulariser, and a row of FILE is
written for each (about ten minutes of processor time; rows that FILE has already are kept). Data come from the
folder that `ALDESIGN_DATA` names.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from smact.screening import smact_validity

from aldesign.chemistry.distance import cumulative
from aldesign.chemistry.elements import ALPHABET
from aldesign.chemistry.formula import canonical_many, compositions, parse_many
from aldesign.chemistry.onehot import compositions_of, decode_indices, indices, refusals
from aldesign.learning.threads import pin_threads
from aldesign.models.autoencoder import PAPER_PLAN, PLAN, AutoencoderConfig, FormulaAutoencoder, exact
from aldesign.models.autoencoder_targets import statistics
from aldesign.models.counting import decoded
from aldesign.models.surrogates.gaussian_process import GaussianProcess
from aldesign.models.train import split, usable
from aldesign.models.train_autoencoder import SLACK, latent_quality, read_labels
from aldesign.seeds import stream
from oracles.features.magpie import magpie

DATA = Path(os.environ.get("ALDESIGN_DATA", Path(__file__).parents[3] / "shared" / "data"))
BARE = AutoencoderConfig(
    augmented=0.0, noise=0.0, statistics=0.0, label=0.0, kinship=0.0, spread=0.0, tidiness=0.0, likeness=0.0
)
DENOISED = replace(BARE, augmented=0.6, noise=0.25)
TIDY = replace(DENOISED, tidiness=0.5, likeness=1.0)
VARIANTS = {
    "bare": BARE,
    "augmented, denoising": DENOISED,
    "the same, random points like formulas": TIDY,
    "random points like formulas, heads": replace(TIDY, statistics=20.0, label=40.0),
    "the same, kinship and some spread (as shipped)": AutoencoderConfig(),
    "random points like formulas, spread": replace(TIDY, spread=2.0),
    "augmented, variational": replace(BARE, augmented=0.6, variational=0.05),
    "agd": AutoencoderConfig(architecture="agd", augmented=0.0),
}
SUBSET, EPOCHS, PAPER_EPOCHS = 20_000, 6, 2  # an epoch of the paper's convolutions takes nine times as long
LABELLED = 1000  # formulas that the surrogate learns from


def gaps() -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Return formulas and PBE gaps in eV of the generative-design paper, and the rows to choose and to report by."""
    with (DATA / "agd" / "Exp1_42k.csv").open(newline="") as stream_:
        rows = list(csv.DictReader(stream_))
    found: dict[str, list[float]] = {}
    for name, row in zip(canonical_many([row["composition"] for row in rows]), rows, strict=True):
        if isinstance(name, str):
            found.setdefault(name, []).append(float(row["Eg"]))
    names = sorted(found)
    names = [n for n, reason in zip(names, refusals(compositions(names)), strict=True) if reason is None]
    order = stream(0, 0, "halves").permutation(len(names))
    values = np.array([np.mean(found[name]) for name in names])
    return names, values, order[: len(names) // 2], order[len(names) // 2 :]


def surrogate(x: np.ndarray, y: np.ndarray, rows: np.ndarray, repeats: int = 3) -> dict[str, float]:
    """Return error and explained variance of the gaps of 5,000 formulas, from a Gaussian process on 1,000 others."""
    errors, explained = [], []
    for repeat in range(repeats):
        order = np.random.default_rng(repeat).permutation(rows)
        known, asked = order[:LABELLED], order[LABELLED : LABELLED + 5000]
        mean, _ = GaussianProcess().fit(x[known], y[known]).posterior(x[asked])
        errors.append(np.abs(mean - y[asked]).mean())
        explained.append(1 - np.square(mean - y[asked]).mean() / y[asked].var())
    return {"gap_mae_ev": round(float(np.mean(errors)), 3), "gap_r2": round(float(np.mean(explained)), 3)}


def standardised(x: np.ndarray) -> np.ndarray:
    """Return columns (n, d) of zero mean and unit standard deviation; constant ones are zero."""
    scale = x.std(axis=0)
    return np.asarray((x - x.mean(axis=0)) / np.where(scale > 0, scale, 1.0))


def neighbours(x: np.ndarray, table: np.ndarray, k: int = 10, asked: int = 500) -> dict[str, float]:
    """Return how alike the k nearest of 5,000 points are to theirs: distance, shared elements, same families."""
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(x))[:5000]
    x, table = x[rows], table[rows]
    square = (x**2).sum(axis=1)
    distance = square[:asked, None] + square - 2 * x[:asked] @ x.T
    distance[np.arange(asked), np.arange(asked)] = np.inf
    near = distance.argsort(axis=1)[:, :k]
    reach = cumulative(compositions_of(table))
    random = rng.integers(len(x), size=near.shape)
    own, other = table[:asked, None] > 0, table[near] > 0
    family = statistics(np.eye(len(ALPHABET), dtype=np.int8))[:, 48:69] > 0
    same = ((table > 0) @ family)[:asked, None] == ((table > 0) @ family)[near]
    return {
        "neighbour_emd": round(float(np.abs(reach[:asked, None] - reach[near]).sum(axis=2).mean()), 2),
        "random_emd": round(float(np.abs(reach[:asked, None] - reach[random]).sum(axis=2).mean()), 2),
        "shared_elements": round(float(((own & other).sum(axis=2) / (own | other).sum(axis=2)).mean()), 3),
        "same_families": round(float(same.all(axis=2).mean()), 3),
    }


def ablate(out: Path) -> None:
    """Train every variant that `out` lacks, and add its row."""
    table, _ = usable((DATA / "mp" / "formulas.txt").read_text().split())
    held_out, validation, train = split(len(table), 0)
    some = decoded(table[train[:SUBSET]])
    names, gap, _, reported = gaps()
    energies = read_labels(DATA / "mp" / "labels.csv.gz", where="e_form_basis=composition+spg unique")
    known = np.array([energies.get(formula, np.nan) for formula in some])
    done = {row["variant"] for row in csv.DictReader(out.open(newline=""))} if out.exists() else set()
    for variant, config in VARIANTS.items():
        if variant in done:
            continue
        paper = config.architecture == "agd"
        model, started = FormulaAutoencoder(config), time.process_time()
        model.fit(
            some,
            decoded(table[validation]),
            labels=known,
            plan=replace(PAPER_PLAN, epochs=PAPER_EPOCHS) if paper else replace(PLAN, epochs=EPOCHS),
            held_out=decoded(table[held_out]),
        )
        seconds = time.process_time() - started
        quality = latent_quality(model, table[train[:SUBSET]], 0)
        counts = indices(compositions(names))
        x = model.encode_table(counts)
        row: dict[str, object] = {
            "variant": variant,
            "exact_held_out": round(float(exact(model.network, table[held_out]).mean()), 4),
            **surrogate(x, gap, reported),
            **neighbours(x[reported], counts[reported]),
            **{f"{part}_{region}": quality[region][part] for region in ("near", "sphere") for part in quality["near"]},
            "cpu_seconds": round(seconds),
        }
        print(row, flush=True)
        with out.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if not file.tell():
                writer.writeheader()
            writer.writerow(row)


def judge() -> None:
    """Print what the shipped weights do."""
    model = FormulaAutoencoder.load()
    table, _ = usable((DATA / "mp" / "formulas.txt").read_text().split())
    held_out, _, train = split(len(table), model.card["split"]["seed"])
    print(f"exact, {len(held_out)} held-out formulas: {exact(model.network, table[held_out]).mean():.4%}")
    names, gap, _, reported = gaps()
    counts = indices(compositions(names))
    spaces = {
        "latent": model.encode_table(counts),
        "Magpie": standardised(magpie(compositions_of(counts))),
        "statistics": standardised(statistics(counts).astype(np.float64)),
    }
    for name, x in spaces.items():
        print(name, surrogate(x, gap, reported), neighbours(x[reported], counts[reported]))
    proposals(model, table[train])
    points = model.encode_table(table[train[:8192]])
    points = points + 0.3 * np.random.default_rng(0).standard_normal(points.shape)
    formulas = decode_indices(table[train[:8192]])
    print(f"encode            {rate(lambda: model.encode([str(f) for f in formulas])):8.0f} formulas/s")
    print(f"decode            {rate(lambda: model.decode(points)):8.0f} points/s")
    print(f"decode, plausible {rate(lambda: model.decode_plausible(points, SLACK)):8.0f} points/s")


def proposals(model: FormulaAutoencoder, train: np.ndarray, n: int = 2000) -> None:
    """Print, by region of the latent space, the shares of formed, small, and SMACT-valid formulas of n points."""
    rng = np.random.default_rng(1)
    start = model.encode_table(train[rng.integers(len(train), size=n)])
    other = model.encode_table(train[rng.integers(len(train), size=n)])
    unit = rng.standard_normal(start.shape)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    radius = np.sqrt(model.latent_size)
    regions = {f"within {r:g} of the radius": start + r * radius * unit for r in (0.1, 0.2, 0.4, 0.6, 0.8)}
    regions |= {f"{s:g} of the way to another": start + s * (other - start) for s in (0.25, 0.5)}
    regions["random directions"] = unit * radius
    for region, points in regions.items():
        for kind, found in (
            ("plain", model.decode(points)),
            ("plausible", model.decode_plausible(points, SLACK, max_elements=5)),
        ):
            formed = [f for f in found if f]
            small = parse_many(formed)[0].n_elements() <= 5
            valid = [smact_validity(f) for f in formed]
            print(
                f"{region:27} {kind:10} formed {len(formed) / n:.2%}  <= 5 elements {small.sum() / n:.2%}  "
                f"SMACT-valid {sum(valid) / n:.2%}  distinct {len(set(formed)) / n:.2%}"
            )


def rate(work: Callable[[], object], n: int = 8192) -> float:
    """Return rows a second of processor time, best of three."""
    seconds = []
    for _ in range(3):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return n / min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ablation", type=Path, metavar="FILE.csv")
    arguments = parser.parse_args()
    pin_threads(1)
    torch.set_num_threads(1)
    if arguments.ablation:
        ablate(arguments.ablation)
    else:
        judge()


if __name__ == "__main__":
    main()
