"""Gaps and crystals of the Materials Project through its client: fetched by pages, cleaned, recorded.

Jain et al., APL Materials 1, 011002 (2013); the data are CC BY 4.0. This module, `mp_energies` and `matbench` are the
only ones that use the network, and only when called.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.datasets.cleaning import isolated_atoms, lowest_polymorph, stratified_split
from aldesign.errors import AldesignError, InputError, InterruptedRunError
from aldesign.files import open_atomic, write_csv, write_json
from aldesign.records import Crystal

KEY = "MP_API_KEY"
LICENCE = "CC BY 4.0"
COLUMNS = (
    "id",
    "formula",
    "nsites",
    "spacegroup",
    "band_gap",
    "formation_energy_per_atom",
    "e_above_hull",
    "split",
)
_FIELDS = (
    "material_id",
    "formula_pretty",
    "nsites",
    "symmetry",
    "band_gap",
    "formation_energy_per_atom",
    "energy_above_hull",
    "structure",
)
_PAGE_SIZE = 500
_ATTEMPTS = 3
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Query:
    """Which entries are wanted, of those with a band-structure calculation.

    Attributes:
        elements: Only entries that hold all of these.
        max_elements: At most so many elements.
        max_e_above_hull: At most so far above the hull, eV/atom.
        limit: At most so many entries.

    """

    elements: tuple[str, ...] = ()
    max_elements: int | None = None
    max_e_above_hull: float | None = None
    limit: int | None = None


def fetch_materials_project(
    out: Path, query: Query | None = None, *, page_size: int = _PAGE_SIZE, progress: Progress | None = None
) -> dict[str, Any]:
    """Download, clean and write ``labels.csv``, ``structures.jsonl.gz`` and ``card.json``; return the card.

    Only entries with a band-structure calculation are asked for. Of each formula the polymorph lowest above the
    hull is kept; structures with an atom that has no neighbour within 4 Å are dropped; the column ``split``
    divides metals and non-metals 80:20 each (seed 42). Pages are kept in ``out/pages`` until all is there, so
    that an interrupted download goes on where it stopped, as long as the database is the same.

    Raises:
        InputError: ``MP_API_KEY`` is not set, or the key was refused.
        AldesignError: The network or the server failed.
        InterruptedRunError: Ctrl-C; pages so far are kept.

    """
    query = query or Query()
    say = progress or (lambda _: None)
    pages = out / "pages"
    with opened(pages) as client:
        version = str(client.db_version)
        _fetch_pages(client, query, version, pages, page_size, say)
    card = _clean(pages, out, say)
    card = {
        **origin(version),
        "query": {
            "has_props": ["bandstructure"],
            "deprecated": False,
            **asdict(query),
            "elements": list(query.elements),
        },
        **card,
    }
    write_json(out / "card.json", card)
    shutil.rmtree(pages)
    return card


def origin(version: str) -> dict[str, str]:
    """Return what a card says of where its data came from."""
    return {
        "source": "Materials Project, https://materialsproject.org",
        "licence": LICENCE,
        "citation": "A. Jain et al., APL Materials 1, 011002 (2013)",
        "database_version": version,
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@contextmanager
def opened(pages: Path) -> Iterator[Any]:
    """Open the client with the user's key, and turn what goes wrong inside into words.

    Args:
        pages: Where the pages of the download are kept, to be named.

    Raises:
        InputError: ``MP_API_KEY`` is not set, or the key was refused.
        AldesignError: The network or the server failed.
        InterruptedRunError: Ctrl-C; pages so far are kept.

    """
    key = os.environ.get(KEY, "").strip()
    if not key:
        raise InputError(
            f"the environment variable {KEY} is not set",
            "get a key at https://next-gen.materialsproject.org/api and set it for this command; it is stored nowhere",
        )
    with _told(key, pages):
        from mp_api.client import MPRester

        with MPRester(key, mute_progress_bars=True, use_document_model=False) as client:
            yield client


@contextmanager
def _told(key: str, pages: Path) -> Iterator[None]:
    """Turn what goes wrong on the network into words, never with the key among them."""
    import requests
    from mp_api.client.core import MPRestError

    again = "give the same command again: pages that came are kept" if pages.is_dir() else "try again later"
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptedRunError(f"the download was interrupted; pages so far are in {pages}", again) from error
    except AldesignError:
        raise
    except (MPRestError, requests.RequestException, OSError, ValueError, KeyError) as error:
        text = " ".join(str(error).replace(key, "***").split())[:300]
        if any(code in text for code in ("status code 401", "status code 403")) or "API key" in text:
            raise InputError(
                f"the Materials Project refused the key in {KEY}: {text}", "check it at the project's page"
            ) from None
        raise AldesignError(f"the Materials Project could not be reached or understood: {text}", again) from None


def _fetch_pages(client: Any, query: Query, version: str, pages: Path, page_size: int, say: Progress) -> None:
    from emmet.core.summary import HasProps

    filters: dict[str, Any] = {"has_props": [HasProps.bandstructure], "fields": list(_FIELDS)}
    if query.elements:
        filters["elements"] = list(query.elements)
    if query.max_elements is not None:
        filters["num_elements"] = (1, query.max_elements)
    if query.max_e_above_hull is not None:
        filters["energy_above_hull"] = (0.0, query.max_e_above_hull)
    wanted = {"query": _plain(query), "database_version": version, "page_size": page_size}
    limit = inf if query.limit is None else query.limit
    fetch_pages(client, filters, wanted, _record, pages, limit, say)


def fetch_pages(
    client: Any,
    filters: Mapping[str, Any],
    wanted: Mapping[str, Any],
    record: Callable[[dict[str, Any]], dict[str, Any]],
    pages: Path,
    limit: float,
    say: Progress,
) -> None:
    """Write ``00001.json.gz`` and so on with the records of all entries; pages that are there stay.

    Args:
        client: An open ``MPRester``.
        filters: Of the search, its fields included.
        wanted: What was asked, ``page_size`` included; pages of another question are thrown away.
        record: What to keep of an entry.
        pages: The folder.
        limit: Stop after so many entries.
        say: Takes lines of text.

    """
    note = pages / "query.json"
    if note.is_file() and json.loads(note.read_text(encoding="utf-8")) != wanted:
        say("the query or the database has changed since the last download: starting anew")
        shutil.rmtree(pages)
    write_json(note, wanted)
    page_size = wanted["page_size"]
    number = got = 0
    while True:
        number += 1
        path = pages / f"{number:05d}.json.gz"
        if path.is_file():
            records = read_page(path)
        else:
            documents = _patiently(
                lambda page: client.materials.summary.search(
                    deprecated=False,
                    chunk_size=page_size,
                    num_chunks=1,
                    _page=page,
                    _sort_fields="material_id",
                    **filters,
                ),
                number,
                say,
            )
            records = [record(document) for document in documents]
            with open_atomic(path) as stream:
                json.dump(records, stream)
        got += len(records)
        say(f"page {number}: {got} entries")
        if len(records) < page_size or got >= limit:
            return


def _patiently(search: Callable[[int], list[dict[str, Any]]], page: int, say: Progress) -> list[dict[str, Any]]:
    """Return a page; a broken connection is tried again, twice."""
    import requests
    from mp_api.client.core import MPRestError

    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return search(page)
        except (MPRestError, requests.RequestException) as error:
            if attempt == _ATTEMPTS or "status code 4" in str(error):
                raise
            say(f"page {page} failed ({type(error).__name__}), trying again")
            time.sleep(2.0**attempt)
    raise AssertionError("unreachable")


def read_page(path: Path) -> list[dict[str, Any]]:
    """Return the records of a page."""
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        records: list[dict[str, Any]] = json.load(stream)
    return records


def _record(document: dict[str, Any]) -> dict[str, Any]:
    """Return an entry as we keep it; ``problem`` says why it is of no use."""
    from pymatgen.core import Structure

    from aldesign.chemistry.formula import canonical
    from aldesign.structures.cif import from_pymatgen

    name = str(document["material_id"])
    if document.get("band_gap") is None:
        return {"id": name, "problem": "no band gap"}
    try:
        structure = document["structure"]
        if isinstance(structure, dict):
            structure = Structure.from_dict(structure)
        crystal = from_pymatgen(structure, name)
        formula = canonical(str(document["formula_pretty"]))
    except (InputError, KeyError, ValueError) as error:
        return {"id": name, "problem": str(error)}
    symmetry = document.get("symmetry") or {}
    return {
        "id": name,
        "formula": formula,
        "nsites": len(crystal),
        "spacegroup": symmetry.get("number"),
        "band_gap": float(document["band_gap"]),
        "formation_energy_per_atom": document.get("formation_energy_per_atom"),
        "e_above_hull": document.get("energy_above_hull"),
        "crystal": {
            "id": name,
            "lattice": [round(x, 8) for x in crystal.lattice],
            "species": list(crystal.species),
            "frac": np.round(crystal.frac, 8).tolist(),
        },
    }


def _records(pages: Path) -> Iterator[dict[str, Any]]:
    limit = json.loads((pages / "query.json").read_text(encoding="utf-8"))["query"]["limit"]
    count = 0
    for path in sorted(pages.glob("*.json.gz")):
        for record in read_page(path):
            if limit is not None and count >= limit:
                return
            count += 1
            yield record


def _clean(pages: Path, out: Path, say: Progress) -> dict[str, Any]:
    """Write labels and structures from the pages; return counts. Crystals stay on disk until they are chosen."""
    labels = [{k: v for k, v in record.items() if k != "crystal"} for record in _records(pages)]
    usable = [record for record in labels if "problem" not in record]
    if not usable:
        raise AldesignError(f"the query gave no usable entry ({len(labels)} came)", "ask for more")
    hulls = [nan if record["e_above_hull"] is None else record["e_above_hull"] for record in usable]
    kept = {usable[i]["id"] for i in lowest_polymorph([record["formula"] for record in usable], hulls)}
    say(f"{len(kept)} formulas: writing the crystals of their lowest polymorphs")
    rows: list[dict[str, Any]] = []
    isolated = 0
    with open_atomic(out / "structures.jsonl.gz") as stream:
        for record in _records(pages):
            if record["id"] not in kept:
                continue
            kept.discard(record["id"])  # an entry that stands on two pages counts once
            if isolated_atoms(_crystal(record["crystal"])).any():
                isolated += 1
                continue
            json.dump(record["crystal"], stream, separators=(",", ":"))
            stream.write("\n")
            rows.append(record)
    if not rows:
        raise AldesignError("every structure has an isolated atom", "ask for more entries")
    _, test = stratified_split([record["band_gap"] for record in rows])
    in_test = set(test.tolist())
    write_csv(
        out / "labels.csv",
        COLUMNS,
        (
            [*(record[column] for column in COLUMNS[:-1]), "test" if i in in_test else "train"]
            for i, record in enumerate(rows)
        ),
    )
    return {
        "rows": len(rows),
        "counts": {
            "entries": len(labels),
            "unusable": len(labels) - len(usable),
            "other_polymorphs": len(usable) - len(rows) - isolated,
            "isolated_atoms": isolated,
            "metals": sum(record["band_gap"] <= 0 for record in rows),
            "test": len(in_test),
        },
        "cleaning": "lowest polymorph per formula; no atom without a neighbour within 4 Å; split 80:20 by metal or not",
        "sha256": {
            name: hashlib.sha256((out / name).read_bytes()).hexdigest()
            for name in ("labels.csv", "structures.jsonl.gz")
        },
    }


def _plain(query: Query) -> dict[str, Any]:
    return {**asdict(query), "elements": list(query.elements)}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _crystal(record: dict[str, Any]) -> Crystal:
    a, b, c, alpha, beta, gamma = record["lattice"]
    return Crystal(record["id"], (a, b, c, alpha, beta, gamma), tuple(record["species"]), np.array(record["frac"]))
