"""The suite for oracles that learn passes a good one, and notices each way to be bad."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aldesign import testing
from aldesign.errors import InputError
from aldesign.records import OracleCard, OracleIdentity, Prediction
from aldesign.testing import check_trainable, example_rows

STEPS = 4


class Mean:
    """Learns the mean of its labels in four steps, each of which it can go on from."""

    def __init__(self) -> None:
        self.total, self.level, self.training, self.digest = 0.0, "PBE", {}, ""

    @property
    def card(self) -> OracleCard:
        return OracleCard(OracleIdentity("mean", "1", self.digest), level=self.level, training=self.training)

    @classmethod
    def load(cls, directory: Path | None = None, **options: Any) -> Mean:
        found = cls()
        found.__dict__ |= json.loads((directory / "card.json").read_text())  # type: ignore[operator]
        found.digest = "0123456789abcdef"
        return found

    def save(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        (directory / "card.json").write_text(json.dumps(self.__dict__))
        self.digest = "0123456789abcdef"

    def fit(self, train, validation=(), *, seed=0, checkpoint=None, progress=None):  # type: ignore[no-untyped-def]
        self.refuse(train)
        self.level = train[0].level
        state = checkpoint / "state" if checkpoint else None
        done, self.total = self.resume(state)
        for step in range(done, STEPS):
            part = [row.value for row in train[step::STEPS]]
            self.total += float(np.sum(part)) / len(train)
            if state:
                state.parent.mkdir(parents=True, exist_ok=True)
                state.write_text(f"{step + 1} {self.total!r}")
            if progress:
                progress(f"step {step + 1}/{STEPS}")
        self.training = {
            "data": {"rows": len(train) + len(validation), "digest": "ab"},
            "split": {"train": len(train), "validation": len(validation), "seed": seed},
            "metrics": {"validation": {"mae": 1.0}},
            "training_seconds": 0.1,
        }
        return self

    def refuse(self, train) -> None:  # type: ignore[no-untyped-def]
        if not train or len({row.level for row in train}) > 1:
            raise InputError("no rows of one level")

    def resume(self, state: Path | None) -> tuple[int, float]:
        if state is None or not state.exists():
            return 0, 0.0
        done, total = state.read_text().split()
        return int(done), float(total)

    def predict(self, candidates):  # type: ignore[no-untyped-def]
        return [self.one(candidate.formula) for candidate in candidates]

    def one(self, formula: str) -> Prediction:
        if not formula.isalnum() or "x" in formula or formula.islower() or len(formula) > 100:
            return Prediction.failed(self.card, "no formula")
        return Prediction(self.total, 0.5, "eV", self.card.identity, self.level, "Og" not in formula)


class Forgetful(Mean):
    def resume(self, state):  # type: ignore[no-untyped-def]
        return super().resume(state)[0], 0.0


class Moody(Mean):
    fits = 0

    def fit(self, *args, **settings):  # type: ignore[no-untyped-def]
        super().fit(*args, **settings)
        type(self).fits += 1
        self.total += 0.01 * type(self).fits
        return self


class Certain(Mean):
    def one(self, formula):  # type: ignore[no-untyped-def]
        found = super().one(formula)
        return found if not found.ok else Prediction(self.total, 0.0, "eV", found.oracle, self.level)


class Stubborn(Mean):
    def fit(self, *args, progress=None, **settings):  # type: ignore[no-untyped-def]
        def deaf(line: str) -> None:
            with suppress(KeyboardInterrupt):
                progress(line)

        return super().fit(*args, progress=progress and deaf, **settings)


class Rounding(Mean):
    def save(self, directory: Path) -> None:
        super().save(directory)
        text = json.dumps(self.__dict__ | {"total": round(self.total, 1)})
        (directory / "card.json").write_text(text)


class Taciturn(Mean):
    def fit(self, *args, **settings):  # type: ignore[no-untyped-def]
        super().fit(*args, **settings)
        del self.training["data"]
        return self


class Generous(Mean):
    def refuse(self, train) -> None:  # type: ignore[no-untyped-def]
        if not train:
            raise ZeroDivisionError


class Distant(Mean):
    def fit(self, *args, **settings):  # type: ignore[no-untyped-def]
        super().fit(*args, **settings)
        self.level = "HSE"
        return self


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    def register(kind: type[Mean]) -> None:
        monkeypatch.setattr(testing, "oracle_class", lambda _: kind)
        monkeypatch.setattr(testing, "load_oracle", lambda _, directory, **options: kind.load(directory, **options))

    return register


def test_a_good_one_passes(registered, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    registered(Mean)
    check_trainable("mean", tmp_path)


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        (Forgetful, "trained again after it had been killed"),
        (Moody, "trained again with the same seed"),
        (Certain, "std 0.0, not above 0"),
        (Stubborn, "nobody could stop it"),
        (Rounding, "asked after storing and loading"),
        (Taciturn, "card.training lacks data"),
        (Generous, "no rows must be refused with an InputError, fit raised ZeroDivisionError"),
        (Distant, "trained on PBE, the card says HSE"),
    ],
)
def test_the_suite_notices(registered, tmp_path: Path, kind: type[Mean], complaint: str) -> None:  # type: ignore[no-untyped-def]
    registered(kind)
    with pytest.raises(AssertionError, match=complaint):
        check_trainable("mean", tmp_path)


def test_the_example_rows_are_what_they_say() -> None:
    from aldesign.structures.cif import formula_of
    from aldesign.structures.geometry import distances

    rows = example_rows()
    assert len({row.formula for row in rows}) == len(rows) == 37
    assert {row.value > 0 for row in rows} == {True, False}
    for row in rows:
        assert row.crystal is not None
        assert formula_of(row.crystal) == row.formula
        assert 1.8 < distances(row.crystal).min() < 4.0  # Å
    assert max(row.value for row in example_rows("formation_energy_per_atom")) <= 0
