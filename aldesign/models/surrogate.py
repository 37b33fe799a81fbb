"""The surrogate: an exact Gaussian process with one length scale, in double precision, the same every time."""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal

import numpy as np
import torch

from aldesign.errors import InputError

with warnings.catch_warnings():  # linear_operator still compiles helpers the old way when it is imported
    warnings.filterwarnings("ignore", ".*torch.jit.script.*", DeprecationWarning)
    from botorch.exceptions.warnings import InputDataWarning, OptimizationWarning
    from botorch.models import SingleTaskGP
    from botorch.optim.fit import fit_gpytorch_mll_scipy
    from gpytorch import settings
    from gpytorch.constraints import GreaterThan
    from gpytorch.kernels import MaternKernel, RBFKernel
    from gpytorch.mlls import ExactMarginalLogLikelihood
    from gpytorch.priors import LogNormalPrior
    from linear_operator.settings import max_cholesky_size

Kernel = Literal["matern52", "matern32", "rbf"]
KERNELS: tuple[Kernel, ...] = ("matern52", "matern32", "rbf")

# A feature spread evenly over [0, 1] has a standard deviation of 1/sqrt(12): the factor that carries a
# prior stated for the unit cube over to standardised features.
_UNIT_CUBE_TO_STANDARD = math.sqrt(12.0)
_SMALLEST_LENGTH_SCALE = 2.5e-2
_CHUNK = 2048  # query rows held against all training rows at once


def _spread(n: int, k: int) -> np.ndarray:
    """Return k of the row numbers 0..n-1, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, k).round().astype(np.int64))


def keep_rows(n: int, limit: int) -> np.ndarray:
    """Return the row numbers kept of n rows in trial order when only `limit` fit.

    The newest half of the limit is kept whole, because it lies where the campaign is looking; the other
    half is spread evenly over all older rows, so that the model does not forget the rest of the space.
    """
    if n <= limit:
        return np.arange(n)
    newest = max(1, limit // 2)
    older = _spread(n - newest, limit - newest) if limit > newest else np.arange(0)
    return np.concatenate([older, np.arange(n - newest, n)])


class GaussianProcess:
    """Gaussian-process regression of a property over latent points or descriptors.

    Features and labels are standardised on the training rows (a constant feature is centred only, constant
    labels keep the scale of 1 eV). The hyper-parameters (one length scale, or one per feature with `ard`;
    the noise; the constant mean) maximise the posterior density under the log-normal priors of
    Hvarfner et al., "Vanilla Bayesian Optimization Performs Great in High Dimensions" (ICML 2024), whose
    length scale grows with the square root of the number of features. Everything runs in float64 through
    Cholesky factors: the same rows give the same bits on the same number of threads.

    Args:
        kernel: ``"matern52"``, ``"matern32"`` or ``"rbf"``.
        ard: One length scale per feature (slow beyond some dozens of features).
        max_observations: Rows kept at most; see `keep_rows` for which.
        fit_observations: Rows, spread evenly over those kept, from which the hyper-parameters are learned;
            the posterior uses all that are kept.
        seed: Kept for the record; nothing here is random.

    Attributes:
        notes: What was left out or could not be learned, in words, after `fit`.
        noise_std: Standard deviation of the noise, in eV, after `fit`.

    """

    def __init__(
        self,
        kernel: Kernel = "matern52",
        ard: bool = False,
        max_observations: int = 4000,
        fit_observations: int = 500,
        seed: int = 0,
    ) -> None:
        if kernel not in KERNELS:
            raise InputError(f"no surrogate kernel is called {kernel!r}", f"allowed: {', '.join(KERNELS)}")
        if max_observations < 2 or fit_observations < 2:
            raise InputError(
                f"max_observations is {max_observations}, fit_observations {fit_observations}",
                "a Gaussian process needs room for two rows or more",
            )
        self.kernel: Kernel = kernel
        self.ard = ard
        self.max_observations = max_observations
        self.fit_observations = fit_observations
        self.seed = seed
        self.notes: tuple[str, ...] = ()
        self.noise_std = float("nan")

    def fit(self, x: np.ndarray, y: np.ndarray) -> GaussianProcess:
        """Learn from features (n, d) and labels (n,) in eV, rows in trial order; return self.

        Raises:
            InputError: No rows, shapes that do not match, or a value that is not finite.

        """
        x, y = _checked(x, y)
        notes: list[str] = []
        rows = keep_rows(len(y), self.max_observations)
        if len(rows) < len(y):
            notes.append(
                f"the surrogate learned from {len(rows)} of {len(y)} rows: the newest "
                f"{max(1, self.max_observations // 2)} and an even spread of the older ones"
            )
            x, y = x[rows], y[rows]
        self._x_mean, self._x_scale = _centre_and_scale(x)
        self._y_mean, self._y_scale = (float(v[0]) for v in _centre_and_scale(y[:, None]))
        xs = torch.from_numpy((x - self._x_mean) / self._x_scale)
        ys = torch.from_numpy((y - self._y_mean) / self._y_scale)
        some = _spread(len(y), min(len(y), self.fit_observations))
        if len(some) < len(y):
            notes.append(f"its hyper-parameters come from {len(some)} rows spread evenly over those")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputDataWarning)  # ours are standardised, not in [0, 1]
            model = SingleTaskGP(
                xs[some], ys[some, None], covar_module=self._covariance(x.shape[1]), outcome_transform=None
            )
        if len(y) < 3 or not np.ptp(y):
            notes.append("too few rows, or all labels equal: the hyper-parameters are those of the prior")
        else:
            notes += _maximise(model)
        self._condition(model, xs, ys)
        self.notes = tuple(notes)
        return self

    def posterior(self, x: np.ndarray, noise: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return mean (n,) and standard deviation (n,) in eV at features (n, d).

        Args:
            x: Features.
            noise: False for the uncertainty of the learned function, which an acquisition needs; True to add
                the noise, for what a new measurement is expected to show (calibration, reports).

        Raises:
            InputError: Not fitted, another number of features, or a value that is not finite.

        """
        x = np.ascontiguousarray(x, dtype=np.float64)
        d = len(self._fitted_scale())
        if x.ndim != 2 or x.shape[1] != d:
            raise InputError(f"the surrogate was asked at an array of shape {x.shape}", f"it learned from (n, {d})")
        if not np.isfinite(x).all():
            raise InputError(f"the surrogate was asked at row {_bad_row(x)}, which is not finite")
        mean, std = np.empty(len(x)), np.empty(len(x))
        with torch.no_grad():
            for i in range(0, len(x), _CHUNK):
                m, s = self.evaluate(torch.from_numpy(x[i : i + _CHUNK]))
                mean[i : i + _CHUNK], std[i : i + _CHUNK] = m.numpy(), s.numpy()
        return mean, np.sqrt(std**2 + self.noise_std**2) if noise else std

    def evaluate(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean (n,) and noise-free standard deviation (n,) in eV at (n, d), differentiable in `x`.

        Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), Algorithm 2.1.
        """
        xs = (x - torch.from_numpy(self._x_mean)) / torch.from_numpy(self._fitted_scale())
        cross = self._kernel(self._xs, xs).to_dense()
        whitened = self._inverse_factor @ cross
        variance = self._prior_variance - whitened.square().sum(0)
        mean = self._constant + self._weights @ cross
        # the floor keeps the gradient of the root finite on top of a training row
        return mean * self._y_scale + self._y_mean, variance.clamp_min(1e-12).sqrt() * self._y_scale

    def _covariance(self, d: int) -> Any:
        prior = LogNormalPrior(
            loc=math.sqrt(2.0) + math.log(d) / 2 + math.log(_UNIT_CUBE_TO_STANDARD), scale=math.sqrt(3.0)
        )
        options = {
            "ard_num_dims": d if self.ard else None,
            "lengthscale_prior": prior,
            "lengthscale_constraint": GreaterThan(_SMALLEST_LENGTH_SCALE, transform=None, initial_value=prior.mode),
        }
        if self.kernel == "rbf":
            return RBFKernel(**options)
        return MaternKernel(nu=2.5 if self.kernel == "matern52" else 1.5, **options)

    def _condition(self, model: Any, xs: torch.Tensor, ys: torch.Tensor) -> None:
        model.eval()
        noise = float(model.likelihood.noise.detach().item())
        self._kernel = model.covar_module.requires_grad_(False)
        self._constant = float(model.mean_module.constant.detach().item())
        self.noise_std = math.sqrt(noise) * self._y_scale
        self._xs = xs
        eye = torch.eye(len(ys), dtype=torch.float64)
        with torch.no_grad():
            # noise is at least 1e-4 of the labels' variance, so the factor exists even for repeated rows
            factor = torch.linalg.cholesky(self._kernel(xs).to_dense() + noise * eye)
            self._inverse_factor = torch.linalg.solve_triangular(factor, eye, upper=False)
            self._weights = self._inverse_factor.T @ (self._inverse_factor @ (ys - self._constant))
        self._prior_variance = 1.0  # labels are standardised, kernels have unit variance

    def _fitted_scale(self) -> np.ndarray:
        scale: np.ndarray | None = getattr(self, "_x_scale", None)
        if scale is None:
            raise InputError("the surrogate has learned nothing yet", "call fit first")
        return scale


def _checked(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.ascontiguousarray(x, dtype=np.float64), np.ascontiguousarray(y, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 1 or len(x) != len(y) or x.shape[1] == 0:
        raise InputError(f"features of shape {x.shape} and labels of shape {y.shape}", "expected (n, d) and (n,)")
    if not len(y):
        raise InputError("the surrogate was given no rows", "measure or load one labelled formula or more")
    for name, values in (("features", x), ("labels", y[:, None])):
        if not np.isfinite(values).all():
            raise InputError(f"row {_bad_row(values)} of the surrogate's {name} is not finite")
    return x, y


def _bad_row(values: np.ndarray) -> int:
    return int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])


def _centre_and_scale(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, scale = values.mean(axis=0), values.std(axis=0)
    # rounding leaves a spread of a few ulps in a constant column
    constant = scale <= 1e-9 * np.maximum(np.abs(mean), 1e-3)
    return mean, np.where(constant, 1.0, scale)


def _maximise(model: Any) -> list[str]:
    """Fit the hyper-parameters of `model` in place; return a note if the search stopped early."""
    likelihood = ExactMarginalLogLikelihood(model.likelihood, model).train()
    exact = settings.fast_computations(covar_root_decomposition=False, log_prob=False, solves=False)
    with warnings.catch_warnings(record=True) as caught, exact, max_cholesky_size(10**6):
        warnings.simplefilter("always", OptimizationWarning)
        fit_gpytorch_mll_scipy(likelihood, options={"maxiter": 200})
    early = [str(w.message) for w in caught if issubclass(w.category, OptimizationWarning)]
    return [f"the search for hyper-parameters stopped early: {message}" for message in early]
