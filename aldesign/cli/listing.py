"""``aldesign list``: what is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aldesign.cli.output import Json, print_records


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(name="list", help="List oracles, campaigns or screens.", no_args_is_help=True)
    group.command("oracles")(oracles)
    group.command("campaigns")(campaigns)
    group.command("screens")(screens)
    app.add_typer(group)


def oracles(
    as_json: Json = False,
    brief: Annotated[bool, typer.Option("--brief", help="Names only; nothing is loaded.")] = False,
) -> None:
    """List the installed oracles, also other packages', with their shipped weights' error."""
    from aldesign.registry import oracle_entries

    found = []
    for name, entry in oracle_entries().items():
        record: dict[str, object] = {"name": name, "from": entry.value}
        if not brief:
            record |= _card(name)
        found.append(record)
    print_records(found, as_json, "oracles")


def _card(name: str) -> dict[str, object]:
    """Return what an oracle's card says; of one that cannot be loaded as it is, what its class says, and why."""
    from aldesign.errors import AldesignError
    from aldesign.registry import load_oracle, oracle_class

    try:
        card = load_oracle(name).card
    except AldesignError as error:
        try:
            kind: object = oracle_class(name)
        except AldesignError:
            kind = None
        known = {key: getattr(kind, key, None) for key in ("needs", "description")}
        described = {key: value if isinstance(value, str) else "" for key, value in known.items()}
        empty = dict.fromkeys(("property", "unit", "level"))
        return {**empty, "needs": described["needs"], "answers": None, "mae": None} | {
            "description": described["description"],
            "state": error.message,
        }
    return {
        "property": card.property,
        "unit": card.unit,
        "level": card.level,
        "needs": card.needs,
        "answers": card.answers,
        "mae": _mae(card.training.get("metrics", {}), card.property),
        "description": card.description,
        "state": "ready",
    }


def _mae(metrics: object, target: str) -> object:
    """Return the error on rows not learnt from, of the property itself where a card tells several apart."""
    if not isinstance(metrics, dict):
        return None
    part = metrics.get("test") or metrics.get("validation") or {}
    if isinstance(part, dict) and isinstance(part.get(target), dict):
        part = part[target]
    return part.get("mae") if isinstance(part, dict) else None


def campaigns(as_json: Json = False) -> None:
    """List the campaigns that ship with the package; run one by its name."""
    from importlib.resources import files

    folder = Path(str(files("campaigns")))
    found = [
        {"name": path.stem, "about": _first_comment(path), "path": str(path)} for path in sorted(folder.glob("*.yaml"))
    ]
    print_records(found, as_json, "campaigns")


def _first_comment(path: Path) -> str:
    first = path.read_text(encoding="utf-8").lstrip().partition("\n")[0]
    return first.lstrip("# ").strip() if first.startswith("#") else ""


def screens(as_json: Json = False) -> None:
    """List the screens that a campaign may name."""
    from aldesign.screens import SCREENS

    found = [{"name": name, "about": (kind.__doc__ or "").strip().partition("\n")[0]} for name, kind in SCREENS.items()]
    print_records(found, as_json, "screens")
