"""Tables of answers as laboratories, spreadsheets and job scripts write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy import constants

from aldesign.campaign.answers import Answer, Answers, read_answers
from aldesign.campaign.units import UNITS, parse, split_name, to_ev, unit_of
from aldesign.errors import InputError

# hc/e in eV nm, and 1 eV in each unit, from the CODATA tables of NIST
HC_EV_NM = 1239.8419843
PER_EV = {"eV": 1.0, "meV": 1e3, "cm-1": 8065.543937, "kJ/mol": 96.48533212, "Ha": 1 / 27.211386245981, "nm": None}


def read(path: Path, text: str, name: str = "results.csv") -> Answers:
    (path / name).write_bytes(text.encode("utf-8"))
    return read_answers(path / name)


def only(found: Answers) -> Answer:
    assert not found.refused
    (answer,) = found.answers
    return answer


@pytest.mark.parametrize(
    ("header", "cell", "gap_ev"),
    [
        ("value", "1.5", 1.5),
        ("gap", "1.5", 1.5),
        ("Band gap (eV)", "1.5", 1.5),
        ("gap_ev", "1.5", 1.5),
        ("gap_meV", "1500", 1.5),
        ("Gap [meV]", "1500", 1.5),
        ("gap / meV", "1500", 1.5),
        ("gap", "1500 meV", 1.5),
        ("gap_cm-1", "8065.543937", 1.0),
        ("wavelength_nm", "620", HC_EV_NM / 620),
        ("gap (nm)", "620", HC_EV_NM / 620),
        ("Eg", "1.5 eV", 1.5),
    ],
)
def test_a_unit_in_name_or_cell_is_understood(tmp_path: Path, header: str, cell: str, gap_ev: float) -> None:
    answer = only(read(tmp_path, f"formula,{header}\nGaAs,{cell}\n"))
    assert answer.value == pytest.approx(gap_ev, rel=1e-7)
    assert bool(answer.written) == (answer.value != pytest.approx(float(cell.split()[0])))


def test_a_column_of_units_rules_each_row(tmp_path: Path) -> None:
    found = read(tmp_path, "formula,value,unit\nGaAs,1.42,eV\nInP,1344,meV\nZnO,368,nm\nNaCl,5,furlong\nKCl,5,MeV\n")
    assert [a.value for a in found.answers] == pytest.approx([1.42, 1.344, HC_EV_NM / 368])
    assert [row.line for row in found.refused] == [5, 6]
    assert "allowed: eV, meV" in found.refused[0].reason
    assert "a million eV" in found.refused[1].reason


def test_name_and_row_may_not_name_two_units(tmp_path: Path) -> None:
    (bad,) = read(tmp_path, "formula,gap_ev,unit\nInP,1344,meV\n").refused
    assert "eV and in meV: which one?" in bad.reason


@pytest.mark.parametrize("unit", [u for u in UNITS if u != "nm"])
def test_units_agree_with_nist(unit: str) -> None:
    theirs = {"kcal/mol": 23.060547830619, "Ry": 1 / 13.605693122994, **PER_EV}[unit]
    assert to_ev(theirs, unit).value == pytest.approx(1.0, rel=1e-8)


def test_the_uncertainty_of_a_wavelength_follows_its_slope() -> None:
    energy = to_ev(500.0, "nm", 5.0)
    step = 1e-3
    slope = (to_ev(500 + step, "nm").value - to_ev(500 - step, "nm").value) / (2 * step)
    assert energy.std == pytest.approx(abs(slope) * 5.0, rel=1e-6)
    assert to_ev(500.0, "nm", 0.02, "eV").std == 0.02
    assert constants.h * constants.c / constants.e * 1e9 == pytest.approx(HC_EV_NM)


def test_an_uncertainty_without_a_unit_has_that_of_the_value(tmp_path: Path) -> None:
    assert only(read(tmp_path, "formula,gap_meV,std\nInP,1344,20\n")).std == pytest.approx(0.020)
    assert only(read(tmp_path, "formula,gap_meV,std_ev\nInP,1344,0.02\n")).std == pytest.approx(0.020)
    assert only(read(tmp_path, "formula,gap,uncertainty\nInP,1.344 ± 0.02,\n")).std == pytest.approx(0.020)


@pytest.mark.parametrize("cells", ["1100,1350,900,15", "1100,12", "620"])
def test_a_column_in_another_unit_is_refused_as_a_whole(tmp_path: Path, cells: str) -> None:
    rows = "".join(f"{f},{v}\n" for f, v in zip(["GaAs", "InP", "Si", "InSb"], cells.split(","), strict=False))
    found = read(tmp_path, f"formula,value\n{rows}")
    assert not found.answers
    assert all("state the unit" in row.reason for row in found.refused)


def test_one_slip_of_the_pen_sinks_no_other_row(tmp_path: Path) -> None:
    found = read(tmp_path, "formula,value\nGaAs,1.42\nInP,1344\nSi,1.12\nNaCl,8.5\n")
    assert [a.formula for a in found.answers] == ["GaAs", "Si", "NaCl"]
    assert found.refused[0].line == 3


def test_a_spreadsheet_with_semicolons_decimal_commas_and_a_mark_at_its_beginning(tmp_path: Path) -> None:
    text = "\ufeffFormula;Gap (eV);Unsicherheit;std\r\nGaAs;1,42;;0,02\r\n;;;\r\nInP;1,344;;\r\n"
    found = read(tmp_path, text)
    assert [(a.formula, a.value, a.std) for a in found.answers] == [("GaAs", 1.42, 0.02), ("InP", 1.344, None)]
    assert (found.unanswered, found.refused) == (1, ())


def test_a_decimal_comma_among_commas_is_read_where_it_can_be_nothing_else(tmp_path: Path) -> None:
    found = read(tmp_path, 'formula,value\nGaAs,"1,42"\nInP,"1,344"\n')
    assert [a.value for a in found.answers] == [1.42]
    assert "is the comma a decimal one?" in found.refused[0].reason


def test_rows_that_are_not_filled_in_yet_are_counted(tmp_path: Path) -> None:
    header = "trial,formula,cif,gap_ev,std_ev,level,error,comment,source\n"
    rows = "7,GaAs,00007_GaAs.cif,,,,,,\n8,InP,,NaN,,,,,\n9,ZnO,,3.3,0.1,,,film,J. Doe\n10,Si,,,,,no crystals grew,,\n"
    found = read(tmp_path, header + rows)
    assert found.unanswered == 2
    oxide, silicon = found.answers
    assert (oxide.trial, oxide.value, oxide.std) == (9, 3.3, 0.1)
    assert oxide.notes == {"comment": "film", "source": "J. Doe"}
    assert (silicon.error, silicon.value) == ("no crystals grew", None)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("NaCl,5.0,,0.1", "an uncertainty belongs into std"),
        ("NaCl,5.0,,slow", "a remark belongs into comment"),
        ("NaCl,about five,,", "not a number in eV"),
        ("NaCl,-1,,", "a gap and its uncertainty are 0 or more"),
        ("NaCl,1,-0.1,", "a gap and its uncertainty are 0 or more"),
        ("NaCl,1e999,,", "state the unit"),
        (",5.0,,", "neither formula nor trial nor cif"),
        ("NaCl,5.0,0.1,,,too,many", "7 cells where the header has 4"),
        ("NaCl,5.0,a bit,", "std is 'a bit'"),
        ("NaCl,5.0 ± 0.1,0.2,", "more than one uncertainty"),
        ('NaCl,"5.0', "a quote opens"),
    ],
)
def test_bad_rows_are_refused_and_good_ones_kept(tmp_path: Path, row: str, message: str) -> None:
    rows = "LiF,13\nKCl,8.7\nKBr,7.4\n"
    found = read(tmp_path, f"formula,value,std,error\n{rows}{row}\n")
    assert [a.formula for a in found.answers] == ["LiF", "KCl", "KBr"]
    (bad,) = found.refused
    assert bad.line == 5
    assert message in bad.reason


def test_json_lines_say_the_same_as_a_table(tmp_path: Path) -> None:
    rows = [{"formula": "ZnO", "gap_meV": 3300, "std": 100, "source": {"doi": "10.1/x"}}, {"trial": 4, "error": "lost"}]
    found = read(tmp_path, "\n".join(map(json.dumps, rows)) + '\n{"formula": "Si", "gap_meV": null}\n[1]\n', "r.jsonl")
    assert [(a.formula, a.trial, a.value, a.error) for a in found.answers] == [
        ("ZnO", None, 3.3, ""),
        ("", 4, None, "lost"),
    ]
    assert (found.unanswered, found.refused[0].line) == (1, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("formula,value\n", "holds no rows"),
        ("a,value\n1,2\n", "one formula, trial or cif is needed"),
        ("formula,a\nNaCl,2\n", "one value is needed"),
        ("formula,gap (parsec)\nNaCl,2\n", "the unit is 'parsec'"),
        ("formula,wavelength\nNaCl,2\n", "has no unit"),
        ("formula,value,value\nNaCl,2,2\n", "stands twice"),
    ],
)
def test_tables_that_cannot_be_answers_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match="(?s)" + message.replace("(", r"\(")):
        read(tmp_path, text)


def test_the_formula_has_its_own_column_beside_a_sample_s_name(tmp_path: Path) -> None:
    answer = only(read(tmp_path, "material,formula,band_gap\nS-12,GaAs,1.42\n"))
    assert (answer.formula, answer.notes) == ("GaAs", {"material": "S-12"})


def test_columns_of_the_question_are_no_part_of_the_answer(tmp_path: Path) -> None:
    answer = only(read(tmp_path, "trial,formula,expected_gap_ev,score,gap_ev\n3,GaAs,2.2,9,1.42\n"))
    assert (answer.value, answer.notes) == (1.42, {})


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("gap_eV", ("gap", "eV")),
        ("Gap (meV)", ("Gap", "meV")),
        ("gap, nm", ("gap", "nm")),
        ("band gap", ("band gap", "")),
        ("band_gap", ("band_gap", "")),
    ],
)
def test_names_fall_apart_into_quantity_and_unit(name: str, parts: tuple[str, str]) -> None:
    assert split_name(name) == parts


def test_cells_hold_number_uncertainty_and_unit() -> None:
    assert parse("1.5 ± 0.1 eV") == (1.5, 0.1, "eV")
    assert parse("1500+/-100 meV") == (1500.0, 100.0, "meV")
    assert parse("1,5", ";") == (1.5, None, "")
    assert unit_of("cm⁻¹") == "cm-1"
