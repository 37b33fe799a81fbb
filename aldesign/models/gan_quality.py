"""How good a generator's formulas are: validity, repeats, novelty, and the held-out formulas found again."""

from __future__ import annotations

import time
from typing import Any, Unpack

import numpy as np

from aldesign.chemistry.neutrality import Options, valid_mask
from aldesign.chemistry.onehot import N_ROWS, compositions_of
from aldesign.models.counting import distribution, element_shares, share
from aldesign.models.gan import FormulaGAN, Wanted, trainable
from aldesign.models.gan_sampling import names

UNIQUE_DRAWS = 340_000  # among which MATGAN's repeats were counted
_JUDGED = 50_000  # draws whose charges are balanced: shares to 0.2 %
_STREAMED = 131_072
_SIZES = (2, 3, 4)
_NEUTRAL = Options(include_alloys=False, use_pauling_test=False)
_BALANCED = Options(include_alloys=False)


def plausibility(table: np.ndarray) -> dict[str, float]:
    """Return the shares of rows of counts (n, 103) that pass three tests.

    ``valid`` is SMACT's own test with its defaults, which accepts alloys; ``neutral`` asks for charges that add up to
    zero, ``balanced`` also for cations less electronegative than anions, both of alloys too.
    """
    formed = table[table.any(axis=1)]
    parsed = compositions_of(formed)
    scale = len(formed) / max(len(table), 1)
    tests = {"valid": Options(), "neutral": _NEUTRAL, "balanced": _BALANCED}
    return {name: round(share(valid_mask(parsed, options)) * scale, 4) for name, options in tests.items()}


def judge(
    model: FormulaGAN,
    train: np.ndarray,
    held_out: np.ndarray,
    draws: int,
    rng: np.random.Generator,
    **wanted: Unpack[Wanted],
) -> dict[str, Any]:
    """Draw from `model` in a stream, in flat memory, and count.

    Args:
        model: The generator.
        train: Counts of the formulas it could learn from, int8 (n, 103), before its filter.
        held_out: Counts of formulas that it did not see, int8 (m, 103).
        draws: How many formulas.
        rng: Source of randomness.
        wanted: What they must be.

    Returns:
        Shares, rounded: of draws that are plausible (see `plausibility`; of the first 50,000), distinct and new (of
        the first 340,000), and of the held-out formulas that were drawn, by number of elements, two to four together
        (``recovered``), and of those among these that pass the generator's filter (``recovered_admitted``).

    """
    hidden = names(held_out)
    known = np.concatenate([names(train), hidden])
    found = np.zeros(len(hidden), dtype=bool)
    first, judged, shares = np.zeros(0, dtype=np.int64), np.zeros((0, N_ROWS), dtype=np.int8), np.zeros(N_ROWS)
    seconds = 0.0
    source = model.stream_tables(rng, min(_STREAMED, draws), **wanted)
    done = 0
    while done < draws:
        started = time.perf_counter()
        table = next(source)[: draws - done]
        seconds += time.perf_counter() - started
        done += len(table)
        drawn = names(table)
        found |= np.isin(hidden, drawn)
        first = np.concatenate([first, drawn[: UNIQUE_DRAWS - len(first)]])
        judged = np.concatenate([judged, table[: _JUDGED - len(judged)]])
        shares += len(table) * element_shares(table)
    size = (held_out > 0).sum(axis=1)
    few = (size >= _SIZES[0]) & (size <= _SIZES[-1])
    learnt = train[trainable(train)]
    return {
        "samples": draws,
        **plausibility(judged),
        "unique": round(len(np.unique(first)) / max(len(first), 1), 4),
        "novel": share(~np.isin(first, known)),
        "recovered": share(found[few]),
        "recovered_admitted": share(found[few & trainable(held_out)]),
        "recovered_by_elements": {str(k): share(found[size == k]) for k in _SIZES},
        "elements": distribution(judged),
        "element_shares_distance": round(float(np.abs(shares / draws - element_shares(learnt)).sum() / 2), 4),
        "mean_elements": round(float((judged > 0).sum(axis=1).mean()), 3),
        "distinct_elements": int((judged > 0).any(axis=0).sum()),
        "samples_per_second": round(draws / max(seconds, 1e-9)),
    }


def training_figures(train: np.ndarray) -> dict[str, Any]:
    """Return the same shares of the training formulas, int8 (n, 103), with and without those that the filter drops."""
    learnt = train[trainable(train)]
    return {
        **{f"{name}_train": value for name, value in plausibility(train).items()},
        "valid_train_filtered": plausibility(learnt)["valid"],
        "elements_train": distribution(learnt),
    }
