"""``aldesign list``: what is installed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from aldesign.cli.output import Json, print_records, print_rows

FIGURES = ("mae", "mae_nonmetals", "coverage_68", "coverage_95")


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(name="list", help="List oracles, campaigns, screens or descriptors.", no_args_is_help=True)
    group.command("oracles")(oracles)
    group.command("campaigns")(campaigns)
    group.command("screens")(screens)
    group.command("descriptors")(descriptors)
    app.add_typer(group)


def oracles(
    as_json: Json = False,
    brief: Annotated[bool, typer.Option("--brief", help="Names only; no card is read.")] = False,
) -> None:
    """List the installed oracles, also other packages': a row for each set of weights, with its error on unseen rows.

    Only cards are read, no weights: mae, mae_nonmetals and the coverages are those of formulas that the weights
    never saw (of the validation part, where a card has no test), in the unit of the property.
    """
    from aldesign.registry import oracle_entries

    found = []
    for name, entry in oracle_entries().items():
        record: dict[str, object] = {"name": name, "from": entry.value}
        found += [record] if brief else [record | facts for facts in _facts(name)]
    if as_json or brief or not sys.stdout.isatty():
        # a list is JSON's business, a cell holds a text
        flat = [{k: " ".join(map(str, v)) if isinstance(v, list) else v for k, v in row.items()} for row in found]
        print_records(found if as_json else flat, as_json, "oracles")
        return
    _show(found)


def _show(found: list[dict[str, object]]) -> None:
    """Print the table for people: the most telling columns, figures of kinds of rows in one."""
    rows = []
    for record in found:
        cells = {key: "" if value is None else str(value) for key, value in record.items()}
        levels = record["levels"]
        rows.append(
            [
                cells["name"],
                cells["property"],
                ", ".join(map(str, levels)) if isinstance(levels, list) else cells["level"],
                cells["needs"],
                " / ".join(filter(None, (cells["mae"], cells["mae_nonmetals"]))),
                cells["unit"],
                " / ".join(f"{100 * float(c):.0f}" for c in (cells["coverage_68"], cells["coverage_95"]) if c),
                cells["size_mb"],
                cells["state"] if cells["state"] != "ready" else cells["description"],
            ]
        )
    header = (
        "oracle",
        "property",
        "level",
        "needs",
        "MAE all / non-metals",
        "unit",
        "within 1 / 2 std, %",
        "MB",
        "about",
    )
    print_rows(header, rows, "oracles")


def _facts(name: str) -> list[dict[str, object]]:
    """Return what the cards of an oracle say, one for each set of weights."""
    from aldesign.cards import shipped_cards
    from aldesign.errors import AldesignError

    try:
        cards = shipped_cards(name)
    except AldesignError as error:
        return [_unknown(name, error.message)]
    return [_shipped(name, folder, card) for folder, card in cards] or [_loaded(name)]


def _shipped(name: str, folder: Path, card: Mapping[str, Any]) -> dict[str, object]:
    told: Mapping[str, str] = {} if {"needs", "description"} <= card.keys() else _class_facts(name)
    target = str(card.get("property", ""))
    metrics = card.get("metrics")
    part = _unseen(metrics if isinstance(metrics, dict) else {}, target)
    others = {path.parent for path in folder.glob("*/card.json")}  # weights of other levels have a row of their own
    files = [path for path in folder.rglob("*") if path.is_file() and not others & set(path.parents)]
    config = card.get("config")
    levels = config.get("levels") if isinstance(config, dict) else None  # of one network that knows several
    return {
        "property": card.get("property"),
        "unit": card.get("unit"),
        "level": card.get("level"),
        "levels": levels if isinstance(levels, list) and levels else [card.get("level")],
        "needs": card.get("needs", told.get("needs")),
        "answers": "predict",
        **{key: part.get(key) for key in FIGURES},
        "size_mb": round(sum(path.stat().st_size for path in files) / 1e6, 1),
        "description": card.get("description", told.get("description")),
        "state": told.get("state", "ready"),
        "card": str(folder / "card.json"),
    }


def _unseen(metrics: Mapping[str, Any], target: str) -> Mapping[str, Any]:
    """Return the figures of rows not learnt from, of the property itself where a card tells several apart."""
    part = metrics.get("test") or metrics.get("validation") or {}
    if isinstance(part, dict) and isinstance(part.get(target), dict):
        part = part[target]
    return part if isinstance(part, dict) else {}


def _loaded(name: str) -> dict[str, object]:
    """Return the facts of an oracle that comes without weights in the usual place."""
    from aldesign.errors import AldesignError
    from aldesign.registry import load_oracle

    try:
        card = load_oracle(name).card
    except AldesignError as error:
        return _unknown(name, error.message)
    part = _unseen(card.training.get("metrics", {}), card.property)
    return {
        "property": card.property,
        "unit": card.unit,
        "level": card.level,
        "levels": [card.level],
        "needs": card.needs,
        "answers": card.answers,
        **{key: part.get(key) for key in FIGURES},
        "size_mb": None,
        "description": card.description,
        "state": "ready",
        "card": None,
    }


def _unknown(name: str, state: str) -> dict[str, object]:
    """Return the facts of an oracle that cannot be loaded as it is: what its class says, and why."""
    told = _class_facts(name)
    nothing = dict.fromkeys(("property", "unit", "level", "levels", "needs", "answers", *FIGURES, "size_mb"))
    return {**nothing, "needs": told.get("needs"), "description": told.get("description"), "state": state, "card": None}


def _class_facts(name: str) -> dict[str, str]:
    from aldesign.errors import AldesignError
    from aldesign.registry import oracle_class

    try:
        kind: object = oracle_class(name)
    except AldesignError as error:
        return {"state": error.message}
    known = {key: getattr(kind, key, None) for key in ("needs", "description")}
    if not known["description"]:
        known["description"] = (getattr(kind, "__doc__", None) or "").strip().partition("\n")[0]
    return {key: value for key, value in known.items() if isinstance(value, str)}


def campaigns(as_json: Json = False) -> None:
    """List the campaigns that ship with the package; run one by its name."""
    from importlib.resources import files

    folder = Path(str(files("campaigns")))
    paths = {path.relative_to(folder).with_suffix("").as_posix(): path for path in folder.rglob("*.yaml")}
    found = [
        {"name": name, "about": _first_comment(paths[name]), "path": str(paths[name])}
        for name in sorted(paths, key=lambda name: (name.count("/"), name))
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


def descriptors(as_json: Json = False) -> None:
    """List the installed descriptors: what a surrogate may know a formula by, beside its latent point."""
    from aldesign.registry import descriptor_entries

    found = [{"name": "latent", "about": "The encoder's point for a formula.", "provided_by": "aldesign"}]
    for name, entry in descriptor_entries().items():
        try:
            about = (entry.load().__doc__ or "").strip().partition("\n")[0]
        except Exception as error:  # a broken plug-in must not hide the others
            about = f"cannot be imported: {error}"
        found.append({"name": name, "about": about, "provided_by": entry.value.partition(":")[0]})
    print_records(found, as_json, "descriptors")
