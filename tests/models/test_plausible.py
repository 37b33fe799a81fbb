from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from smact.screening import smact_validity

from aldesign.chemistry.elements import ALPHABET
from aldesign.chemistry.neutrality import Options
from aldesign.chemistry.onehot import decode_indices
from aldesign.errors import InputError
from aldesign.models.plausible import CLASSES, STRICT, confined, first_plausible, lead, likeliest, permitted, repaired


def logits_of(seed: int, elements: tuple[str, ...], n: int = 1, certainty: float = 30.0) -> torch.Tensor:
    """Return logits (n, 103, 21) that leave open the counts of `elements` alone."""
    rng = np.random.default_rng(seed)
    logits = np.zeros((n, len(ALPHABET), 21))
    logits[:, :, 0] = certainty
    for symbol in elements:
        logits[:, ALPHABET.index(symbol)] = rng.normal(scale=2.0, size=(n, 21))
    return torch.from_numpy(logits)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_likeliest_are_those_that_counting_all_choices_finds(seed):
    elements = ("Na", "Fe", "O")
    logits = logits_of(seed, elements, certainty=1e3)
    counts, lacking = likeliest(logits, kept=CLASSES - 1)
    rows = [ALPHABET.index(symbol) for symbol in elements]
    every = np.array([c for c in product(range(21), repeat=3) if any(c)])
    score = logits[0, rows].numpy()[np.arange(3), every].sum(axis=1)
    order = np.argsort(-score, kind="stable")[: CLASSES - 1]
    assert np.array_equal(counts[0][:, rows], every[order])
    assert lacking[0].numpy() == pytest.approx(score[order[0]] - score[order])
    assert counts.any(dim=2).all()
    assert (counts > 0).sum() == (every[order] > 0).sum()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_likeliest_of_all_is_every_element_at_its_best_unless_that_is_empty(seed):
    logits = torch.from_numpy(np.random.default_rng(seed).normal(size=(4, 103, 21)))
    logits[2:, :, 0] += 9.0  # absence is the best of all of them
    best = repaired(logits)
    assert np.array_equal(best[:2], logits[:2].argmax(dim=2).numpy())
    assert ((best[2:] > 0).sum(axis=1) == 1).all()
    counts, lacking = likeliest(logits)
    assert np.array_equal(counts[:, 0].numpy(), best)
    assert (lacking[:, 0] == 0).all()
    assert (lacking.diff(dim=1) >= 0).all()
    assert torch.allclose(lead(logits[:2]), lacking[:2, 1])


@pytest.mark.parametrize("slack", [0.0, 2.0, 8.0])
def test_the_answer_is_the_first_that_smact_accepts(slack):
    logits = logits_of(3, ("Na", "Ti", "O", "F"), n=12)
    counts, lacking = likeliest(logits)
    answers = decode_indices(first_plausible(logits, repaired(logits), slack))
    found = 0
    for i, answer in enumerate(answers):
        near = counts[i][lacking[i] <= slack]
        names = decode_indices(near.numpy())
        valid = next((name for name in names if name and smact_validity(name, include_alloys=False)), None)
        found += valid is not None
        assert answer == (valid or names[0])
    assert found > (0 if slack == 0 else 4)


def test_sizes_options_and_allowed_elements_are_kept():
    logits = logits_of(5, ("K", "Ca", "Ti", "O", "S", "Cl"), n=60)
    few = first_plausible(logits, repaired(logits), 30.0, (2, 3))
    assert np.isin((few > 0).sum(axis=1), (2, 3)).mean() > 0.9
    oxides = permitted(["K", "Ca", "Ti", "O"])
    within = confined(logits, oxides)
    table = first_plausible(within, repaired(within), 30.0)
    assert not table[:, ~oxides].any()
    assert table.any(axis=1).all()
    assert confined(logits, permitted(None)) is logits
    metals = logits_of(6, ("Cu", "Au", "Ag"), n=30)
    as_alloys = first_plausible(metals, repaired(metals), 30.0, options=Options())
    assert np.array_equal(as_alloys, repaired(metals))  # every alloy is fine
    assert STRICT.include_alloys is False
    alone = decode_indices(first_plausible(metals, repaired(metals), 30.0, (1, 1)))
    assert set(alone) == {"Cu", "Au", "Ag"}


def test_elements_that_are_none_are_refused():
    with pytest.raises(InputError, match="Xx"):
        permitted(["Na", "Xx"])
    with pytest.raises(InputError, match="one or more"):
        permitted([])
