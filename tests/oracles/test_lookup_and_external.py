import gzip

import pytest

from aldesign.datasets.table import read_table
from aldesign.errors import InputError
from aldesign.records import Candidate
from aldesign.testing import check_oracle
from oracles.external import ExternalOracle
from oracles.lookup import LookupOracle


def table(tmp_path, text, name="gaps.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def ask(oracle, *formulas):
    return oracle.predict([Candidate(f) for f in formulas])


def test_values_by_canonical_formula(tmp_path):
    path = table(tmp_path, "formula,band_gap,err\nO2Ti,1.8,0.1\nNaN,2.5,\nNa2Cl2,5.0,0.2\n")
    oracle = LookupOracle.load(path=str(path), std_column="err", level="HSE")
    rutile, nitride, salt, absent = ask(oracle, "TiO2", "NNa", "ClNa", "KCl")
    assert (rutile.value, rutile.std, rutile.in_domain, rutile.level) == (1.8, 0.1, True, "HSE")
    assert (nitride.value, nitride.std) == (2.5, None)
    assert salt.value == 5.0
    assert absent.error == "KCl is not in the table"


def test_bad_rows_sink_only_themselves(tmp_path):
    path = table(tmp_path, "formula,band_gap\nTiO2,1.8\nXx2,1\nZnO,about 3\nMgO,inf\n,2\nGaAs\n")
    oracle = LookupOracle(path)
    rutile, zincite, periclase, gaas = ask(oracle, "TiO2", "ZnO", "MgO", "GaAs")
    assert rutile.value == 1.8
    assert zincite.error == "ZnO: gaps.csv, line 4: 'about 3' is not a number"
    assert "line 5" in periclase.error
    assert "line 7" in gaas.error


@pytest.mark.parametrize(("rule", "value"), [("first", 2.0), ("mean", 1.5), ("lowest", 1.0), ("highest", 2.0)])
def test_duplicates(tmp_path, rule, value):
    path = table(tmp_path, "formula,gap\nTiO2,2.0\nO2Ti,1.0\nMgO,4\nMgO,4.0\n")
    with pytest.raises(InputError, match="several values for TiO2: 2 in line 2, 1 in line 3"):
        LookupOracle(path)
    answer = ask(LookupOracle(path, duplicates=rule), "TiO2", "MgO")
    assert [a.value for a in answer] == [value, 4.0]


def test_columns_and_files(tmp_path):
    path = table(tmp_path, "composition,E\nTiO2,1.8\n")
    with pytest.raises(InputError, match="it has: composition, E"):
        LookupOracle(path)
    with pytest.raises(InputError, match="did you mean 'composition'"):
        LookupOracle(path, formula_column="compositon", value_column="E")
    packed = tmp_path / "gaps.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert ask(LookupOracle.load(packed, value_column="E"), "TiO2")[0].value == 1.8
    with pytest.raises(InputError, match="cannot be read"):
        LookupOracle(tmp_path / "absent.csv")
    with pytest.raises(InputError, match="no table"):
        LookupOracle.load()
    with pytest.raises(InputError, match="no row with a formula and a number"):
        LookupOracle(table(tmp_path, "formula,gap\nTiO2,\n", "empty.csv"))
    with pytest.raises(InputError, match="duplicates='last'"):
        LookupOracle(path, duplicates="last")
    (tmp_path / "latin.csv").write_bytes(b"formula,gap\nTiO2,1\xe9\n")
    with pytest.raises(InputError, match="no row with a formula and a number; the first, line 2"):
        LookupOracle(tmp_path / "latin.csv")


@pytest.mark.parametrize(
    "content",
    [
        b"Formula,Band gap (eV),Std\nTiO2,1.8,0.1\n",
        b"\xef\xbb\xbfFormula;Band gap (eV);Sigma\r\nTiO2;1,8;0,1\r\n",
        "pretty_formula\tEg\tuncertainty\nTiO2\t1.8\t0.1\n".encode("utf-16"),
    ],
)
def test_a_table_is_read_as_everywhere(tmp_path, content):
    path = tmp_path / "gaps.csv"
    path.write_bytes(content)
    (row,) = read_table(path).rows
    (answer,) = ask(LookupOracle(path), "TiO2")
    assert (answer.value, answer.std) == (row.value, row.std) == (1.8, 0.1)


def test_json_lines_are_read(tmp_path):
    path = table(tmp_path, '{"formula": "TiO2", "band_gap": 1.8}\n{"formula": null, "band_gap": 1}\n', "gaps.jsonl")
    oracle = LookupOracle(path)
    assert ask(oracle, "TiO2")[0].value == 1.8
    assert oracle.card.training["data"]["refusals"] == ["line 2: no formula"]


def test_two_columns_that_may_be_the_gap_are_the_users_choice(tmp_path):
    path = table(tmp_path, "formula,gap,bandgap\nTiO2,1.8,3.0\n")
    with pytest.raises(InputError, match="choose with value_column"):
        LookupOracle(path)
    assert ask(LookupOracle(path, value_column="bandgap"), "TiO2")[0].value == 3.0


def test_a_negative_gap_is_refused_and_a_negative_energy_is_not(tmp_path):
    path = table(tmp_path, "formula,value\nTiO2,-4.0\nMgO,4.5\n")
    negative, positive = ask(LookupOracle(path), "TiO2", "MgO")
    assert (negative.value, positive.value) == (None, 4.5)
    assert negative.error == "TiO2: gaps.csv, line 2: negative band_gap -4 eV"
    assert ask(LookupOracle(path, property="formation_energy_per_atom"), "TiO2")[0].value == -4.0


def test_refused_rows_leave_a_trace(tmp_path):
    oracle = LookupOracle(table(tmp_path, "formula,gap,std\nXx2,1,\nTiO2,1.8,\nMgO,4,-1\n,3,\nZnS,2,0.1,9\n"))
    data = oracle.card.training["data"]
    assert (data["rows"], data["refused"]) == (1, 4)
    assert [line.split(":")[0] for line in data["refusals"]] == ["line 2", "line 4", "line 5", "line 6"]
    assert "4 rows refused, the first in line 2: " in oracle.card.description
    assert "'Xx'" in oracle.card.description or "Xx2" in oracle.card.description


def test_damaged_gzip_is_an_input_error(tmp_path):
    whole = gzip.compress(b"formula,gap\nTiO2,1.8\n" * 50)
    path = tmp_path / "gaps.csv.gz"
    broken = bytearray(whole)
    broken[12:30] = b"\xff" * 18
    for content in (whole[: len(whole) // 2], bytes(broken), whole[:-8] + b"\0" * 8):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"gaps\.csv\.gz"):
            LookupOracle(path)


def test_lookup_keeps_the_contract(tmp_path):
    path = table(tmp_path, "formula,band_gap\nTiO2,1.8\nMgO,4.5\nGaAs,0.2\n")
    options = {"path": str(path), "level": "PBE"}
    check_oracle(LookupOracle.load(**options), ["TiO2", "MgO", "GaAs", "KCl"], name="lookup", options=options)


def test_digest_names_the_content(tmp_path):
    one = LookupOracle(table(tmp_path, "formula,gap\nTiO2,1.8\n", "one.csv"))
    two = LookupOracle(table(tmp_path, "formula,gap\nTiO2,1.9\n", "two.csv"))
    assert one.card.identity.digest != two.card.identity.digest


def test_external_answers_by_tell():
    options = {"level": "experiment", "needs": "structure"}
    oracle = ExternalOracle.load(**options)
    check_oracle(oracle, name="external", options=options)
    assert (oracle.card.answers, oracle.card.level, oracle.card.needs) == ("tell", "experiment", "structure")
    assert "aldesign tell" in ask(oracle, "TiO2")[0].error


def test_external_refusals(tmp_path):
    with pytest.raises(InputError, match="no weights"):
        ExternalOracle.load(tmp_path)
    with pytest.raises(InputError, match="needs='crystal'"):
        ExternalOracle.load(needs="crystal")
    with pytest.raises(InputError, match="no property"):
        ExternalOracle.load(property="colour")
