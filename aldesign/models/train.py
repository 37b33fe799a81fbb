"""Train the autoencoder or the generator from a list of formulas: split, fit, judge, save."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.chemistry.formula import parse_many
from aldesign.chemistry.neutrality import valid_mask
from aldesign.chemistry.onehot import decode_indices, indices, refusals
from aldesign.errors import InputError
from aldesign.models import autoencoder, gan
from aldesign.models.wasserstein import Game
from aldesign.seeds import stream

MODELS = ("autoencoder", "gan")
HELD_OUT = 0.10
VALIDATION = 0.02
LEAST = 50  # formulas, below which a split leaves nothing to judge by
SAMPLES = 20_000


def train_model(
    name: str,
    formulas: Sequence[str],
    out: Path,
    *,
    seed: int = 0,
    epochs: int | None = None,
    minutes: float | None = None,
    progress: Callable[[str], None] | None = None,
    origin: str = "a list of formulas",
    licence: str = "that of the training formulas",
) -> dict[str, Any]:
    """Train the model called `name`, write weights and card to `out`, and return the metrics.

    Formulas are made canonical and unique, then split: 10 % are held out for the metrics alone, 2 % choose the best
    weights (autoencoder). Interrupted work goes on from ``out/checkpoint`` when called again; the folder is removed
    at the end.

    Args:
        name: ``autoencoder`` or ``gan``.
        formulas: Any spelling; those without a one-hot matrix (fractional, a count above 20) are left out.
        out: Folder of the result.
        seed: Seed of the split, of the initial weights and of the batches.
        epochs: Passes; None for the model's own number.
        minutes: Time limit; equal seeds then no longer give equal weights.
        progress: Takes one line an epoch.
        origin: Where the formulas came from, for the card.
        licence: Licence of that origin, for the card.

    Raises:
        InputError: There is no such model, or fewer than 50 usable formulas.
        CheckpointError: ``out/checkpoint`` belongs to another training run.

    """
    if name not in MODELS:
        raise InputError(f"no generative model is called {name!r}", f"allowed: {', '.join(MODELS)}")
    table, left_out = usable(formulas)
    if len(table) < LEAST:
        raise InputError(
            f"{len(table)} of {len(formulas)} formulas can be used", f"give {LEAST} or more with whole counts up to 20"
        )
    held_out, validation, train = split(len(table), seed)
    data = {
        "origin": origin,
        "formulas": len(table),
        "left_out": left_out,
        "sha256": hashlib.sha256("\n".join(sorted(decoded(table))).encode()).hexdigest(),
    }
    shares = {"by": "formula", "seed": seed, "train": len(train), "validation": len(validation)}
    card = {"data": data, "split": {**shares, "held_out": len(held_out)}, "licence": licence}
    checkpoint = out / "checkpoint"
    fit = _train_autoencoder if name == "autoencoder" else _train_gan
    parts = (table[train], table[validation], table[held_out])
    metrics = fit(parts, card, out, checkpoint, seed, epochs, minutes, progress)
    shutil.rmtree(checkpoint, ignore_errors=True)
    return metrics


def usable(formulas: Sequence[str]) -> tuple[np.ndarray, int]:
    """Return the distinct formulas that have a one-hot matrix, int8 (n, 103), and how many rows have none."""
    parsed, errors = parse_many(formulas)
    reasons = refusals(parsed)
    good = np.array([e is None and r is None for e, r in zip(errors, reasons, strict=True)], dtype=bool)
    return np.unique(indices(parsed[np.flatnonzero(good)]), axis=0), int((~good).sum())


def split(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows held out, those for validation and those to train on."""
    order = stream(seed, 0, "split").permutation(n)
    first, second = round(HELD_OUT * n), round((HELD_OUT + VALIDATION) * n)
    return order[:first], order[first:second], order[second:]


def decoded(table: np.ndarray) -> list[str]:
    """Return the canonical formulas of rows of counts (n, 103), without the empty ones."""
    return [formula for formula in decode_indices(table) if formula is not None]


Parts = tuple[np.ndarray, np.ndarray, np.ndarray]
Progress = Callable[[str], None] | None


def _train_autoencoder(
    parts: Parts,
    card: dict[str, Any],
    out: Path,
    checkpoint: Path,
    seed: int,
    epochs: int | None,
    minutes: float | None,
    progress: Progress,
) -> dict[str, Any]:
    train, validation, held_out = parts
    plan = replace(autoencoder.PLAN, epochs=epochs or autoencoder.PLAN.epochs, max_minutes=minutes)
    model = autoencoder.FormulaAutoencoder()
    history = model.fit(
        decoded(train),
        decoded(validation),
        seed=seed,
        checkpoint=checkpoint,
        progress=progress,
        plan=plan,
        held_out=decoded(held_out),
    )
    card = {**card, "training_seconds": round(history.seconds, 1), "epochs": len(history.train), "metrics": {}}
    model.save(out, card)
    model = autoencoder.FormulaAutoencoder.load(out)  # judge what was written, rounded to 16 bits
    metrics = {
        "exact_train": share(autoencoder.exact(model.network, train)),
        "exact_held_out": share(autoencoder.exact(model.network, held_out)),
        **latent_quality(model, train, seed),
    }
    model.save(out, {**card, "metrics": metrics})
    return metrics


def latent_quality(model: autoencoder.FormulaAutoencoder, train: np.ndarray, seed: int) -> dict[str, Any]:
    """Return how many decodes are formulas, and SMACT-valid, at 2,000 points each of the box and near the data.

    The box is that of up to 500 training latents, sampled uniformly; the neighbours are those latents moved by 0.3
    of the standard deviation in every dimension.
    """
    rng = stream(seed, 0, "quality")
    latents = model.encode_table(train[rng.permutation(len(train))[:500]])
    low, high = model.bounds(latents)
    start = latents[rng.integers(len(latents), size=2000)]
    points = {
        "box": rng.uniform(low, high, size=(2000, model.latent_size)),
        "neighbours": start + 0.3 * latents.std(axis=0) * rng.standard_normal(start.shape),
    }
    found: dict[str, Any] = {"valid_train": share(validity(train))}
    for place, z in points.items():
        table = model.decode_table(z)
        found[f"formed_{place}"] = share(table.any(axis=1))
        found[f"valid_{place}"] = share(validity(table))
        found[f"unique_{place}"] = round(len(np.unique(table, axis=0)) / len(table), 4)
        found[f"elements_{place}"] = round(float((table > 0).sum(axis=1).mean()), 3)
    return found


def _train_gan(
    parts: Parts,
    card: dict[str, Any],
    out: Path,
    checkpoint: Path,
    seed: int,
    epochs: int | None,
    minutes: float | None,
    progress: Progress,
) -> dict[str, Any]:
    train, validation, held_out = parts
    kept = np.concatenate([train, validation])
    plan = replace(gan.PLAN, epochs=epochs or gan.PLAN.epochs, max_minutes=minutes)
    model = gan.FormulaGAN()
    history = model.fit(decoded(kept), seed=seed, checkpoint=checkpoint, progress=progress, plan=plan)
    card = {**card, "training_seconds": round(history.seconds, 1), "epochs": history.epochs, "metrics": {}}
    card["data"] = {**card["data"], "filter": gan.FILTER, "trained_on": history.formulas}
    card["game"] = {"objective": gan.FILTER, **asdict(Game())}
    model.save(out, card)
    model = gan.FormulaGAN.load(out)
    metrics = sample_quality(model, kept, held_out, seed)
    model.save(out, {**card, "metrics": metrics})
    return metrics


def sample_quality(
    model: gan.FormulaGAN, train: np.ndarray, held_out: np.ndarray, seed: int, n: int = SAMPLES
) -> dict[str, Any]:
    """Return validity, uniqueness and novelty of `n` samples, beside the figures of the training formulas.

    ``element_shares_distance`` is half the sum of the absolute differences between the shares of the elements.
    """
    started = time.perf_counter()
    formulas = model.sample(n, stream(seed, 0, "samples"))
    seconds = time.perf_counter() - started
    parsed, _ = parse_many(formulas)
    table = indices(parsed)
    hidden = {row.tobytes() for row in held_out}
    known = {row.tobytes() for row in train} | hidden
    filtered = train[gan.trainable(train)]
    unique = len({row.tobytes() for row in table})
    return {
        "samples": n,
        "valid": share(valid_mask(parsed)),
        "valid_train": share(validity(train)),
        "valid_train_filtered": share(validity(filtered)),
        "neutral": share(gan.trainable(table)),
        "unique": round(unique / n, 4),
        "novel": share(np.array([row.tobytes() not in known for row in table])),
        "held_out_found": len({row.tobytes() for row in table} & hidden),
        "elements": distribution(table),
        "elements_train": distribution(filtered),
        "element_shares_distance": round(float(np.abs(element_shares(table) - element_shares(filtered)).sum() / 2), 4),
        "mean_elements": round(float((table > 0).sum(axis=1).mean()), 3),
        "distinct_elements": int((table > 0).any(axis=0).sum()),
        "samples_per_second": round(n / seconds),
    }


def validity(table: np.ndarray) -> np.ndarray:
    """Return whether each row of counts (n, 103) is a formula and passes SMACT's test, bool (n,)."""
    valid = np.zeros(len(table), dtype=bool)
    formed = np.flatnonzero(table.any(axis=1))
    valid[formed] = valid_mask(parse_many(decoded(table[formed]))[0])
    return valid


def share(mask: np.ndarray | np.bool) -> float:
    """Return the share of true values, to four digits; 0 for none at all."""
    return round(float(np.mean(mask)), 4) if np.size(mask) else 0.0


def element_shares(table: np.ndarray) -> np.ndarray:
    """Return each element's share of all the occurrences of elements in counts (n, 103), float64 (103,)."""
    occurrences = (table > 0).sum(axis=0)
    return np.asarray(occurrences / max(int(occurrences.sum()), 1))


def distribution(table: np.ndarray) -> dict[str, float]:
    """Return the share of formulas with 1, 2, … elements."""
    n = (table > 0).sum(axis=1)
    return {str(k): round(float((n == k).mean()), 4) for k in range(1, int(n.max(initial=0)) + 1)}
