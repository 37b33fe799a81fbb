"""The working parts of a campaign, built from its definition; each is loaded when it is first needed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aldesign.campaign.ranking import objective
from aldesign.campaign.spec import CampaignSpec
from aldesign.errors import AldesignError, SpecError
from aldesign.models.acquisition import Objective, UpperConfidenceBound
from aldesign.protocols import Encoder, Generator, Oracle, Screen
from aldesign.records import OracleCard
from aldesign.registry import load_oracle

if TYPE_CHECKING:
    from aldesign.models.surrogate import GaussianProcess
    from aldesign.screens import ScreenContext
    from aldesign.structures.templates import TemplateLibrary


@dataclass(frozen=True)
class OracleReference:
    """How any process finds the campaign's oracle."""

    name: str
    directory: Path | None
    options: str  # JSON, so that a reference can be a key

    def load(self) -> Oracle:
        """Return the oracle. Raises InputError or OracleError."""
        return load_oracle(self.name, self.directory, **json.loads(self.options))


class Parts:
    """Everything that a campaign's definition names.

    Args:
        spec: The definition.
    """

    def __init__(self, spec: CampaignSpec) -> None:
        self.spec = spec

    @cached_property
    def goal(self) -> Objective:
        """What is looked for."""
        return objective(self.spec)

    @cached_property
    def oracle(self) -> OracleReference:
        """Where the oracle is found."""
        section = self.spec.oracle
        directory = Path(section.model) if section.model else None
        return OracleReference(section.kind, directory, json.dumps(section.options, sort_keys=True))

    @cached_property
    def card(self) -> OracleCard:
        """What the oracle predicts and needs. Raises SpecError where it is no band-gap oracle."""
        card = self.oracle.load().card
        if card.property != self.spec.target.property or card.unit != "eV":
            raise SpecError(
                f"oracle {card.identity.name!r} predicts {card.property} in {card.unit}, "
                f"the target is {self.spec.target.property} in eV",
                "choose another oracle or other options; see `aldesign list oracles`",
            )
        return card

    @cached_property
    def encoder(self) -> Encoder:
        """The map between formulas and latent points."""
        from aldesign.models.autoencoder import FormulaAutoencoder

        path = self.spec.encoder.path
        return FormulaAutoencoder.load(Path(path) if path else None)

    @cached_property
    def generator(self) -> Generator | None:
        """The generator of formulas, if the campaign has one."""
        from aldesign.models.gan import FormulaGAN

        section = self.spec.generator
        if section is None or section.fraction == 0:
            return None
        return FormulaGAN.load(Path(section.path) if section.path else None)

    @cached_property
    def allowed(self) -> list[str]:
        """The elements that the campaign's rules leave, in the order of the one-hot matrix."""
        from aldesign.chemistry.elements import ALPHABET, resolve

        included = resolve(self.spec.space.include) if self.spec.space.include else frozenset(ALPHABET)
        excluded = resolve(self.spec.space.exclude)
        return [symbol for symbol in ALPHABET if symbol in included - excluded]

    @cached_property
    def acquirer(self) -> UpperConfidenceBound:
        """What decides which candidates are worth an answer."""
        return UpperConfidenceBound(self.goal, self.spec.acquisition.kappa)

    def surrogate(self) -> GaussianProcess:
        """Return a fresh surrogate."""
        from aldesign.models.surrogate import GaussianProcess

        return GaussianProcess(max_observations=self.spec.surrogate.max_observations, seed=self.spec.seed)

    @cached_property
    def templates(self) -> TemplateLibrary:
        """The crystals that lend their structures. Raises InputError where the source cannot be read."""
        from aldesign.structures.templates import TemplateLibrary

        source = self.spec.structures.templates
        if source == "aflow":
            return TemplateLibrary.from_aflow(max_sites=self.spec.structures.max_sites)
        return TemplateLibrary.from_path(Path(source), max_sites=self.spec.structures.max_sites)

    def screens(self, context: ScreenContext) -> list[Screen]:
        """Return the campaign's screens, in order. Raises SpecError for an unknown one."""
        from aldesign.screens import make_screen

        return [make_screen(entry, context) for entry in self.screen_entries]

    @cached_property
    def screen_entries(self) -> list[str | dict[str, Any]]:
        """The screens as listed, with the rules of `space` filled into `elements`, which is never left out."""
        space = self.spec.space
        rules = {
            "include": list(space.include),
            "exclude": list(space.exclude),
            "n_elements": list(space.n_elements),
            "max_count": space.max_count,
            "max_atoms": space.max_atoms,
            "require": list(space.require),
        }
        entries: list[str | dict[str, Any]] = []
        for entry in self.spec.screens:
            options = entry.get("elements") if isinstance(entry, dict) else None
            own = entry == "elements" or isinstance(options, dict)
            entries.append({"elements": {**rules, **(options or {})}} if own else entry)
        listed = any(isinstance(entry, dict) and "elements" in entry for entry in entries)
        return entries if listed else [{"elements": rules}, *entries]

    def digests(self) -> dict[str, str]:
        """Return short hashes of the weights and templates that decide the campaign's course."""
        found = {"oracle": self.card.identity.digest, "encoder": str(getattr(self.encoder, "digest", ""))}
        if self.generator is not None:
            found["generator"] = str(getattr(self.generator, "digest", ""))
        return {**found, "templates": self.templates.digest}

    def refuse_other_weights(self, recorded: dict[str, str]) -> None:
        """Raise AldesignError if a part differs from what the run began with."""
        for part, digest in self.digests().items():
            if recorded.get(part, digest) != digest:
                raise AldesignError(
                    f"the {part} has digest {digest}, but this run began with {recorded[part]}",
                    "a run keeps its models: restore the old weights, or begin a new run",
                )
