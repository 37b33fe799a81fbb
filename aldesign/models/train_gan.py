"""Train a generator of formulas, and judge what was written."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.chemistry.formula import parse_many
from aldesign.chemistry.neutrality import valid_mask
from aldesign.chemistry.onehot import indices
from aldesign.models import gan
from aldesign.models.counting import Parts, Progress, decoded, distribution, element_shares, share, validity
from aldesign.models.wasserstein import Game
from aldesign.seeds import stream

SAMPLES = 20_000


def train_gan(
    parts: Parts,
    card: dict[str, Any],
    out: Path,
    checkpoint: Path,
    seed: int,
    epochs: int | None,
    minutes: float | None,
    progress: Progress,
) -> dict[str, Any]:
    """Train on the first two of `parts`, save to `out`, and return the metrics of the weights as written."""
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
