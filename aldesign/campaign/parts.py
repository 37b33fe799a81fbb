"""The working parts of a campaign, built from its definition; each is loaded when it is first needed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aldesign.campaign.given import Given, read_given
from aldesign.campaign.ranking import objective
from aldesign.campaign.spec import CampaignSpec
from aldesign.errors import AldesignError, OracleError, SpecError
from aldesign.models.acquisition import Acquirer, Objective
from aldesign.protocols import Encoder, Generator, Oracle, Screen, Surrogate
from aldesign.records import Candidate, OracleCard
from aldesign.registry import load_oracle
from aldesign.screens.energy import FORESEER

if TYPE_CHECKING:
    from aldesign.models.surrogates.features import FeatureSpace
    from aldesign.screens import ScreenContext
    from aldesign.structures.hull import Hull
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
        self._described: dict[str, np.ndarray] = {}
        self._foreseen: dict[str, tuple[float, float]] = {}

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
        if section is None or section.fraction == 0 or self.spec.space.pool is not None:
            return None
        return FormulaGAN.load(Path(section.path) if section.path else None)

    @cached_property
    def pool(self) -> Given | None:
        """The candidates to choose from, if the campaign names them. Raises InputError where they cannot be read."""
        path = self.spec.space.pool
        return None if path is None else read_given(Path(path))

    @cached_property
    def allowed(self) -> list[str]:
        """The elements that the campaign's rules leave, in the order of the one-hot matrix."""
        from aldesign.chemistry.elements import ALPHABET, resolve

        included = resolve(self.spec.space.include) if self.spec.space.include else frozenset(ALPHABET)
        excluded = resolve(self.spec.space.exclude)
        return [symbol for symbol in ALPHABET if symbol in included - excluded]

    @cached_property
    def allowed_mask(self) -> np.ndarray:
        """Which elements the campaign's rules leave, in the order of the one-hot matrix, bool (103,)."""
        from aldesign.chemistry.elements import ALPHABET

        return np.isin(ALPHABET, self.allowed)

    @cached_property
    def features(self) -> FeatureSpace:
        """What the surrogate sees of a formula. Raises InputError for an unknown descriptor."""
        from aldesign.models.surrogates.features import FeatureSpace

        return FeatureSpace(self.spec.surrogate.features, self.encoder)

    def describe(self, formulas: Sequence[str]) -> np.ndarray:
        """Return the features of canonical formulas, float64 (n, d).

        What was described once is remembered: an iteration asks again for every measured formula.
        """
        new = [formula for formula in dict.fromkeys(formulas) if formula not in self._described]
        if new:
            self._described.update(zip(new, self.features.describe(new), strict=True))
        return np.array([self._described[formula] for formula in formulas])

    def forget_all_but(self, formulas: Iterable[str]) -> None:
        """Drop what is remembered of other formulas, so that memory stays flat."""
        kept = set(formulas)
        for memory in (self._described, self._foreseen):
            for formula in memory.keys() - kept:
                del memory[formula]

    def surrogate(self, start: Mapping[str, list[float]] | None = None) -> Surrogate:
        """Return a fresh surrogate whose search for hyper-parameters begins at `start`."""
        from aldesign.models.surrogates import make_surrogate

        section = self.spec.surrogate
        return make_surrogate(
            section.kind,
            blocks=self.features.blocks,
            max_observations=section.max_observations,
            seed=self.spec.seed,
            start=start,
        )

    def acquirer(self, incumbent: float | None = None) -> Acquirer:
        """Return what decides which candidates are worth an answer, the best gap so far being `incumbent` (eV)."""
        from aldesign.models.acquisition import make_acquirer

        section = self.spec.acquisition
        return make_acquirer(
            section.kind, self.goal, kappa=section.kappa, incumbent=incumbent, threshold=section.threshold
        )

    @property
    def climbs(self) -> bool:
        """Whether the latent search can follow the gradient of the acquisition."""
        from aldesign.models.surrogates.features import LATENT

        surrogate = self.spec.surrogate
        return surrogate.kind == "gp" and surrogate.features == (LATENT,) and self.spec.acquisition.kind == "ucb"

    def decode(self, points: np.ndarray) -> list[str]:
        """Return the formula that each latent point (n, d) is read as: plausible and by the rules, if one is near."""
        space = self.spec.space
        return self.encoder.decode_plausible(
            points,
            self.spec.acquisition.slack,
            min_elements=space.n_elements[0],
            max_elements=space.n_elements[1],
            allowed=self.allowed,
        )

    def within(self, formulas: Sequence[str]) -> np.ndarray:
        """Return which canonical formulas keep the rules of the campaign's space, bool (n,)."""
        return np.array([not reason for reason in self.outside(formulas)], dtype=bool)

    def outside(self, formulas: Sequence[str]) -> list[str]:
        """Return which rule of the campaign's space each canonical formula breaks, empty where it keeps all."""
        from aldesign.screens import ScreenContext, make_screen

        rules = next(entry for entry in self.screen_entries if isinstance(entry, dict) and "elements" in entry)
        screen = make_screen(rules, ScreenContext())
        return ["" if verdict.passed else verdict.reason for verdict in screen.check(list(formulas))]

    def worth(
        self,
        formulas: Sequence[str],
        belief: tuple[np.ndarray, np.ndarray],
        incumbent: float,
        paid: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Return the acquisition's score of each formula, float64 (n,), higher being better.

        Args:
            formulas: Canonical formulas.
            belief: Their expected gaps and the uncertainty of these in eV, (n,) each.
            incumbent: The best gap so far, in eV.
            paid: What has been measured: gaps in eV and, where a second property counts, that beside it, (m, 1 or 2).
            rng: Of an acquisition that draws.
        """
        if self.second is None:
            return self.acquirer(incumbent).score(*belief, rng)
        from aldesign.models.acquisition.multiobjective import expected_hypervolume_improvement

        return expected_hypervolume_improvement(self.goals, *self.beliefs(formulas, *belief), paid)

    @property
    def goals(self) -> tuple[Objective, Objective]:
        """What is wanted of the gap, and of the second property."""
        return self.goal, Objective("minimize")

    def beliefs(self, formulas: Sequence[str], mean: np.ndarray, std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what is expected of gap and second property, and how surely, float64 (n, 2) each."""
        value, doubt = self.foresee(formulas)
        return np.column_stack([mean, value]), np.column_stack([std, doubt])

    @cached_property
    def second(self) -> Oracle | None:
        """The oracle that foresees the second property, if one counts. Raises SpecError where it predicts another."""
        also = self.spec.target.also
        if also is None:
            return None
        oracle = load_oracle(also.oracle, Path(also.model) if also.model else None)
        card = oracle.card
        if card.property != also.property or card.needs != "formula" or card.answers != "predict":
            raise SpecError(
                f"oracle {also.oracle!r} predicts {card.property} of a {card.needs}; target.also is {also.property}",
                "name an oracle that foresees it from the formula; see `aldesign list oracles`",
            )
        return oracle

    def foresee(self, formulas: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the second property of formulas and its standard deviation, float64 (n,) each, in eV/atom.

        Raises:
            OracleError: There is no second property, or it cannot be foreseen for one of them.
        """
        if self.second is None:
            raise OracleError("the campaign foresees no second property", "give target.also")
        new = [formula for formula in dict.fromkeys(formulas) if formula not in self._foreseen]
        for formula, answer in zip(new, self.second.predict([Candidate(f) for f in new]), strict=True):
            if answer.value is None or answer.std is None:
                raise OracleError(
                    f"{formula}: {answer.error or 'no uncertainty is stated'}", "choose another target.also"
                )
            # the last digits of a network's answer depend on who else was asked
            self._foreseen[formula] = (round(answer.value, 6), round(answer.std, 6))
        found = np.array([self._foreseen[formula] for formula in formulas]).reshape(-1, 2)
        return found[:, 0], found[:, 1]

    @cached_property
    def templates(self) -> TemplateLibrary:
        """The crystals that lend their structures. Raises InputError where the source cannot be read."""
        from aldesign.structures.templates import TemplateLibrary

        section = self.spec.structures
        return TemplateLibrary.of(section.templates, max_sites=section.max_sites)

    @cached_property
    def hull(self) -> Hull | None:
        """The known phases, if the campaign names any. Raises InputError where the source cannot be read."""
        from aldesign.structures.hull import Hull

        source = self.spec.structures.hull
        return None if source is None else Hull.from_path(Path(source))

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
        found["features"] = self.features.digest
        if self.second is not None:
            found["second oracle"] = self.second.card.identity.digest
        for entry in self.screen_entries:
            options = {"formation_energy": {}} if entry == "formation_energy" else entry
            if isinstance(options, dict) and "formation_energy" in options:
                name = (options["formation_energy"] or {}).get("oracle", FORESEER)
                found["screening oracle"] = load_oracle(name).card.identity.digest
        if self.pool is not None:
            found["pool"] = self.pool.digest
        if self.hull is not None:
            found["known phases"] = self.hull.digest
        return {**found, "templates": self.templates.digest}

    def refuse_other_weights(self, recorded: dict[str, str]) -> None:
        """Raise AldesignError if a part differs from what the run began with."""
        for part, digest in self.digests().items():
            before = recorded.get(part, digest)
            # a code that was missing when the run began, so that it answered nothing, may have been installed
            if digest != before and not (part == "oracle" and digest.startswith(f"{before}-")):
                raise AldesignError(
                    f"the {part} has digest {digest}, but this run began with {recorded[part]}",
                    "a run keeps its models: restore the old weights, or begin a new run",
                )
