"""The Materials Project's client, real down to the HTTP adapter, which answers from recorded shapes."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
import requests

from aldesign.datasets.mp import Query, fetch_materials_project
from aldesign.datasets.mp_energies import chosen_elements, fetch_formation_energies
from aldesign.errors import AldesignError, InputError, InterruptedRunError

SECRET = "k" * 32
pytestmark = pytest.mark.filterwarnings("ignore")


def structure(a: float, sites: list[tuple[str, list[float]]]) -> dict[str, Any]:
    """Return a cubic structure in the JSON that the API sends."""
    matrix = [[a, 0.0, 0.0], [0.0, a, 0.0], [0.0, 0.0, a]]
    lattice = {"matrix": matrix, "pbc": [True] * 3, "a": a, "b": a, "c": a, "alpha": 90.0, "beta": 90.0, "gamma": 90.0}
    listed = [
        {
            "species": [{"element": symbol, "occu": 1}],
            "abc": abc,
            "xyz": [a * x for x in abc],
            "properties": {"magmom": 0.0},
            "label": symbol,
        }
        for symbol, abc in sites
    ]
    lattice["volume"] = a**3
    return {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "charge": 0,
        "lattice": lattice,
        "properties": {},
        "sites": listed,
    }


def entry(number: int, formula: str, gap: float, hull: float, crystal: dict[str, Any]) -> dict[str, Any]:
    return {
        "nsites": len(crystal["sites"]),
        "formula_pretty": formula,
        "symmetry": {"crystal_system": "Cubic", "symbol": "Pm-3m", "number": 221, "symprec": 0.1, "version": "2.5"},
        "material_id": f"mp-{number}",
        "structure": crystal,
        "formation_energy_per_atom": -1.0,
        "energy_above_hull": hull,
        "band_gap": gap,
        "fields_not_requested": ["volume"],
    }


CSCL = [("Cs", [0.0, 0.0, 0.0]), ("Cl", [0.5, 0.5, 0.5])]
NACL = [("Na", [0.0, 0.0, 0.0]), ("Cl", [0.5, 0.5, 0.5])]
DOCUMENTS = [
    entry(1, "CsCl", 5.1, 0.02, structure(4.1, CSCL)),
    entry(2, "NaCl", 5.0, 0.1, structure(3.4, NACL)),
    entry(3, "NaCl", 4.9, 0.0, structure(3.5, NACL)),
    entry(4, "Xe", 6.0, 0.0, structure(6.2, [("Xe", [0.0, 0.0, 0.0])])),
    entry(5, "Na", 0.0, 0.0, structure(3.3, [("Na", [0.0, 0.0, 0.0])])),
]


class Server:
    """Stands in for the adapter below `requests`."""

    def __init__(self, documents: list[dict[str, Any]]) -> None:
        self.documents = documents
        self.queries: list[dict[str, str]] = []
        self.version = "2025.09.25"
        self.status = 200
        self.fail_at: Exception | KeyboardInterrupt | None = None

    def send(self, _adapter: object, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        url = urlparse(str(request.url))
        if url.path.endswith("/heartbeat"):
            return self.answer(
                {
                    "status": "OK",
                    "version": "0.87.3",
                    "db_version": self.version,
                    "access_controlled_batch_ids": ["gnome_r2scan_statics"],
                }
            )
        assert url.path == "/materials/summary/"
        assert request.headers["x-api-key"] == SECRET
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        self.queries.append(query)
        if self.fail_at is not None and query["_page"] == "2":
            raise self.fail_at
        page, size = int(query["_page"]), int(query["_per_page"])
        if self.status != 200:
            return self.answer({"detail": "No API key found in request"}, self.status)
        part = self.documents[(page - 1) * size : page * size]
        return self.answer({"data": part, "meta": {"total_doc": len(self.documents), "max_limit": 1000}})

    @staticmethod
    def answer(content: dict[str, Any], status: int = 200) -> requests.Response:
        response = requests.Response()
        response.status_code = status
        response._content = json.dumps(content).encode()
        response.url = "https://api.materialsproject.org/materials/summary/"
        return response


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    from mp_api.client import MPRester
    from requests.adapters import HTTPAdapter

    made = Server(DOCUMENTS)
    monkeypatch.setattr(HTTPAdapter, "send", lambda adapter, request, **rest: made.send(adapter, request, **rest))
    monkeypatch.setattr("aldesign.datasets.mp.time.sleep", lambda _: None)
    monkeypatch.setenv("MP_API_KEY", SECRET)
    # The client remembers the heartbeat for the whole process.
    MPRester._get_heartbeat_info.cache_clear()
    MPRester.get_emmet_version.cache_clear()
    return made


def test_a_download_is_cleaned_split_and_recorded(server: Server, tmp_path: Path) -> None:
    card = fetch_materials_project(tmp_path / "mp", page_size=2)
    with (tmp_path / "mp" / "labels.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    # NaCl's lower polymorph stays; xenon, 6.2 Å from its image, is isolated.
    assert [row["id"] for row in rows] == ["mp-1", "mp-3", "mp-5"]
    assert rows[1]["formula"] == "NaCl"
    assert float(rows[1]["band_gap"]) == 4.9
    assert {row["split"] for row in rows} <= {"train", "test"}
    lines = gzip.decompress((tmp_path / "mp" / "structures.jsonl.gz").read_bytes()).decode().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["mp-1", "mp-3", "mp-5"]
    assert json.loads(lines[0])["species"] == ["Cs", "Cl"]
    assert card == json.loads((tmp_path / "mp" / "card.json").read_text())
    assert (card["database_version"], card["licence"], card["rows"]) == ("2025.09.25", "CC BY 4.0", 3)
    assert card["counts"] == {
        "entries": 5,
        "unusable": 0,
        "other_polymorphs": 1,
        "isolated_atoms": 1,
        "metals": 1,
        "test": 2,
    }
    assert not (tmp_path / "mp" / "pages").exists()


def test_only_entries_with_a_band_structure_are_asked_for(server: Server, tmp_path: Path) -> None:
    query = Query(elements=("Na",), max_elements=2, max_e_above_hull=0.05, limit=1)
    fetch_materials_project(tmp_path, query, page_size=2)
    assert len(server.queries) == 1
    sent = server.queries[0]
    assert sent["has_props"] == "bandstructure"
    assert sent["deprecated"] == "False"
    assert sent["elements"] == "Na"
    assert (sent["nelements_min"], sent["nelements_max"]) == ("1", "2")
    assert float(sent["energy_above_hull_max"]) == 0.05
    assert {"band_gap", "structure", "energy_above_hull"} <= set(sent["_fields"].split(","))


def test_the_table_and_the_crystals_are_read_back(server: Server, tmp_path: Path) -> None:
    from aldesign.datasets.table import read_table
    from aldesign.structures.templates import TemplateLibrary

    fetch_materials_project(tmp_path)
    table = read_table(tmp_path / "labels.csv", structures=tmp_path / "structures.jsonl.gz")
    assert {row.formula: row.crystal is not None for row in table.rows} == {"CsCl": True, "NaCl": True, "Na": True}
    assert len(TemplateLibrary.from_path(tmp_path)) == 3


def test_an_interrupted_download_goes_on(server: Server, tmp_path: Path) -> None:
    server.fail_at = KeyboardInterrupt()
    with pytest.raises(InterruptedRunError):
        fetch_materials_project(tmp_path, page_size=2)
    server.fail_at = None
    before = len(server.queries)
    assert fetch_materials_project(tmp_path, page_size=2)["rows"] == 3
    assert [query["_page"] for query in server.queries[before:]] == ["2", "3"]


def test_a_new_database_version_starts_anew(server: Server, tmp_path: Path) -> None:
    from mp_api.client import MPRester

    server.fail_at = KeyboardInterrupt()
    with pytest.raises(InterruptedRunError):
        fetch_materials_project(tmp_path, page_size=2)
    server.fail_at, server.version = None, "2026.01.01"
    MPRester._get_heartbeat_info.cache_clear()
    before = len(server.queries)
    assert fetch_materials_project(tmp_path, page_size=2)["database_version"] == "2026.01.01"
    assert [query["_page"] for query in server.queries[before:]] == ["1", "2", "3"]


def test_a_broken_connection_is_tried_again_then_told(server: Server, tmp_path: Path) -> None:
    server.fail_at = requests.ConnectionError(f"connection refused {SECRET}")
    with pytest.raises(AldesignError, match="could not be reached") as caught:
        fetch_materials_project(tmp_path, page_size=2)
    assert caught.value.exit_code == 1
    assert SECRET not in str(caught.value)
    assert [query["_page"] for query in server.queries] == ["1", "2", "2", "2"]


def test_a_refused_key_is_the_users_to_mend(server: Server, tmp_path: Path) -> None:
    server.status = 401
    with pytest.raises(InputError, match="refused the key in MP_API_KEY") as caught:
        fetch_materials_project(tmp_path)
    assert SECRET not in str(caught.value)


def test_without_a_key_nothing_is_asked(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MP_API_KEY")
    with pytest.raises(InputError, match="MP_API_KEY is not set"):
        fetch_materials_project(tmp_path)
    assert not server.queries


def test_the_key_is_written_nowhere(server: Server, tmp_path: Path) -> None:
    fetch_materials_project(tmp_path)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            assert SECRET.encode() not in content


def test_energies_of_all_entries_make_a_hull(server: Server, tmp_path: Path) -> None:
    from aldesign.structures.hull import Hull

    server.documents = [dict(document) for document in DOCUMENTS]
    for document, energy in zip(server.documents, (-2.2, -1.8, -2.1, 0.0, 0.0), strict=True):
        document["formation_energy_per_atom"] = energy
        del document["structure"], document["band_gap"]
    server.documents.append({**server.documents[0], "material_id": "mp-6", "formation_energy_per_atom": None})
    server.documents.append({**server.documents[0], "material_id": "mp-7", "formation_energy_per_atom": -2200.0})
    card = fetch_formation_energies(tmp_path, page_size=4)
    sent = server.queries[0]
    assert "has_props" not in sent
    assert "chemsys" not in sent
    assert set(sent["_fields"].split(",")) == {
        "material_id",
        "formula_pretty",
        "formation_energy_per_atom",
        "energy_above_hull",
    }
    assert [query["_page"] for query in server.queries] == ["1", "2"]
    assert (card["rows"], card["formulas"], card["unusable"]) == (5, 4, 2)
    assert card["database_version"] == "2025.09.25"
    assert not (tmp_path / "energy_pages").exists()
    hull = Hull.from_path(tmp_path)
    assert hull.distance("NaCl", -2.0).e_above_hull_ev_per_atom == pytest.approx(0.1)


def test_energies_of_some_elements_ask_for_all_their_systems(server: Server, tmp_path: Path) -> None:
    fetch_formation_energies(tmp_path, ("Na", "Cl", "Cs"))
    assert server.queries[0]["chemsys"] == "Cl,Cs,Na,Cl-Cs,Cl-Na,Cs-Na,Cl-Cs-Na"


def test_an_interrupted_download_of_energies_goes_on(server: Server, tmp_path: Path) -> None:
    server.fail_at = KeyboardInterrupt()
    with pytest.raises(InterruptedRunError):
        fetch_formation_energies(tmp_path, page_size=2)
    server.fail_at = None
    before = len(server.queries)
    assert fetch_formation_energies(tmp_path, page_size=2)["rows"] == 5
    assert [query["_page"] for query in server.queries[before:]] == ["2", "3"]


@pytest.mark.parametrize("text", ["", "Qq", "H,Li,Be,B,C,N,O,F,Na"])
def test_elements_that_cannot_be_asked_for_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        chosen_elements(text)


def test_elements_are_read_as_they_are_listed() -> None:
    assert chosen_elements("all") == ()
    assert chosen_elements("Li, Fe,O") == ("Li", "Fe", "O")


def test_energies_without_any_are_told(server: Server, tmp_path: Path) -> None:
    server.documents = [{**DOCUMENTS[0], "formation_energy_per_atom": None}]
    with pytest.raises(AldesignError, match="no usable formation energy"):
        fetch_formation_energies(tmp_path)


def test_the_command_fetches_both_tables(server: Server, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from aldesign.cli.app import app

    result = CliRunner().invoke(app, ["data", "mp", "--out", str(tmp_path), "--energies", "Na,Cl", "--quiet"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "labels.csv").is_file()
    assert (tmp_path / "energies.csv").is_file()
    assert json.loads((tmp_path / "energies.json").read_text())["elements"] == ["Cl", "Na"]
