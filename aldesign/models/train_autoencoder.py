"""Train an autoencoder of formulas, and judge what was written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.models import autoencoder
from aldesign.models.counting import Parts, Progress, decoded, share, validity
from aldesign.seeds import stream


def train_autoencoder(
    parts: Parts,
    card: dict[str, Any],
    out: Path,
    checkpoint: Path,
    seed: int,
    epochs: int | None,
    minutes: float | None,
    progress: Progress,
) -> dict[str, Any]:
    """Train on the first of `parts`, save to `out`, and return the metrics of the weights as written."""
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
