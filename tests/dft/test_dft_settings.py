"""Settings: presets, what names a calculation, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldesign.dft.settings import PRESETS, Settings
from aldesign.errors import InputError


def test_presets_grow_in_cost() -> None:
    order = [Settings.of(name) for name in ("fast", "production", "tight")]
    for name in ("cutoff_ev", "kpoint_density", "band_density"):
        values = [getattr(settings, name) for settings in order]
        assert values == sorted(values)
        assert values[0] < values[-1]
    assert Settings() == Settings.of("production")


def test_the_name_of_a_preset_is_no_part_of_the_digest() -> None:
    plain = Settings.of("production")
    same = Settings.of("fast", **PRESETS["production"])
    assert same.preset == "custom"
    assert same.digest == plain.digest
    assert Settings.of("fast").digest != plain.digest


@pytest.mark.parametrize("level", ["PBE", "GLLB-SC"])
def test_energies_compare_only_at_one_level_and_cutoff(level: str) -> None:
    settings = Settings.of("production", level)
    assert Settings.of("production", level, kpoint_density=4.0).energy_digest == settings.energy_digest
    assert Settings.of("production", level, cutoff_ev=610).energy_digest != settings.energy_digest


@given(st.floats(50, 3000), st.floats(0.1, 20), st.sampled_from(["auto", "none", "collinear"]))
def test_json_gives_the_settings_back(cutoff: float, density: float, spin: str) -> None:
    settings = Settings.of("fast", cutoff_ev=cutoff, kpoint_density=density, spin=spin)
    again = Settings.from_json(json.loads(json.dumps(settings.to_json())))
    assert again == settings
    assert again.digest == settings.digest


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"cutoff_ev": 36.7}, "between 50 and 3000"),  # in Hartree or Rydberg
        ({"cutoff_ev": "600"}, "cutoff_ev"),
        ({"kpoint_density": 0}, "kpoint_density"),
        ({"smearing_ev": float("nan")}, "smearing_ev"),
        ({"max_iterations": 0}, "max_iterations"),
        ({"max_iterations": True}, "max_iterations"),
        ({"spin": "up"}, "collinear"),
        ({"ecut": 500}, "cutoff_ev"),
    ],
    ids=["unit", "text", "none", "nan", "no-iterations", "bool", "spin", "name"],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Settings.of("production", **changes)


@pytest.mark.parametrize("wrong", [{"preset": "best"}, {"level": "HSE"}, {"code": "abinit"}], ids=str)
def test_unknown_names_are_refused_with_those_allowed(wrong: dict[str, str]) -> None:
    with pytest.raises(InputError, match="allowed"):
        Settings.of(**wrong)


def test_settings_of_another_version_are_refused() -> None:
    content = Settings().to_json()
    with pytest.raises(InputError, match="another version"):
        Settings.from_json({**content, "grid": 0.2})
