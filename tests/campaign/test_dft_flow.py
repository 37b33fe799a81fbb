"""The worked example: a jobflow flow computes what a campaign asks for, and tells."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from aldesign.campaign.reading import read_state
from aldesign.campaign.spec import read_spec
from aldesign.errors import CalculationError
from aldesign.records import Crystal, TrialState
from aldesign.structures.cif import formula_of, write_cif

pytest.importorskip("jobflow", reason="jobflow is not installed: pip install 'aldesign[workflow]'")

EXAMPLES = Path(__file__).parents[2] / "campaigns" / "examples"


def test_a_round_tells_gaps_failures_and_crashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aldesign.campaign.campaign import Campaign
    from campaigns.examples import dft_flow

    asked: list[str] = []

    def stand_in(crystal: Crystal, settings: object, store: Path) -> tuple[float, str]:
        asked.append(formula_of(crystal))
        if len(asked) == 2:
            raise CalculationError("convergence", "no ground state in 100 iterations")
        if len(asked) == 3:
            raise RuntimeError("the node died")
        return 4.5, "a stand-in"

    monkeypatch.setattr(dft_flow, "gap_of", stand_in)
    directory = tmp_path / "run"
    spec = read_spec(EXAMPLES / "small_cells.yaml", ("structures.relax=none",))
    with Campaign.create(spec, directory):
        pass
    monkeypatch.setattr(dft_flow, "CRYSTALS", "template")
    rows = dft_flow.run_round(directory, 3, dft_flow.Settings.of("fast"))
    assert asked == [row["formula"] for row in rows]
    state, _ = read_state(directory)
    first, second, third = (state.trials[row["trial"]] for row in rows)
    assert (first.state, first.prediction.value) == (TrialState.MEASURED, 4.5)
    assert state.told[first.number][0]["notes"] == {"comment": "a stand-in", "source": "jobflow"}
    assert (second.state, second.prediction.error) == (TrialState.FAILED, "no ground state in 100 iterations")
    assert (third.state, third.prediction.error) == (TrialState.FAILED, "its job ended without a result")
    (table,) = directory.glob("rounds/*/results.csv")
    with table.open() as stream:
        assert [row["cif"] for row in csv.DictReader(stream)] == [Path(row["cif"]).name for row in rows]


@pytest.mark.dft
def test_a_job_computes_the_gap_of_a_cif(tmp_path: Path) -> None:
    pytest.importorskip("gpaw", reason="GPAW is not installed: pip install 'aldesign[dft]'")
    import numpy as np

    from campaigns.examples import dft_flow

    sites = ("Li", "F"), np.array([[0.0] * 3, [0.5] * 3])
    lithium_fluoride = Crystal("LiF", (2.87, 2.87, 2.87, 60.0, 60.0, 60.0), *sites)
    path = tmp_path / "00001_LiF.cif"
    write_cif(lithium_fluoride, path)
    settings = dft_flow.Settings.of("fast", cutoff_ev=350.0)
    row = dft_flow.compute.original(str(path), settings.to_json(), str(tmp_path / "dft.sqlite"))
    # 8.94 eV in the local density approximation: Tran and Blaha, Phys. Rev. Lett. 102, 226401 (2009)
    assert 8.0 < row["gap_ev"] < 10.0
    assert row["comment"].startswith("gpaw PBE")
    missing = dft_flow.compute.original(str(tmp_path / "absent.cif"), settings.to_json(), str(tmp_path / "dft.sqlite"))
    assert "cannot be read" in missing["error"]
