"""Known crystals as templates, found by amounts and by distance on the modified Pettifor scale."""

from aldesign.structures.templates.index import amounts_of
from aldesign.structures.templates.library import MAX_SITES, SHIPPED, TemplateLibrary
from aldesign.structures.templates.search import Match

__all__ = ["MAX_SITES", "SHIPPED", "Match", "TemplateLibrary", "amounts_of"]
