"""What decides whether a crystal may be exported."""

from __future__ import annotations

import numpy as np
import pytest
from campaign_examples import measured

from aldesign.campaign import finishing
from aldesign.campaign.parts import Parts
from aldesign.records import Crystal
from aldesign.structures.assign import Assignment


@pytest.mark.parametrize(("height", "accepted"), [(0.5, True), (0.05, False)])
def test_a_crystal_whose_atoms_stand_on_each_other_takes_no_rank(make_spec, height: float, accepted: bool) -> None:
    sites = np.array([[0, 0, 0], [height, height, height]])
    crystal = Crystal("made", (4.12,) * 3 + (90.0,) * 3, ("Cs", "Cl"), sites)
    tried = [Assignment("CsCl", crystal, "salt", "CsBr", 0.5, mapping={"Cs": "Cs", "Br": "Cl"})]
    record = finishing.record(Parts(make_spec()), measured(1, "CsCl", 5.0, 1), tried, None)
    assert record["accepted"] == accepted
    assert ("Cs and Cl overlap: they are 0.36 Å apart" in record["reason"]) == (not accepted)
