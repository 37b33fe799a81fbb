"""The template library and the assignment of crystals to formulas."""

from __future__ import annotations

import gzip
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aldesign.chemistry.distance import emd, emd_matrix
from aldesign.chemistry.elements import ALPHABET
from aldesign.chemistry.formula import compositions
from aldesign.errors import FormulaError, InputError
from aldesign.records import Crystal
from aldesign.structures.assign import assign
from aldesign.structures.cif import formula_of, to_pymatgen
from aldesign.structures.templates import TemplateLibrary, amounts_of


@pytest.fixture(scope="module")
def aflow():
    return TemplateLibrary.from_aflow()


def cell(name, a, *sites):
    species, frac = zip(*sites, strict=True)
    return Crystal(name, (a,) * 3 + (90.0,) * 3, species, np.array(frac, dtype=float))


def caesium_chloride(name, a, first, second):
    return cell(name, a, (first, (0, 0, 0)), (second, (0.5, 0.5, 0.5)))


def test_aflow_entries_are_those_of_pymatgen(aflow):
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    whole = TemplateLibrary.from_aflow(max_sites=1000)
    assert len(whole) == len(AFLOW_PROTOTYPE_LIBRARY) == 288
    assert len({crystal.id for crystal in whole.crystals}) == 288
    assert len(aflow) + aflow.left_out == 288
    for ours, theirs in list(zip(whole.crystals, AFLOW_PROTOTYPE_LIBRARY, strict=True))[::7]:
        structure = theirs["snl"].structure
        assert ours.id.startswith("aflow/" + theirs["tags"]["aflow"])
        assert to_pymatgen(ours).composition == structure.composition
        assert to_pymatgen(ours).volume == pytest.approx(structure.volume, rel=1e-6)
    assert "aflow/AB_cF8_225_a_b" in {crystal.id for crystal in aflow.crystals}


def test_digest_depends_on_the_contents_alone(aflow):
    assert aflow.digest == TemplateLibrary.from_aflow().digest
    assert aflow.digest != TemplateLibrary(aflow.crystals[:-1]).digest
    assert len(aflow.digest) == 16


@pytest.mark.parametrize(
    ("formula", "amounts"),
    [
        ("SrYF5", (1, 1, 5)),
        ("Na2Cl2", (1, 1)),
        ("O2", (1,)),
        ("Al2O3", (2, 3)),
        ("Si0.5Ge0.5", ()),
        ("Fe0.95O", ()),
    ],
)
def test_amounts(formula, amounts):
    assert amounts_of(formula) == amounts


def test_nearest_is_exact_over_the_bucket(aflow):
    formula = "KMgF3"
    matches = aflow.nearest(formula, k=10**6, polymorphs=10**6)
    bucket = [c for c in aflow.crystals if amounts_of(formula_of(c)) == (1, 1, 3)]
    assert len(matches) == len(bucket)
    formulas = [match.template_formula for match in matches]
    expected = emd(compositions(formulas), compositions([formula] * len(formulas)))
    np.testing.assert_allclose([match.emd for match in matches], expected, atol=1e-8)
    assert np.all(np.diff([match.emd for match in matches]) >= 0)
    assert [match.template.id for match in aflow.nearest(formula, k=3, polymorphs=10**6)] == [
        match.template.id for match in matches[:3]
    ]
    assert aflow.nearest(formula, k=5, max_emd=matches[0].emd - 0.1) == []


def test_ties_go_to_the_stabler_then_the_smaller_then_the_first_id():
    doubled = cell("a-large", 6.0, ("Cs", (0, 0, 0)), ("Cs", (0.5,) * 3), ("Cl", (0.5, 0, 0)), ("Cl", (0, 0.5, 0.5)))
    small, twin = caesium_chloride("b-small", 4.1, "Cs", "Cl"), caesium_chloride("c-small", 4.1, "Cs", "Cl")
    crystals = [twin, small, doubled]
    order = [m.template.id for m in TemplateLibrary(crystals).nearest("CsCl", k=3, polymorphs=3)]
    assert order == ["b-small", "c-small", "a-large"]
    ranked = TemplateLibrary(crystals, stability={"a-large": 0.0, "c-small": 0.2})
    assert [m.template.id for m in ranked.nearest("RbCl", k=3, polymorphs=3)] == ["a-large", "c-small", "b-small"]
    assert [m.template.id for m in ranked.nearest("RbCl", k=3)] == ["a-large", "c-small"]


def atom_cells(texts):
    """Return a crystal for each composition; where its atoms are does not matter to a search."""
    crystals = []
    for number, text in enumerate(texts):
        parsed = to_counts(text)
        species = tuple(symbol for symbol, n in parsed.items() for _ in range(n))
        frac = np.linspace(0, 1, 3 * len(species), endpoint=False).reshape(-1, 3)
        crystals.append(Crystal(f"c{number:03d}", (9.0,) * 3 + (90.0,) * 3, species, frac))
    return crystals


def to_counts(text):
    from pymatgen.core import Composition

    return {element.symbol: int(n) for element, n in Composition(text).items()}


def by_hand(library, formula, k, max_emd, polymorphs, stability, any_amounts):
    """Return ids and distances as a plain loop over the crystals finds them."""
    rows = []
    for crystal in library.crystals:
        name = formula_of(crystal)
        if any_amounts or amounts_of(name) == amounts_of(formula) != ():
            distance = round(float(emd(compositions([name]), compositions([formula]))[0]), 9)
            rows.append((distance, (stability.get(crystal.id, np.inf), len(crystal), crystal.id), name))
    best = {}
    for distance, preference, name in sorted(rows):
        best.setdefault((distance, name), preference)
    rows.sort(key=lambda row: (row[0], best[row[0], row[2]], row[2], row[1]))
    found, seen = [], {}
    for distance, preference, name in rows:
        seen[name] = seen.get(name, 0) + 1
        if seen[name] <= polymorphs and distance <= max_emd:
            found.append((preference[2], distance))
    return found[:k]


TEXTS = st.lists(
    st.builds(
        lambda pairs: "".join(f"{symbol}{n}" for symbol, n in pairs),
        st.lists(
            st.tuples(st.sampled_from(["Na", "K", "Ca", "Fe", "O", "Cl"]), st.integers(1, 3)),
            min_size=1,
            max_size=3,
            unique_by=lambda pair: pair[0],
        ),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(
    TEXTS,
    TEXTS,
    st.integers(1, 6),
    st.sampled_from([2.0, np.inf]),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_many_at_once_are_what_a_plain_loop_finds(known, asked, k, max_emd, polymorphs, random, any_amounts):
    crystals = atom_cells(known)
    stability = {c.id: random.choice([0.0, 0.1]) for c in crystals if random.random() < 0.5}
    library = TemplateLibrary(crystals, stability=stability)
    asked = [*asked, "Fe0.95O"]
    together = library.nearest_many(asked, k, max_emd, polymorphs=polymorphs, any_amounts=any_amounts)
    for formula, matches in zip(asked, together, strict=True):
        found = [(match.template.id, match.emd) for match in matches]
        assert found == by_hand(library, formula, k, max_emd, polymorphs, stability, any_amounts)
        if not any_amounts:
            alone = library.nearest(formula, k, max_emd, polymorphs=polymorphs)
            assert [(m.template.id, m.template_formula, m.emd) for m in alone] == [
                (m.template.id, m.template_formula, m.emd) for m in matches
            ]


def test_the_nearest_of_all_are_those_of_the_whole_table(aflow):
    rng = np.random.default_rng(0)
    asked = [
        "".join(f"{s}{rng.integers(1, 8)}" for s in rng.choice(list(ALPHABET), rng.integers(1, 5), replace=False))
        for _ in range(60)
    ]
    known = sorted(set(aflow.formulas))
    table = emd_matrix(compositions(asked), compositions(known))
    for formula, row, matches in zip(asked, table, aflow.nearest_many(asked, k=1, any_amounts=True), strict=True):
        assert matches[0].emd == pytest.approx(row.min(), abs=1e-8)
        assert row[known.index(matches[0].template_formula)] == pytest.approx(row.min(), abs=1e-8), formula


def test_a_formula_without_a_place_on_the_scale_is_told(aflow):
    with pytest.raises(FormulaError, match="Og has no place"):
        aflow.nearest_many(["NaCl", "OgCl"])
    assert aflow.nearest_many(["Og7Cl19"]) == [[]]  # no template has such amounts, so nothing is measured
    assert aflow.nearest_many([]) == []


def test_single_elements_have_templates(aflow):
    assert assign("Si", aflow).crystal is not None
    assert assign("O2", aflow, max_emd=50).template_formula


def test_a_known_crystal_is_found_with_its_space_group(aflow):
    found = assign("KCl", aflow)
    assert (found.template_formula, found.space_group, found.space_group_number) == ("NaCl", "Fm-3m", 225)
    assert found.mapping == {"Na": "K", "Cl": "Cl"}
    assert found.volume_per_atom == pytest.approx(6.293**3 / 8, rel=0.12)
    assert found.reason == ""


@pytest.mark.parametrize(
    ("formula", "options", "reason"),
    [
        ("K2Ca7Br13", {}, "no template with amounts 2:7:13"),
        ("SrYF5", {}, "nearest template aflow/AB5C_tP7_123_b_ci_a (HoGa5Co) is EMD 24.6 > 10"),
        ("Fe0.95O", {}, "fractional amounts"),
        ("SrYF5", {"max_emd": 0.01}, "> 0.01"),
    ],
)
def test_a_formula_without_crystal_says_why(aflow, formula, options, reason):
    found = assign(formula, aflow, **options)
    assert found.crystal is None
    assert reason in found.reason


def test_overlapping_templates_are_passed_over_with_a_note():
    library = TemplateLibrary(
        [
            cell("molecule", 5.0, ("H", (0, 0, 0)), ("Cl", (0, 0, 0.25))),
            caesium_chloride("salt", 4.12, "Cs", "Cl"),
        ]
    )
    found = assign("KBr", library, max_emd=60)
    assert found.template_id == "salt"
    only = assign("KBr", TemplateLibrary(library.crystals[:1]), max_emd=200)
    assert only.crystal is None
    assert "the only near template was refused; KBr in molecule (HCl)" in only.reason


def test_a_broken_crystal_of_the_formula_itself_does_not_keep_a_good_one_out():
    broken = cell("broken", 4.12, ("Cs", (0, 0, 0)), ("Cl", (0, 0, 0)))
    good = caesium_chloride("good", 4.12, "Cs", "Cl")
    found = assign("CsCl", TemplateLibrary([broken, good]))
    assert found.template_id == "good"
    assert "CsCl in broken: Cs and Cl overlap: they are 0.00 Å apart" in found.warnings[0]
    alone = assign("CsCl", TemplateLibrary([broken]))
    assert alone.crystal is None
    assert "overlap" in alone.reason


def test_a_text_that_is_no_formula_is_the_callers_mistake(aflow):
    with pytest.raises(FormulaError):
        assign("Xx2O", aflow)


def test_a_folder_with_labels_prefers_the_stabler_polymorph(tmp_path):
    rows = [caesium_chloride("high", 4.12, "Cs", "Cl"), caesium_chloride("low", 4.13, "Cs", "Cl")]
    with gzip.open(tmp_path / "structures.jsonl.gz", "wt") as file:
        for crystal in rows:
            record = {"id": crystal.id, "lattice": crystal.lattice, "species": crystal.species}
            file.write(json.dumps({**record, "frac": crystal.frac.tolist()}) + "\n")
        file.write("{\n")
    (tmp_path / "labels.csv").write_text("id,e_above_hull\nhigh,0.1\nlow,0.0\n")
    library = TemplateLibrary.from_path(tmp_path)
    assert [bad.line for bad in library.bad] == [3]
    assert [m.template.id for m in library.nearest("RbCl")] == ["low", "high"]


def write_lines(path, crystals):
    path.write_text(
        "".join(
            json.dumps({"id": c.id, "lattice": c.lattice, "species": c.species, "frac": c.frac.tolist()}) + "\n"
            for c in crystals
        )
    )


def test_crystals_that_share_an_id_are_numbered_and_reported(tmp_path):
    shared = [caesium_chloride("x", 4.12, "Cs", "Cl"), caesium_chloride("x-2", 4.0, "K", "Cl")]
    shared += [caesium_chloride("x", 4.2, "Cs", "Br"), caesium_chloride("x", 4.3, "Cs", "I")]
    write_lines(tmp_path / "s.jsonl", shared)
    library = TemplateLibrary.from_path(tmp_path / "s.jsonl")
    assert [crystal.id for crystal in library.crystals] == ["x", "x-2", "x-3", "x-4"]
    assert [formula_of(crystal) for crystal in library.crystals] == ["CsCl", "KCl", "CsBr", "CsI"]
    assert library.notes == (
        "ids that name several crystals: 'x' (3 times); 2 crystals were given a number, as in id-2",
    )
    write_lines(tmp_path / "s.jsonl", shared[:2])
    assert TemplateLibrary.from_path(tmp_path / "s.jsonl").notes == ()


def test_labels_that_contradict_each_other_are_reported(tmp_path):
    write_lines(tmp_path / "structures.jsonl", [caesium_chloride(i, 4.12, "Cs", "Cl") for i in "ab"])
    (tmp_path / "labels.csv").write_text("id,e_above_hull\na,0.0\nb,0.1\nb,0.1\na,0.5\n")
    library = TemplateLibrary.from_path(tmp_path)
    assert library.notes == ("labels.csv: ids with different e_above_hull: 'a' (0, 0.5); the first counts",)
    assert [match.template.id for match in library.nearest("RbCl")] == ["a", "b"]


def test_a_template_without_a_place_on_the_scale_is_listed_as_bad(tmp_path):
    write_lines(tmp_path / "s.jsonl", [caesium_chloride("a", 4.1, "Cs", "Cl"), caesium_chloride("b", 4.1, "Og", "Cl")])
    library = TemplateLibrary.from_path(tmp_path / "s.jsonl")
    assert [crystal.id for crystal in library.crystals] == ["a"]
    assert [(bad.text, "Og has no place" in bad.reason) for bad in library.bad] == [("b", True)]
    assert library.notes[0].startswith("rows that hold no template: 1; the first, b: Og has no place")
    assert TemplateLibrary(library.crystals, max_sites=1).notes == ("left out for having more than 1 sites: 1",)


ROCK_SALT = {
    "id": "salt",
    "lattice": [5.64, 5.64, 5.64, 90, 90, 90],
    "species": ["Na"] * 4 + ["Cl"] * 4,
    "frac": [
        *([0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]),
        *([0.5, 0.5, 0.5], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]),
    ],
}


@pytest.mark.parametrize(
    ("lattice", "reason"),
    [
        ([0.564] * 3 + [90] * 3, "0.0224 Å³ per atom are no crystal"),  # nm
        ([564] * 3 + [90] * 3, "2.24e[+]07 Å³ per atom are no crystal"),  # pm
        ([5.64] * 3 + [1e-9, 90, 90], "close a cell without volume"),
        ([5.64] * 3 + [119.9999999, 120, 120], "close a cell without volume"),
        ([0.2, 40, 40] + [90] * 3, "faces of the cell are 0.2 Å apart"),
    ],
)
def test_a_cell_that_no_crystal_has_is_refused_and_sinks_no_other(tmp_path, lattice, reason):
    path = tmp_path / "templates.jsonl"
    other = {**ROCK_SALT, "id": "odd", "lattice": lattice}
    path.write_text(f"{json.dumps(ROCK_SALT)}\n{json.dumps(other)}\n")
    library = TemplateLibrary.from_path(path)
    assert [crystal.id for crystal in library.crystals] == ["salt"]
    assert re.search(reason, library.bad[0].reason)
    path.write_text(json.dumps(other))
    with pytest.raises(InputError, match=reason):
        TemplateLibrary.from_path(path)


def test_templates_whose_cells_are_in_bohr_are_noted(tmp_path):
    path = tmp_path / "templates.jsonl"
    path.write_text(json.dumps(ROCK_SALT))
    assert TemplateLibrary.from_path(path).notes == ()
    path.write_text(json.dumps({**ROCK_SALT, "lattice": [5.64 / 0.529177] * 3 + [90] * 3}))
    (note,) = TemplateLibrary.from_path(path).notes
    assert "are lengths in Å?" in note


def test_sources_without_crystals_are_refused(tmp_path):
    (tmp_path / "x.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="no crystal could be read"):
        TemplateLibrary.from_path(tmp_path / "x.jsonl")
    with pytest.raises(InputError, match="no file"):
        TemplateLibrary.from_path(tmp_path / "absent.jsonl")


@pytest.mark.data
def test_materials_project_templates(reference_data, tmp_path):
    part = tmp_path / "part.jsonl"
    with gzip.open(reference_data / "mp" / "structures.jsonl.gz", "rt") as file:
        part.write_text("".join(line for line, _ in zip(file, range(3000), strict=False)))
    library = TemplateLibrary.from_path(part, max_sites=20)
    assert len(library) + library.left_out == 3000
    found = assign("RbMgCl3", library, max_emd=20)
    assert found.crystal is not None
    assert formula_of(found.crystal) == "RbMgCl3"


def test_labels_that_are_no_numbers_are_named(tmp_path):
    crystal = caesium_chloride("a", 4.12, "Cs", "Cl")
    record = {"id": "a", "lattice": crystal.lattice, "species": crystal.species, "frac": crystal.frac.tolist()}
    (tmp_path / "structures.jsonl").write_text(json.dumps(record))
    labels = tmp_path / "labels.csv"
    labels.write_text("id,e_above_hull\nb,\na,nan\n")
    assert len(TemplateLibrary.from_path(tmp_path)) == 1
    labels.write_text("id,e_above_hull\nb,0.1\na,oops\n")
    with pytest.raises(InputError, match=r"labels\.csv, line 3: e_above_hull is 'oops'"):
        TemplateLibrary.from_path(tmp_path)
    labels.write_text('id,e_above_hull\nb,"0.1\na,0.2\n')
    with pytest.raises(InputError, match=r"labels\.csv cannot be read"):
        TemplateLibrary.from_path(tmp_path)
    (tmp_path / "labels.csv.gz").write_bytes(b"\x1f\x8b\x08" + b"\xff" * 200)
    with pytest.raises(InputError, match=r"labels\.csv\.gz cannot be read"):
        TemplateLibrary.from_path(tmp_path)
