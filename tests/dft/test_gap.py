"""Band edges against ASE's own, closed forms, and shapes of bands that mislead."""

from __future__ import annotations

import numpy as np
import pytest
from ase.dft.bandgap import bandgap
from hypothesis import given
from hypothesis import strategies as st

from aldesign.dft.gap import METAL, between, edges, occupied_bands
from aldesign.errors import CalculationError

KPOINTS = np.column_stack([np.linspace(0.0, 0.5, 11), np.zeros(11), np.zeros(11)])


def two_bands(valence: np.ndarray, conduction: np.ndarray) -> np.ndarray:
    return np.stack([valence, conduction], axis=1)[None]


def test_an_indirect_gap_of_two_cosines() -> None:
    x = 2 * np.pi * KPOINTS[:, 0]
    bands = two_bands(np.cos(x) - 2.0, np.cos(x) + 2.5)  # tops at the zone's centre, bottoms at its edge
    found = edges(bands, KPOINTS, occupied_bands(bands, 0.0))
    assert found.gap_ev == pytest.approx(2.5)
    assert found.direct_gap_ev == pytest.approx(4.5)
    assert (found.vbm_kpoint, found.cbm_kpoint) == ((0.0, 0.0, 0.0), (0.5, 0.0, 0.0))
    assert (found.vbm_ev, found.cbm_ev) == (pytest.approx(-1.0), pytest.approx(1.5))


@given(st.integers(1, 2), st.integers(2, 5), st.integers(1, 4), st.floats(0.1, 6.0), st.integers(0, 2**32 - 1))
def test_gaps_are_those_of_ase(spins: int, points: int, below: int, gap: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lower = -gap / 2 - rng.uniform(0, 3, (spins, points, below))
    upper = gap / 2 + rng.uniform(0, 3, (spins, points, 3))
    bands = np.sort(np.concatenate([lower, upper], axis=2), axis=2)
    kpoints = rng.uniform(-0.5, 0.5, (points, 3))
    found = edges(bands, kpoints, occupied_bands(bands, 0.0))
    wanted, top, bottom = bandgap(eigenvalues=bands, efermi=0.0, kpts=kpoints)
    assert found.gap_ev == pytest.approx(wanted)
    assert found.vbm_ev == pytest.approx(bands[top])
    assert found.cbm_ev == pytest.approx(bands[bottom])
    assert found.direct_gap_ev >= found.gap_ev


def test_a_band_across_the_fermi_level_is_a_metal() -> None:
    bands = two_bands(np.linspace(-1.0, 1.0, 11), np.full(11, 3.0))
    assert occupied_bands(bands, 0.0) is None
    assert edges(bands, KPOINTS, None) == METAL


def test_overlapping_bands_with_a_gap_at_every_point_are_a_metal() -> None:
    slope = np.linspace(0.0, 2.0, 11)
    bands = two_bands(slope - 1.0, slope + 0.1)
    assert edges(bands, KPOINTS, (1,)) == METAL


def test_a_half_metal_is_a_metal() -> None:
    up = np.stack([np.linspace(-1.0, 1.0, 11), np.full(11, 3.0)], axis=1)
    down = np.stack([np.full(11, -2.0), np.full(11, 3.0)], axis=1)
    assert occupied_bands(np.stack([up, down]), 0.0) is None


def test_the_gap_of_a_magnet_may_lie_between_the_spins() -> None:
    up = np.tile([-1.0, 2.0], (11, 1))
    down = np.tile([-3.0, 1.0], (11, 1))
    bands = np.stack([up, down])
    assert edges(bands, KPOINTS, occupied_bands(bands, 0.0)).gap_ev == pytest.approx(2.0)


def test_unequal_numbers_of_spins_and_an_empty_spin() -> None:
    up, down = np.tile([-2.0, -1.0, 3.0], (4, 1)), np.tile([1.0, 2.0, 4.0], (4, 1))  # as in hydrogen's cousins
    bands = np.stack([up, down])
    assert occupied_bands(bands, 0.0) == (2, 0)
    assert edges(bands, KPOINTS[:4], (2, 0)).gap_ev == pytest.approx(2.0)


def test_without_an_empty_band_nothing_is_said_of_a_gap() -> None:
    with pytest.raises(CalculationError, match="no empty band"):
        occupied_bands(np.full((1, 3, 4), -1.0), 0.0)


def test_every_step_beside_an_edge_is_divided() -> None:
    bands = two_bands(np.full(11, -1.0), 1.0 + (KPOINTS[:, 0] - 0.21) ** 2)
    bands[0, 3, 0] = -0.9
    found = edges(bands, KPOINTS, (1,))
    closer = between(KPOINTS, found)
    assert found.vbm_kpoint == (0.15, 0.0, 0.0)
    assert found.cbm_kpoint == (0.2, 0.0, 0.0)
    steps = 0.05 / 3 * np.array([1, 2])
    wanted = np.sort(np.concatenate([0.10 + steps, 0.15 + steps, 0.20 + steps]))
    assert closer[:, 0] == pytest.approx(wanted)


def test_edges_of_the_mesh_alone_leave_nothing_to_divide() -> None:
    bands = two_bands(np.full(11, -1.0), np.full(11, 1.0))
    found = edges(bands, KPOINTS + np.array([0.0, 0.1, 0.0]), (1,))
    assert between(KPOINTS, found).shape == (0, 3)
    assert between(KPOINTS, METAL).shape == (0, 3)


@pytest.mark.parametrize("side", [-1e-9, 1e-9])
def test_a_flat_band_that_is_half_filled_makes_no_insulator(side: float) -> None:
    bands = np.tile([[-5.0, side, 3.0]], (4, 1))[None]  # a band of three electrons that rounding puts on one side
    assert occupied_bands(bands, 0.0, 3.0) is None
    assert occupied_bands(bands, 0.0, 2.0 if side > 0 else 4.0) is not None
    both = np.concatenate([bands, bands + 1e-6])
    assert occupied_bands(both, 1.0, 4.0) == (2, 2)
    assert occupied_bands(both, 1.0, 3.0) is None
