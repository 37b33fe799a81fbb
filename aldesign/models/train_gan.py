"""Train a generator of formulas, and judge what was written."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.models import gan
from aldesign.models.counting import Parts, Progress, decoded
from aldesign.models.gan_quality import judge, training_figures
from aldesign.models.wasserstein import Game
from aldesign.seeds import stream

SAMPLES = 2_000_000


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
    model: gan.FormulaGAN, train: np.ndarray, held_out: np.ndarray, seed: int, n: int | None = None
) -> dict[str, Any]:
    """Return the figures of `n` samples (None for `SAMPLES`), of a tenth as many raw draws, and of the training set.

    See `gan_quality.judge`.
    """
    n = SAMPLES if n is None else n
    shown = judge(model, train, held_out, n, stream(seed, 0, "samples"))
    raw = judge(model, train, held_out, max(n // 10, 1), stream(seed, 0, "raw samples"), plausible=False)
    return {**shown, **training_figures(train), "raw": raw}
