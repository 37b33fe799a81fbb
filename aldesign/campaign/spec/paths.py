"""Where a campaign's definition names files and folders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_PATHS: tuple[tuple[str, ...], ...] = (
    ("data", "path"),
    ("space", "pool"),
    ("encoder", "path"),
    ("generator", "path"),
    ("oracle", "model"),
    ("oracle", "options", "path"),
    ("oracle", "options", "store"),
    ("oracle", "options", "templates"),
    ("structures", "templates"),
    ("structures", "hull"),
    ("target", "also", "model"),
)
_WORDS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("structures", "templates"): ("aflow", "builtin"),
    ("oracle", "options", "templates"): ("aflow", "builtin"),
    ("member", "model"): ("shipped",),
}  # stand for no path


def path_places(content: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], dict[str, Any], str]]:
    """Yield where a campaign's content holds paths: the place's name, the mapping that holds it, and its key there.

    The members of an ensemble, and of ensembles among them, are ``("oracle", "0")`` and so on.
    """
    for place in _PATHS:
        section = _inner(content, place[:-1])
        if _is_path(section.get(place[-1]), place):
            yield place[:1], section, place[-1]
    for section in (_inner(content, ("oracle",)), _inner(content, ("oracle", "options"))):
        yield from _member_places(section, ("oracle",))


def _member_places(
    section: dict[str, Any], place: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], dict[str, Any], str]]:
    members = section.get("members")
    for number, member in enumerate(members if isinstance(members, list | tuple) else ()):
        if isinstance(member, dict):
            here = (*place, str(number))
            for key in ("model", "path"):
                if _is_path(member.get(key), ("member", key)):
                    yield here, member, key
            yield from _member_places(member, here)


def _inner(content: dict[str, Any], place: tuple[str, ...]) -> dict[str, Any]:
    section: Any = content
    for key in place:
        section = section.get(key) if isinstance(section, dict) else None
    return section if isinstance(section, dict) else {}


def _is_path(value: object, place: tuple[str, ...]) -> bool:
    return isinstance(value, str) and value not in _WORDS.get(place, ())
