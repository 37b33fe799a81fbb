"""Campaign files are validated once, and faults name their line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from aldesign.campaign.spec import CampaignSpec, read_spec, validate
from aldesign.campaign.spec.source import Source
from aldesign.errors import SpecError

GOOD = """\
name: halides
target: {maximize: true}
space:
  exclude: [radioactive, No, Y]
  max_count: 8
oracle: {kind: lookup, options: {path: gaps.csv}}
stop: {iterations: 3}
"""


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "c.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_every_default_is_written_out_and_reads_back(written) -> None:
    spec = read_spec(written(GOOD))
    again = CampaignSpec.model_validate(yaml.safe_load(spec.to_yaml()))
    assert again == spec
    assert again.digest() == spec.digest()


def test_nobelium_and_yttrium_are_elements_not_booleans(written) -> None:
    assert read_spec(written(GOOD)).space.exclude == ("radioactive", "No", "Y")


def test_paths_are_relative_to_the_file(written, tmp_path: Path) -> None:
    spec = read_spec(written(GOOD))
    assert spec.oracle.options["path"] == str(tmp_path / "gaps.csv")


def test_paths_given_by_hand_are_relative_to_the_working_directory(written, tmp_path: Path, monkeypatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    spec = read_spec(written(GOOD), ("data.source=table", "data.path=mine.csv"))
    assert spec.data.path == str(elsewhere / "mine.csv")


def test_environment_variables_fill_in(written, monkeypatch) -> None:
    text = GOOD + "data: {source: table, path: '${GAPS:-/default}/gaps.csv'}\n"
    assert read_spec(written(text)).data.path == "/default/gaps.csv"
    monkeypatch.setenv("GAPS", "/elsewhere")
    assert read_spec(written(text)).data.path == "/elsewhere/gaps.csv"
    with pytest.raises(SpecError, match=r"c\.yaml:8: the environment variable GAPS_XYZ is not set"):
        read_spec(written(GOOD + "data: {source: table, path: '${GAPS_XYZ}'}\n"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max_count: 8", "max_cout: 8", r"c\.yaml:5: unknown key 'max_cout' .*did you mean 'max_count'"),
        ("stop: ", "stopp: ", r"c\.yaml:7: unknown key 'stopp'"),
        ("iterations: 3", "iterations: soon", r"c\.yaml:7: stop\.iterations: .*integer"),
        ("{iterations: 3}", "{patience: 3}", r"c\.yaml:7: stop: a campaign must end"),
        ("{maximize: true}", "{maximize: true, minimize: true}", r"c\.yaml:2: target: give exactly one"),
        ("{maximize: true}", "{window: [3, 1]}", r"c\.yaml:2: target: window must be"),
        ("max_count: 8", "max_count: 21", r"c\.yaml:5: space\.max_count: .*less than or equal to 20.*got 21"),
        ("name: halides", "name: a/b", r"c\.yaml:1: name"),
        ("space:", "name: twice\nspace:", r"c\.yaml:3: 'name' is given twice"),
        ("space:", "space: [", r"c\.yaml:\d+: this is not YAML"),
        ("{iterations: 3}", "{iterations: 3, hours: .nan}", r"c\.yaml:7: stop\.hours"),
        ("space:", "acquisition: {kind: ehvi}\nspace:", r"ehvi and target\.also belong together"),
        ("space:", "acquisition: {kind: probability}\nspace:", r"either acquisition\.threshold in eV or a window"),
        ("space:", "acquisition: {kind: guess}\nspace:", r"c\.yaml:3: acquisition\.kind: .*'ucb'"),
        ("space:", "surrogate: {features: []}\nspace:", r"c\.yaml:3: surrogate\.features"),
        ("space:", "acquisition: {kind: ei, threshold: 3}\nspace:", r"threshold is for ucb or probability"),
        ("space:", "mutations: {fraction: 0.8}\nspace:", r"must leave 5% to the latent search"),
    ],
)
def test_faults_name_line_and_remedy(written, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(SpecError, match=message) as caught:
        read_spec(written(GOOD.replace(old, new)))
    assert caught.value.exit_code == 2


def test_all_faults_are_told_at_once(written) -> None:
    text = GOOD.replace("max_count: 8", "max_count: 0").replace("iterations: 3", "iterations: -1")
    with pytest.raises(SpecError) as caught:
        read_spec(written(text))
    assert caught.value.message.count("c.yaml:") == 2


def test_missing_file_and_empty_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no campaign file"):
        read_spec(tmp_path / "absent.yaml")
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(SpecError, match="holds no campaign"):
        read_spec(tmp_path / "empty.yaml")


def test_override_of_an_unknown_key_is_refused(written) -> None:
    with pytest.raises(SpecError, match=r"unknown key 'iteration'.*did you mean 'iterations'"):
        read_spec(written(GOOD), ("stop.iteration=4",))
    with pytest.raises(SpecError, match="not KEY=VALUE"):
        read_spec(written(GOOD), ("stop.iterations",))


def test_unsafe_yaml_is_not_executed() -> None:
    with pytest.raises(SpecError, match="not YAML"):
        Source("name: !!python/object/apply:os.getcwd []", "c.yaml")


def test_digest_ignores_where_and_how_long_it_runs(written) -> None:
    spec = read_spec(written(GOOD))
    assert read_spec(written(GOOD), ("execution.kind=processes", "stop.iterations=9")).digest() == spec.digest()
    assert read_spec(written(GOOD), ("seed=1",)).digest() != spec.digest()


def test_a_table_needs_a_path() -> None:
    source = Source("name: x\ntarget: {maximize: true}\nstop: {iterations: 1}\ndata: {source: table}", "c.yaml")
    with pytest.raises(SpecError, match=r"c\.yaml:4: data: source: table needs path"):
        validate(source)
