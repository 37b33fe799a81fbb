"""Results and how they are written down."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from aldesign.dft.results import Dos, Result
from aldesign.dft.settings import Settings
from aldesign.errors import InputError
from aldesign.records import Crystal

GRID = np.linspace(-20.0, 7.3, 274)
ROCKSALT = Crystal("MgO", (2.98, 2.98, 2.98, 60.0, 60.0, 60.0), ("Mg", "O"), np.array([[0.0] * 3, [0.5] * 3]))


def result() -> Result:
    states = np.exp(-((GRID + 1.0) ** 2))
    return Result(
        formula="MgO",
        crystal=ROCKSALT,
        settings=Settings.of("fast"),
        gap_ev=4.5,
        direct_gap_ev=4.5,
        vbm_kpoint=(0.0, 0.0, 0.0),
        cbm_kpoint=(0.0, 0.0, 0.0),
        energy_ev=-12.0,
        magnetization=0.0,
        spin_polarized=False,
        n_electrons=16.0,
        n_kpoints=16,
        iterations=7,
        dos=Dos(GRID, states, {"s": 0.2 * states, "p": 0.7 * states}),
        seconds=4.2,
        software={"gpaw": "26.7.0"},
        extra={"kohn_sham_gap": 4.5},
        notes=("a note",),
    )


def test_json_gives_the_result_back() -> None:
    one = result()
    again = Result.from_json(json.loads(json.dumps(one.to_json())))
    assert again.dos is not None
    assert one.dos is not None
    assert again.dos.energies_ev == pytest.approx(GRID)
    assert again.dos.total == pytest.approx(one.dos.total, rel=1e-6)
    assert again.dos.projected.keys() == {"s", "p"}
    assert again.crystal.frac == pytest.approx(ROCKSALT.frac)
    assert again.crystal.lattice == ROCKSALT.lattice
    assert again.settings == one.settings
    same = replace(again, dos=None, crystal=ROCKSALT).to_json()
    assert same == replace(one, dos=None).to_json()


def test_a_metal_has_no_edges_in_json_either() -> None:
    metal = replace(result(), gap_ev=0.0, direct_gap_ev=0.0, vbm_kpoint=None, cbm_kpoint=None, dos=None)
    again = Result.from_json(json.loads(json.dumps(metal.to_json())))
    assert again.vbm_kpoint is None
    assert again.dos is None
    assert not again.is_direct


def test_energies_count_per_atom_and_gaps_are_direct_within_a_millielectronvolt() -> None:
    one = result()
    assert one.energy_ev_per_atom == pytest.approx(-6.0)
    assert one.is_direct
    assert replace(one, direct_gap_ev=4.5005).is_direct
    assert not replace(one, direct_gap_ev=4.6).is_direct


def test_a_result_with_settings_of_another_version_is_refused() -> None:
    content = result().to_json()
    del content["settings"]["smearing_ev"]
    with pytest.raises(InputError, match="smearing_ev"):
        Result.from_json(content)
