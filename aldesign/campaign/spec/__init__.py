"""A campaign's definition: the YAML, validated once at the edge."""

from aldesign.campaign.spec.crystals import StructuresSpec
from aldesign.campaign.spec.paths import path_places
from aldesign.campaign.spec.places import ExecutionSpec
from aldesign.campaign.spec.reading import read_spec, validate
from aldesign.campaign.spec.whole import CampaignSpec

__all__ = ["CampaignSpec", "ExecutionSpec", "StructuresSpec", "path_places", "read_spec", "validate"]
