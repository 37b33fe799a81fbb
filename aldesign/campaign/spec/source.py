"""YAML read safely, with the line of every key kept for error messages."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from aldesign.errors import SpecError

Place = tuple[str | int, ...]
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


class _Loader(yaml.SafeLoader):
    """YAML 1.2 booleans only: under YAML 1.1 the element symbol ``No`` would read as false."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


class Source:
    """One parsed YAML document and where each of its keys stands.

    Attributes:
        name: File name, for messages.
        content: The document as plain Python values.
    """

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self._lines: dict[Place, int] = {}
        try:
            loader = _Loader(text)
            try:
                node = loader.get_single_node()
                self._walk(node, ())
                self.content: Any = loader.construct_document(node) if node is not None else None
            finally:
                loader.dispose()
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{name}:{mark.line + 1}" if mark else name
            problem = getattr(error, "problem", None) or str(error)
            raise SpecError(f"{where}: this is not YAML: {problem}", "check indentation and colons") from error
        except RecursionError:
            raise SpecError(f"{name}: an alias refers to itself", "write the values out") from None
        if not isinstance(self.content, dict):
            raise SpecError(f"{name} holds no campaign", "it must be a mapping that begins with e.g. 'name:'")

    @classmethod
    def of(cls, content: dict[str, Any], name: str) -> Source:
        """Return a document that was parsed before."""
        source = cls("name: _", name)
        source.content = content
        return source

    @classmethod
    def read(cls, path: Path) -> Source:
        """Return the parsed file. Raises SpecError where it is missing, unreadable or not YAML."""
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise SpecError(f"no campaign file at {path}", "see `aldesign list campaigns`") from None
        except (OSError, UnicodeDecodeError) as error:
            raise SpecError(f"{path} cannot be read as text: {error}") from error
        return cls(text, str(path))

    def override(self, assignments: Sequence[str]) -> None:
        """Apply ``a.b=value`` assignments; values are read as YAML."""
        for assignment in assignments:
            dotted, equals, text = assignment.partition("=")
            if not equals or not dotted:
                raise SpecError(f"--set {assignment!r} is not KEY=VALUE", "for example --set data.path=gaps.csv")
            *parents, last = dotted.split(".")
            inner = self.content
            for key in parents:
                if inner.get(key) is None:
                    inner[key] = {}
                inner = inner[key]
                if not isinstance(inner, dict):
                    raise SpecError(f"--set {assignment!r}: {key!r} has no keys below it")
            loader = _Loader(text)
            try:
                inner[last] = loader.get_single_data()
            except yaml.YAMLError as error:
                raise SpecError(f"--set {assignment!r}: the value is not YAML: {error}") from error
            finally:
                loader.dispose()
            place = tuple(dotted.split("."))
            self._lines.update({place[: i + 1]: 0 for i in range(len(place)) if place[: i + 1] not in self._lines})
            self._lines[place] = 0

    def where(self, place: Place) -> str:
        """Return ``file:line`` of the deepest known part of `place`."""
        for depth in range(len(place), 0, -1):
            line = self._lines.get(place[:depth])
            if line is not None:
                return f"{self.name}:{line}" if line else "--set"
        return self.name

    def expand(self) -> None:
        """Replace ``${NAME}`` and ``${NAME:-default}`` in every text by the environment's value."""
        self.content = self._expanded(self.content, ())

    def _expanded(self, value: Any, place: Place) -> Any:
        if isinstance(value, dict):
            return {key: self._expanded(inner, (*place, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._expanded(inner, (*place, i)) for i, inner in enumerate(value)]
        if not isinstance(value, str):
            return value

        def replaced(match: re.Match[str]) -> str:
            found = os.environ.get(match[1]) or match[2]
            if found is None:
                raise SpecError(
                    f"{self.where(place)}: the environment variable {match[1]} is not set",
                    f"export {match[1]}=..., or give the value with --set {'.'.join(map(str, place))}=...",
                )
            return found

        return _VARIABLE.sub(replaced, value)

    def _walk(self, node: yaml.Node | None, place: Place) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*place, str(key.value))
                line = key.start_mark.line + 1
                if inner in self._lines:
                    raise SpecError(
                        f"{self.name}:{line}: {key.value!r} is given twice",
                        f"first on line {self._lines[inner]}",
                    )
                self._lines[inner] = line
                self._walk(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self._lines[(*place, index)] = value.start_mark.line + 1
                self._walk(value, (*place, index))
