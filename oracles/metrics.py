"""How good predictions are: their errors, and whether their standard deviations hold."""

from __future__ import annotations

import numpy as np

from oracles.calibration import NONMETAL_EV


def error_metrics(truth: np.ndarray, mean: np.ndarray, std: np.ndarray | None = None) -> dict[str, float]:
    """Return MAE, RMSE, R² and, with a std, the share of truths within 1 and 1.96 std and what the std tells.

    Of gaps, which are never negative, ``mae_nonmetals`` covers the rows whose true value is above zero, and
    ``coverage_68_predicted_nonmetals`` and ``coverage_95_predicted_nonmetals`` those whose answer is above
    `NONMETAL_EV`; they are there when both kinds occur. ``std_mean`` is the sharpness, ``rank_correlation`` Spearman's
    between std and absolute error.

    Args:
        truth: Labels, (n,).
        mean: Answers, (n,).
        std: Their standard deviations, (n,), if known.

    """
    error = np.abs(mean - truth)
    spread = float(np.mean((truth - truth.mean()) ** 2))
    found = {"count": len(truth), "mae": float(error.mean()), "rmse": float(np.sqrt(np.mean(error**2)))}
    if spread > 0:
        found["r2"] = 1.0 - float(np.mean(error**2)) / spread
    open_, gaps = truth > 0, bool((truth >= 0).all())
    if gaps and open_.any() and not open_.all():
        found["mae_nonmetals"] = float(error[open_].mean())
    if std is not None:
        found["coverage_68"] = float((error <= std).mean())
        found["coverage_95"] = float((error <= 1.96 * std).mean())
        called = mean > NONMETAL_EV
        if gaps and called.any() and not called.all():
            found["coverage_68_predicted_nonmetals"] = float((error <= std)[called].mean())
            found["coverage_95_predicted_nonmetals"] = float((error <= 1.96 * std)[called].mean())
        found["std_mean"] = float(std.mean())
        found["rank_correlation"] = rank_correlation(error, std)
    return {name: round(value, 4) for name, value in found.items()}


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Spearman's rank correlation of two arrays (n,), with mean ranks for ties; 0 where one is constant."""
    from scipy.stats import rankdata

    x, y = (rankdata(values) - (len(values) + 1) / 2 for values in (a, b))
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale > 0 else 0.0
