"""Train the autoencoder or the generator from a list of formulas: split, fit, judge, save."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.chemistry.formula import parse_many
from aldesign.chemistry.onehot import indices, refusals
from aldesign.errors import InputError
from aldesign.models.counting import decoded
from aldesign.models.train_autoencoder import train_autoencoder
from aldesign.models.train_gan import train_gan
from aldesign.seeds import stream

MODELS = ("autoencoder", "gan")
HELD_OUT = 0.10
VALIDATION = 0.02
LEAST = 50  # formulas, below which a split leaves nothing to judge by


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
    options: Mapping[str, Any] | None = None,
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
        options: Of the autoencoder, see `train_autoencoder`.

    Raises:
        InputError: There is no such model or option, or fewer than 50 usable formulas.
        CheckpointError: ``out/checkpoint`` belongs to another training run.

    """
    if name not in MODELS:
        raise InputError(f"no generative model is called {name!r}", f"allowed: {', '.join(MODELS)}")
    if options and name != "autoencoder":
        raise InputError(f"options {', '.join(options)} were given", "the generator has no options")
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
    parts = (table[train], table[validation], table[held_out])
    how = (out, checkpoint, seed, epochs, minutes, progress)
    metrics = train_autoencoder(parts, card, *how, options) if name == "autoencoder" else train_gan(parts, card, *how)
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
