"""Train an autoencoder of formulas, and judge what was written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.chemistry.formula import canonical_many
from aldesign.errors import InputError
from aldesign.models import autoencoder
from aldesign.models.counting import Parts, Progress, decoded, share, validity
from aldesign.seeds import stream
from aldesign.tables.columns import named
from aldesign.tables.numbers import number_of
from aldesign.tables.rawfile import open_rows

LABEL = "formation_energy_per_atom"
SLACK = 10.0  # nats, of the plausible decodes that are counted
POINTS = 2000  # of each region in which decodes are counted


def train_autoencoder(
    parts: Parts,
    card: dict[str, Any],
    out: Path,
    checkpoint: Path,
    seed: int,
    epochs: int | None,
    minutes: float | None,
    progress: Progress,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train on the first of `parts`, save to `out`, and return the metrics of the weights as written.

    Args:
        parts: To train on, to choose the weights by, and held out.
        card: What is known of data and split.
        out: Folder of the result.
        checkpoint: Folder of the running state.
        seed: Of the weights and the batches.
        epochs: Passes; None for the architecture's own number.
        minutes: Time limit, or None.
        progress: Takes one line an epoch.
        options: Attributes of `AutoencoderConfig`; and ``labels``, a table from which a head learns, with ``column``
            and ``where`` as in `read_labels`.

    Raises:
        InputError: There is no such option, or the table of labels cannot be used.

    """
    train, validation, held_out = parts
    chosen = dict(options or {})
    file, column, where = chosen.pop("labels", None), str(chosen.pop("column", LABEL)), str(chosen.pop("where", ""))
    model = autoencoder.FormulaAutoencoder(_config(chosen))
    known: dict[str, float] = {}
    if file is not None:
        known = read_labels(Path(file), column, where)
        text = "\n".join(f"{formula} {value!r}" for formula, value in sorted(known.items()))
        told = {"file": Path(file).name, "column": column, "where": where, "formulas": len(known)}
        card = {**card, "labels": {**told, "sha256": hashlib.sha256(text.encode()).hexdigest()}}
    plan = autoencoder.usual_plan(model.config)
    names = decoded(train)
    history = model.fit(
        names,
        decoded(validation),
        labels=_of(names, known),
        seed=seed,
        checkpoint=checkpoint,
        progress=progress,
        plan=replace(plan, epochs=epochs or plan.epochs, max_minutes=minutes),
        held_out=decoded(held_out),
    )
    card = {**card, "training_seconds": round(history.seconds, 1), "epochs": len(history.train), "metrics": {}}
    model.save(out, card)
    model = autoencoder.FormulaAutoencoder.load(out)  # judge what was written, rounded to 16 bits
    metrics: dict[str, Any] = {
        "exact_train": share(autoencoder.exact(model.network, train)),
        "exact_held_out": share(autoencoder.exact(model.network, held_out)),
    }
    error = np.abs(model.labels(model.encode_table(held_out)) - _of(decoded(held_out), known))
    if np.isfinite(error).any():
        metrics["label_mae_held_out"] = round(float(np.nanmean(error)), 4)
    metrics |= latent_quality(model, train, seed)
    model.save(out, {**card, "metrics": metrics})
    return metrics


def read_labels(path: Path, column: str = LABEL, where: str = "") -> dict[str, float]:
    """Return a number by canonical formula, the lowest of several; rows without formula or number are left out.

    Args:
        path: A table with a column called formula.
        column: That of the numbers.
        where: ``COLUMN=VALUE``: the other rows are left out too; empty for none.

    Raises:
        InputError: The file cannot be read or lacks a column, or a number is none.

    """
    condition, sign, value = where.partition("=")
    if where and not sign:
        raise InputError(f"where is {where!r}", "give COLUMN=VALUE")
    with open_rows(path) as file:
        formula, number = named(path, file.columns, "formula", "labels"), named(path, file.columns, column, "column")
        kept = named(path, file.columns, condition, "where") if where else ""
        rows = [row for row in file.rows if not where or str(row.cells.get(kept, "")) == value]
        delimiter = file.delimiter
    found: dict[str, float] = {}
    names = canonical_many([str(row.cells.get(formula, "")) for row in rows])
    for name, row in zip(names, rows, strict=True):
        try:
            label = number_of(row.cells.get(number), delimiter)
        except ValueError as error:
            raise InputError(
                f"{path}, line {row.line}: {error}", f"leave {column} empty where it is unknown"
            ) from error
        if isinstance(name, str) and label is not None:
            found[name] = min(label, found.get(name, np.inf))
    return found


def latent_quality(model: autoencoder.FormulaAutoencoder, train: np.ndarray, seed: int) -> dict[str, Any]:
    """Return how many decodes are SMACT-valid and small at `POINTS` points each of several regions of the latent space.

    ``near`` are latents of `train` moved by 0.3 of the standard deviation in every dimension, ``between`` lie
    halfway between two of them, ``sphere`` in random directions, ``box`` uniformly in the box of 500 of them.
    ``plausible`` is the valid share of `decode_plausible`, with a slack of `SLACK`.
    """
    rng = stream(seed, 0, "quality")
    latents = model.encode_table(train[rng.permutation(len(train))[:500]])
    first, second = (latents[rng.integers(len(latents), size=POINTS)] for _ in range(2))
    shape, (low, high) = first.shape, model.bounds(latents)
    points = {
        "near": first + 0.3 * latents.std(axis=0) * rng.standard_normal(shape),
        "between": (first + second) / 2,
        "sphere": rng.standard_normal(shape),
        "box": low + (high - low) * rng.random(shape),
    }
    found: dict[str, Any] = {"valid_train": share(validity(train))}
    for region, z in points.items():
        table = model.decode_table(z)
        size = (table > 0).sum(axis=1)
        found[region] = {
            "valid": share(validity(table)),
            "plausible": share(validity(model.decode_plausible_table(z, SLACK, max_elements=5))),
            "up_to_5_elements": share(size <= 5),
            "elements": round(float(size.mean()), 3),
            "unique": round(len(np.unique(table, axis=0)) / len(table), 4),
        }
    return found


def _config(options: Mapping[str, Any]) -> autoencoder.AutoencoderConfig | None:
    """Return the configuration that `options` change, None where they change nothing."""
    if not options:
        return None
    allowed = {field.name: type(field.default) for field in fields(autoencoder.AutoencoderConfig)}
    for name, value in options.items():
        if name not in allowed:
            raise InputError(
                f"the autoencoder has no option {name!r}", f"allowed: labels, column, where, {', '.join(allowed)}"
            )
        if isinstance(value, bool) or not isinstance(value, (float, int) if allowed[name] is float else allowed[name]):
            raise InputError(f"the option {name} is {value!r}", f"give a value of type {allowed[name].__name__}")
    config = autoencoder.AutoencoderConfig(**options)
    if config.architecture not in ("residual", "agd"):
        raise InputError(f"no architecture is called {config.architecture!r}", "allowed: residual, agd")
    return config


def _of(formulas: list[str], known: Mapping[str, float]) -> np.ndarray:
    return np.array([known.get(formula, np.nan) for formula in formulas], dtype=np.float64)
