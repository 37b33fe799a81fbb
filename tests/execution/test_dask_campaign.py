"""A whole campaign on Dask workers, whose scheduler dies on the way: the table of one process, nothing paid twice."""

from collections import Counter
from pathlib import Path

import pytest
import yaml
from scheduler_process import Scheduler

from aldesign.campaign.campaign import Campaign
from aldesign.campaign.export import export
from aldesign.campaign.journal import Journal
from aldesign.campaign.spec import ExecutionSpec, read_spec
from aldesign.errors import AldesignError

pytest.importorskip("distributed")
TINY = Path(__file__).parent.parent / "campaign" / "tiny.yaml"
SHORT = ("stop.iterations=1", "shortlist.size=1", "structures.candidates=1")


def exported(campaign, directory):
    export(campaign.state, campaign.spec, directory)
    return (directory / "candidates.csv").read_text() + (directory / "set_aside.csv").read_text()


@pytest.mark.slow
def test_a_campaign_whose_scheduler_dies_goes_on_elsewhere_to_the_same_table(tmp_path):
    spec = read_spec(TINY, SHORT)
    with Campaign.create(spec, tmp_path / "serial") as campaign:
        campaign.run()
        expected = exported(campaign, tmp_path / "expected")

    (tmp_path / "cluster").mkdir()
    begun = Scheduler(tmp_path / "cluster")
    begun.worker()
    begun.worker()
    answers = []

    def listen(kind, facts):
        if kind == "answered":
            answers.append(facts["trial"].number)
            if len(answers) == 3:
                begun.scheduler.kill()

    directory = tmp_path / "dask"
    try:
        with (
            Campaign.create(spec, directory, listen) as campaign,
            pytest.raises(AldesignError, match=r"was lost .*aldesign resume"),
        ):
            campaign.run(execution=ExecutionSpec(kind="dask", address=begun.address))
    finally:
        begun.end()
    own = directory / "campaign.yaml"
    content = yaml.safe_load(own.read_text())
    own.write_text(yaml.safe_dump({**content, "seed": 1, "execution": {"kind": "dask", "workers": 2}}))
    with Campaign.open(directory) as campaign:
        assert campaign.spec.execution == ExecutionSpec(kind="dask", workers=2)
        assert campaign.spec.seed == spec.seed
        campaign.run()
        assert exported(campaign, tmp_path / "got") == expected
    with Journal(directory) as journal:
        paid = Counter(event.payload["trial"] for event in journal.events() if event.kind == "answered")
    assert set(answers) <= set(paid)
    assert set(paid.values()) == {1}
