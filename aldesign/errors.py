"""Errors that say what was got, where, what is allowed and what to do next."""

from __future__ import annotations

from typing import ClassVar


class AldesignError(Exception):
    """Base of every error that the package raises on purpose.

    Args:
        message: What was got and where.
        hint: What is allowed, or what to do next.

    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[type[AldesignError], tuple[str, str]]:
        return type(self), (self.message, self.hint)


class InputError(AldesignError):
    """Something that the user gave cannot be used; exit code 2."""

    exit_code = 2


class FormulaError(InputError):
    """A text is not a chemical formula of known elements."""


class SpecError(InputError):
    """A campaign file is not valid."""


class RunDirectoryError(InputError):
    """A run directory is missing, of another version, or held by another writer."""


class OracleError(AldesignError):
    """An oracle could not be loaded or could not answer."""


class StructureError(AldesignError):
    """No acceptable crystal could be made for a formula."""


class CalculationError(AldesignError):
    """A first-principles calculation gave no result.

    Args:
        kind: What stood in the way: one of `KINDS`.
        message: What was got and where.
        hint: What to do next.

    """

    KINDS: ClassVar[tuple[str, ...]] = (
        "unavailable",  # the code or a part of it is not installed
        "element",  # no data set for an element
        "structure",  # a crystal that no code would accept
        "time",
        "memory",
        "convergence",
        "disk",
        "killed",
        "crash",
    )

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.kind = kind

    def __reduce__(self) -> tuple[type[CalculationError], tuple[str, str, str]]:  # type: ignore[override]
        return type(self), (self.kind, self.message, self.hint)


class CheckpointError(InputError):
    """Stored weights are missing, damaged, or belong to another model class."""


class InterruptedRunError(AldesignError):
    """The user stopped a resumable piece of work; exit code 130."""

    exit_code = 130
