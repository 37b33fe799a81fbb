"""Known crystals as templates, found by amounts and by distance on the modified Pettifor scale."""

from aldesign.structures.templates.index import amounts_of
from aldesign.structures.templates.library import MAX_SITES, TemplateLibrary
from aldesign.structures.templates.search import Match

__all__ = ["MAX_SITES", "Match", "TemplateLibrary", "amounts_of"]
