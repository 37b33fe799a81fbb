"""A campaign whose oracle is an ensemble: its members are found, copied, and enough when all else is gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aldesign.campaign import loop
from aldesign.campaign.belongings import adopt, located
from aldesign.campaign.campaign import Campaign
from aldesign.campaign.checking import check_campaign
from aldesign.campaign.reading import read_state
from aldesign.campaign.spec import CampaignSpec, read_spec
from aldesign.errors import AldesignError
from aldesign.records import Candidate
from aldesign.registry import load_oracle

HERE = Path(__file__).parent
TEXT = (HERE / "tiny.yaml").read_text().replace("path: tiny.csv", f"path: {HERE / 'tiny.csv'}")
MEMBERS = (
    "members: [{kind: random_forest, model: a/forest, weight: 2}, {kind: random_forest, model: b/forest, weight: 1}]"
)


@pytest.fixture(scope="module")
def forests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two small forests in folders of one name."""
    from aldesign.datasets.table import read_table
    from aldesign.fitting import new_oracle

    folder = tmp_path_factory.mktemp("forests")
    rows = read_table(HERE / "tiny.csv").rows
    for seed, name in enumerate("ab"):
        new_oracle("random_forest", {"trees": 10}).fit(rows, seed=seed).save(folder / name / "forest")
    return folder


@pytest.fixture
def spec(forests: Path, tmp_path: Path) -> CampaignSpec:
    shutil.copytree(forests, tmp_path, dirs_exist_ok=True)
    text = TEXT.replace("oracle: {kind: random_forest}", f"oracle: {{kind: ensemble, {MEMBERS}}}")
    (tmp_path / "campaign.yaml").write_text(text.replace("iterations: 3", "iterations: 2"))
    return read_spec(tmp_path / "campaign.yaml")


def test_members_stand_beside_the_kind_or_among_the_options(spec: CampaignSpec, tmp_path: Path) -> None:
    models = [member["model"] for member in spec.oracle.options["members"]]
    assert models == [str(tmp_path / "a" / "forest"), str(tmp_path / "b" / "forest")]
    text = (tmp_path / "campaign.yaml").read_text().replace(MEMBERS, f"options: {{{MEMBERS}}}")
    (tmp_path / "other.yaml").write_text(text)
    assert read_spec(tmp_path / "other.yaml") == spec
    named = read_spec(
        HERE / "tiny.yaml", ("oracle.kind=ensemble", "oracle.members=[dense, {kind: dense, model: shipped}]")
    )
    assert named.oracle.options == {"members": ["dense", {"kind": "dense", "model": "shipped"}]}


def test_the_level_of_theory_stands_beside_the_kind() -> None:
    spec = read_spec(HERE / "tiny.yaml", ("oracle.kind=stoichiometry_graph", "oracle.level=experiment"))
    assert spec.oracle.options == {"level": "experiment"}


def test_belongings_are_copied_and_found_again(spec: CampaignSpec, tmp_path: Path) -> None:
    inner = {"kind": "ensemble", "members": ["dense", spec.oracle.options["members"][1]]}
    content = spec.model_dump(mode="json")
    content["oracle"]["options"]["members"] = [{"kind": "dense", "model": "shipped"}, inner]
    kept = adopt(CampaignSpec.model_validate(content), tmp_path / "run")
    place = "models/oracle/1/1/forest"
    assert kept.oracle.options["members"][0]["model"] == "shipped"
    assert kept.oracle.options["members"][1]["members"][1]["model"] == place
    assert (tmp_path / "run" / place / "weights.safetensors").is_file()
    again = located(kept, tmp_path / "run")
    assert again.oracle.options["members"][1]["members"][1]["model"] == str(tmp_path / "run" / place)


def test_a_run_goes_on_when_the_members_outside_are_gone(spec: CampaignSpec, tmp_path: Path) -> None:
    assert check_campaign(spec)["oracle"].startswith("ensemble 1 (PBE, eV)")
    run = tmp_path / "run"
    with Campaign.create(spec, run) as campaign:
        loop.run(campaign, 1)
    oracle = load_oracle("ensemble", **spec.oracle.options)
    for name in "ab":
        shutil.rmtree(tmp_path / name)
    with Campaign.open(run) as campaign:
        loop.run(campaign, None)
    state, _ = read_state(run)
    assert state.iterations == 2
    measured = [trial for trial in state.measured if trial.iteration > 0]
    assert len(measured) == 8
    for trial in measured:
        assert trial.prediction is not None
        assert trial.prediction.oracle == oracle.card.identity
        (expected,) = oracle.predict([Candidate(trial.candidate.formula)])
        assert trial.prediction.value == pytest.approx(expected.value)
    shutil.copytree(run / "models" / "oracle" / "0", run / "models" / "oracle" / "1", dirs_exist_ok=True)
    with pytest.raises(AldesignError, match="the oracle has digest"):
        Campaign.open(run)


def test_a_stored_ensemble_is_one_model(spec: CampaignSpec, tmp_path: Path) -> None:
    load_oracle("ensemble", **spec.oracle.options).save(tmp_path / "joint")  # type: ignore[attr-defined]
    (tmp_path / "campaign.yaml").write_text((tmp_path / "campaign.yaml").read_text().replace(MEMBERS, "model: joint"))
    run = tmp_path / "run"
    with Campaign.create(read_spec(tmp_path / "campaign.yaml"), run):
        pass
    for name in ("a", "b", "joint"):
        shutil.rmtree(tmp_path / name)
    with Campaign.open(run) as campaign:
        assert campaign.state.created["oracle"]["name"] == "ensemble"
