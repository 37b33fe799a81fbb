"""The likeliest formulas of a decoder's output, in order, and the first of them that is plausible chemistry."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from torch.nn import functional

from aldesign.chemistry.elements import ALPHABET
from aldesign.chemistry.neutrality import Options, valid_mask
from aldesign.chemistry.onehot import N_ROWS, compositions_of
from aldesign.errors import InputError

STRICT = Options(include_alloys=False)
"""The rules of a campaign's screens: balanced charges, cations below anions in electronegativity, no alloys."""
CLASSES = 6  # choices of an element that are tried: absence and its five likeliest counts
DOUBTFUL = 10  # elements of a point that may get another count than their likeliest
KEPT = 64  # formulas of a point that are looked at
_WAVES = (1, 4, 16, KEPT)  # so many of them at a time: most points are settled by the first


def permitted(allowed: Collection[str] | None) -> np.ndarray:
    """Return which rows of the matrix `allowed` elements are, bool (103,); None allows all.

    Raises:
        InputError: A name is no element from hydrogen to lawrencium, or there is none.

    """
    if allowed is None:
        return np.ones(N_ROWS, dtype=bool)
    unknown = [symbol for symbol in allowed if symbol not in ALPHABET]
    if unknown or not len(allowed):
        raise InputError(
            f"allowed elements are {list(allowed)}", "give symbols from H to Lr, one or more, or None for all"
        )
    return np.isin(ALPHABET, list(allowed))


def likeliest(
    logits: torch.Tensor, kept: int = KEPT, elements: tuple[int, int] = (1, N_ROWS)
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the most probable rows of counts with a number of elements within the limits, the best first.

    Elements are independent given the point, so that the k best choices follow from merging one element after the
    other into a list of the k best so far. Only the `DOUBTFUL` elements whose second choices cost least may deviate.

    Args:
        logits: Of each element's classes, absent and 1 to 20, shape (n, 103, 21).
        kept: Formulas of a point.
        elements: Least and largest number of distinct elements, the least being 1 or more.

    Returns:
        Counts, int8 (n, kept, 103), and the nats that each lacks to the likeliest formula of any size, (n, kept),
        rising; infinite where a point has fewer choices, whose counts mean nothing.

    """
    best = logits.max(dim=2)
    cost = best.values[:, :, None] - logits
    second = cost.scatter(2, best.indices[:, :, None], torch.inf).amin(dim=2)
    doubtful = second.topk(DOUBTFUL, dim=1, largest=False).indices
    open_costs = cost.gather(1, doubtful[:, :, None].expand(-1, -1, cost.shape[2]))
    counts = open_costs[:, :, 1:].topk(CLASSES - 1, dim=2, largest=False)
    costs = torch.cat([open_costs[:, :, :1], counts.values], dim=2)
    classes = functional.pad(counts.indices + 1, (1, 0))
    size = (best.indices > 0).sum(dim=1) - (best.indices.gather(1, doubtful) > 0).sum(dim=1)
    total, size = torch.zeros(len(logits), 1, dtype=logits.dtype), size[:, None]
    chosen = torch.zeros(len(logits), 1, 0, dtype=torch.int64)
    for place in range(DOUBTFUL):
        merged = total[:, :, None] + costs[:, None, place]
        larger = size[:, :, None] + (torch.arange(CLASSES) > 0)
        merged = merged.masked_fill(larger > elements[1], torch.inf).flatten(1)
        # one place more than asked for, since the empty formula may be among them
        found = merged.topk(min(kept + 1, merged.shape[1]), dim=1, largest=False)
        total, origin = found.values, found.indices // CLASSES
        kind = found.indices % CLASSES
        size = size.gather(1, origin) + (kind > 0)
        kind = classes[:, place].gather(1, kind)
        chosen = torch.cat([chosen.gather(1, origin[:, :, None].expand(-1, -1, place)), kind[:, :, None]], dim=2)
    total = total.masked_fill(size < elements[0], torch.inf)
    order = total.sort(dim=1, stable=True)
    chosen = chosen.gather(1, order.indices[:, :kept, None].expand(-1, -1, DOUBTFUL))
    table = best.indices[:, None].to(torch.int8).repeat(1, chosen.shape[1], 1)
    table.scatter_(2, doubtful[:, None].expand(-1, chosen.shape[1], -1), chosen.to(torch.int8))
    # the likeliest of all costs nothing, unless every element is best absent
    least = cost[:, :, 1:].amin(dim=(1, 2)).masked_fill(best.indices.any(dim=1), 0.0)
    return table, order.values[:, :kept] - least[:, None]


def confined(logits: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
    """Return `logits` (n, 103, 21) with the elements outside `rows`, bool (103,), certain to be absent."""
    if rows.all():
        return logits
    logits = logits.clone()
    logits[:, torch.from_numpy(~rows), 1:] = -torch.inf
    return logits


def lead(logits: torch.Tensor) -> torch.Tensor:
    """Return by how many nats the likeliest counts of each point are more probable than any other, (n,)."""
    best = logits.topk(2, dim=2).values
    return (best[:, :, 0] - best[:, :, 1]).amin(dim=1)


def first_plausible(
    logits: torch.Tensor,
    answer: np.ndarray,
    slack: float,
    elements: tuple[int, int] = (1, N_ROWS),
    options: Options = STRICT,
) -> np.ndarray:
    """Return a plausible row of counts for each point, int8 (n, 103): the answer, or else the most probable one.

    Where none of the `KEPT` likeliest of the right number of elements is plausible, the first of these is returned;
    where none of them is within `slack`, the answer.

    Args:
        logits: As in `likeliest`.
        answer: What the points stand for, int8 (n, 103).
        slack: Nats that another formula may lack to the likeliest one.
        elements: Least and largest number of distinct elements of it.
        options: What is plausible; see `aldesign.chemistry.neutrality.Options`.

    """
    answer = answer.copy()
    doubtful = np.flatnonzero(~_passes(answer, elements, options))
    if len(doubtful):
        counts, lacking = (tensor.numpy() for tensor in likeliest(logits[doubtful], elements=elements))
        answer[doubtful] = _first(answer[doubtful], counts, lacking <= slack, options)
    return answer


def _first(default: np.ndarray, counts: np.ndarray, near: np.ndarray, options: Options) -> np.ndarray:
    """Return the first plausible one of each point's counts (n, k, 103) that are `near`, bool (n, k), else the first.

    Where none is near, the answer is the `default` (n, 103).
    """
    answer = np.zeros(len(counts), dtype=np.int64)
    open_rows, start = np.arange(len(counts)), 0
    for stop in _WAVES:
        row, place = np.nonzero(near[open_rows, start:stop])
        row, place = open_rows[row], place + start
        valid = valid_mask(compositions_of(counts[row, place]), options)
        # rows rise and so do places within a row: the first entry of a row is its most probable
        row, first = np.unique(row[valid], return_index=True)
        answer[row] = place[valid][first]
        open_rows, start = np.setdiff1d(open_rows, row, assume_unique=True), stop
    return np.where(near[:, :1], counts[np.arange(len(counts)), answer], default)


def _passes(table: np.ndarray, elements: tuple[int, int], options: Options) -> np.ndarray:
    """Return which rows of counts (n, 103) are plausible and of the right number of elements, bool (n,)."""
    size = (table > 0).sum(axis=1)
    sized = (size >= elements[0]) & (size <= elements[1])
    return np.asarray(sized & valid_mask(compositions_of(table), options))


def repaired(logits: torch.Tensor) -> np.ndarray:
    """Return the most probable row of counts that is not empty, int8 (n, 103), for logits (n, 103, 21)."""
    best = logits.argmax(dim=2)
    empty = torch.nonzero(~best.any(dim=1)).flatten()
    if len(empty):
        # absence is every element's best: the formula that lacks least to it has one element
        gain = (logits[empty, :, 1:] - logits[empty, :, :1]).flatten(1).argmax(dim=1)
        best[empty, gain // (logits.shape[2] - 1)] = gain % (logits.shape[2] - 1) + 1
    return best.to(torch.int8).numpy()
