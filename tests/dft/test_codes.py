"""The seam: names, levels, and what every code's result must hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aldesign.dft.codes import OFFERED, code, faults, refuse_unoffered
from aldesign.dft.results import Dos, Result
from aldesign.dft.settings import CODES, LEVELS, Settings
from aldesign.errors import InputError
from aldesign.records import Crystal

GRID = np.linspace(-5, 5, 11)
SOUND = Result(
    formula="MgO",
    crystal=Crystal("x", (3.0,) * 3 + (60.0,) * 3, ("Mg", "O"), np.array([[0.0] * 3, [0.5] * 3])),
    settings=Settings(),
    gap_ev=4.5,
    direct_gap_ev=4.5,
    vbm_kpoint=(0.0, 0.0, 0.0),
    cbm_kpoint=(0.0, 0.0, 0.0),
    energy_ev=-12.0,
    magnetization=0.0,
    spin_polarized=False,
    n_electrons=8.0,
    n_kpoints=10,
    iterations=9,
    dos=Dos(GRID, np.ones(11), {"s": np.ones(11)}),
    software={"gpaw": "1"},
)


@pytest.mark.parametrize("name", CODES)
def test_every_code_says_what_it_lacks(name: str) -> None:
    one = code(name)
    assert one.name == name
    assert one.missing() is None or len(str(one.missing())) > 20
    assert one.lacking(["Xx"]) == ["Xx"]


def test_an_unknown_code_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="gpaw, espresso, vasp"):
        code("abinit")


def test_a_level_that_a_code_lacks_is_refused_with_who_has_it(tmp_path: Path) -> None:
    assert OFFERED.keys() == set(CODES)
    for name in CODES:
        for level in LEVELS:
            settings = Settings.of("fast", level=level, code=name)
            if level in OFFERED[name]:
                refuse_unoffered(settings)
            else:
                with pytest.raises(InputError, match=f"{name} does not offer.*PBE; {level} is offered by gpaw"):
                    code(name).run(SOUND.crystal, settings, tmp_path)


def test_settings_for_another_code_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="settings for gpaw were given to vasp"):
        code("vasp").run(SOUND.crystal, Settings(), tmp_path)


def test_a_sound_result_has_no_faults() -> None:
    assert faults(SOUND) == []
    metal = replace(SOUND, gap_ev=0.0, direct_gap_ev=0.0, vbm_kpoint=None, cbm_kpoint=None, dos=None)
    assert faults(metal) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gap_ev": float("nan")}, "gap_ev is nan"),
        ({"energy_ev": float("inf")}, "energy_ev is inf"),
        ({"gap_ev": -0.1}, "a gap of -0.1 eV"),
        ({"gap_ev": 4.6}, "with a direct gap of 4.5 eV"),
        ({"vbm_kpoint": None}, "edge at None"),
        ({"gap_ev": 0.0}, "a gap of 0.0 eV with a band's edge"),
        ({"n_electrons": 0.0}, "0.0 electrons"),
        ({"iterations": 0}, "0 iterations"),
        ({"formula": "Mg2O"}, "the formula Mg2O"),
        ({"magnetization": 2.0}, "2.0 μB without spin"),
        ({"software": {}}, "no version"),
        ({"dos": Dos(GRID, np.ones(10), {})}, "total has another grid"),
        ({"dos": Dos(GRID, np.ones(11), {"d": np.full(11, np.nan)})}, "d is not finite"),
        ({"dos": Dos(GRID, -np.ones(11), {})}, "total is negative"),
    ],
)
def test_what_is_wrong_with_a_result_is_named(changes: dict[str, object], said: str) -> None:
    assert said in "; ".join(faults(replace(SOUND, **changes)))
