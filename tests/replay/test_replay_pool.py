"""The table that a replay buys from, its start rows and its hits; and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aldesign.campaign.spec import CampaignSpec
from aldesign.errors import InputError
from aldesign.replay.pool import Pool, find_hits, make_pool, read_pool_table
from aldesign.replay.start import Start, own_data, start_rows

Write = Callable[..., Path]
TABLE = (
    "formula,band_gap\nNaCl,5.0\nClNa,5.4\nMgO,4.4\nLiF,8.7\nKCl,5.1\nXx2,1\nTcO2,0.5\nGaAs,0.3\nSi,0.6\nCa41O,1.0\n"
)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str, name: str = "table.csv") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return written


def pool_of(spec: CampaignSpec, path: Path) -> Pool:
    return make_pool(spec, read_pool_table(spec, path))


def test_one_label_a_formula_within_the_space(make_spec: Callable[..., CampaignSpec], write: Write) -> None:
    pool = pool_of(make_spec("space.exclude=[radioactive]"), write(TABLE))
    assert pool.formulas == ("GaAs", "KCl", "LiF", "MgO", "NaCl", "Si", "TcO2")
    assert pool.gaps.tolist() == pytest.approx([0.3, 5.1, 8.7, 4.4, 5.2, 0.6, 0.5])
    # technetium is excluded, silicon has one element: they can be learned from, not bought
    assert [f for f, fine in zip(pool.formulas, pool.buyable, strict=True) if not fine] == ["Si", "TcO2"]
    assert [bad.text for bad in pool.bad] == ["Xx2,1"]
    assert any("more than 20 of an element" in note for note in pool.notes)
    assert any("averaged" in note for note in pool.notes)


def test_other_levels_of_theory_are_left_out(make_spec: Callable[..., CampaignSpec], write: Write) -> None:
    path = write("formula,band_gap,level\nNaCl,5.0,PBE\nNaCl,8.5,experiment\nMgO,7.8,experiment\n")
    assert pool_of(make_spec(), path).formulas == ("NaCl",)
    assert pool_of(make_spec("data.level=experiment"), path).gaps.tolist() == [7.8, 8.5]
    with pytest.raises(InputError, match=r"levels PBE, experiment, the campaign's data.level is HSE"):
        pool_of(make_spec("data.level=HSE"), path)


def test_hits_are_on_the_wanted_side(make_spec: Callable[..., CampaignSpec], write: Write) -> None:
    path = write(TABLE)
    pool = pool_of(make_spec(), path)

    def hits(spec: CampaignSpec, **rule: float) -> list[str]:
        return [pool.formulas[i] for i in np.flatnonzero(find_hits(spec, pool, **rule).mask)]

    most, least = make_spec(), make_spec("target={minimize: true}")
    assert hits(most, threshold_ev=5.1) == ["KCl", "LiF", "NaCl"]
    assert hits(least, threshold_ev=0.5) == ["GaAs", "TcO2"]
    assert hits(most) == ["LiF"]  # the best 1 % of six rows
    assert hits(most, top=0.34) == ["KCl", "LiF", "NaCl"]
    assert hits(least, top=0.2) == ["GaAs", "TcO2"]
    window = make_spec("target={window: [4.4, 5.1]}")
    assert hits(window) == ["KCl", "MgO"]
    assert find_hits(window, pool).text == "gap from 4.4 to 5.1 eV"
    assert find_hits(least, pool, top=0.2).text == "gap <= 0.5 eV"


@pytest.mark.parametrize(
    ("assignments", "rule", "words"),
    [
        ((), {"threshold_ev": 9.0}, "no row that may be bought has a gap >= 9 eV"),
        ((), {"threshold_ev": 5.0, "top": 0.1}, "exclude each other"),
        ((), {"top": 1.5}, "--top is 1.5"),
        (("target={window: [1, 2]}",), {"threshold_ev": 1.0}, "target is a window"),
        (("target={window: [1, 2]}",), {"top": 0.1}, "target is a window"),
        (("target={window: [1, 2]}",), {}, "no row that may be bought has a gap from 1 to 2 eV"),
    ],
)
def test_rules_that_do_not_fit_are_refused(
    assignments: tuple[str, ...],
    rule: dict[str, float],
    words: str,
    make_spec: Callable[..., CampaignSpec],
    write: Write,
) -> None:
    spec = make_spec(*assignments)
    with pytest.raises(InputError, match=words):
        find_hits(spec, pool_of(spec, write(TABLE)), **rule)


def test_own_data_that_is_in_the_table_is_the_start(make_spec: Callable[..., CampaignSpec], write: Write) -> None:
    own = write("formula,band_gap\nSi,1.1\nF2Ca,7.0\nO2Mg2,7.8\n", "own.csv")
    spec = make_spec("data.source=table", f"data.path={own}")
    table = read_pool_table(spec, write(TABLE))
    own_rows = own_data(spec, [0], Start())
    formulas = own_rows.formulas[0]
    assert (formulas, own_rows.bad) == (["Si", "CaF2", "MgO"], ())
    pool = make_pool(spec, table)
    start = start_rows(Start(), pool, formulas, 0)
    assert [pool.formulas[row] for row in start] == ["Si", "MgO"]
    assert pool.gaps[start].tolist() == [0.6, 4.4]  # the table's labels count
    kept = make_pool(spec, table, own_rows.rows)
    start = start_rows(Start(keep_foreign=True), kept, formulas, 0)
    assert [kept.formulas[row] for row in start] == ["Si", "CaF2", "MgO"]
    assert kept.formulas.count("MgO") == 1
    assert kept.gaps[start].tolist() == [0.6, 7.0, 4.4]
    assert not kept.buyable[kept.row_of["CaF2"]]


def test_random_starts_are_below_the_limit_and_by_seed(make_spec: Callable[..., CampaignSpec], write: Write) -> None:
    pool = pool_of(make_spec(), write(TABLE))
    rule = Start(3, below_ev=5.15)
    drawn = [start_rows(rule, pool, [], seed) for seed in range(12)]
    assert all(len(set(rows.tolist())) == 3 for rows in drawn)
    assert all((pool.gaps[rows] < 5.15).all() and pool.buyable[rows].all() for rows in drawn)
    assert len({tuple(rows) for rows in drawn}) > 1
    assert start_rows(rule, pool, [], 4).tolist() == drawn[4].tolist()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"count": 1}, "cannot start from 1 rows"),
        ({"below_ev": 3.0}, "--start-below was given without --start"),
        ({"count": 5, "keep_foreign": True}, "--keep-foreign"),
    ],
)
def test_starts_that_mean_nothing_are_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Start(**arguments)


def test_starts_that_the_table_cannot_give_are_refused(make_spec: Callable[..., CampaignSpec], write: Write) -> None:
    pool = pool_of(make_spec(), write(TABLE))
    with pytest.raises(InputError, match=r"4 start rows were asked for.*has 2 rows with a gap below 3 eV"):
        start_rows(Start(4, below_ev=3.0), pool, [], 0)
    with pytest.raises(InputError, match="only 1 of the campaign's 3 data rows are in"):
        start_rows(Start(), pool, ["MgO", "CaF2", "BaO"], 0)


def test_tables_without_rows_are_refused(make_spec: Callable[..., CampaignSpec], write: Write, tmp_path: Path) -> None:
    spec = make_spec()
    with pytest.raises(InputError, match="there is no file"):
        read_pool_table(spec, tmp_path / "absent.csv")
    with pytest.raises(InputError):
        read_pool_table(spec, write(""))
    with pytest.raises(InputError, match="no usable row"):
        read_pool_table(spec, write("formula,band_gap\nXx,1\n"))
    with pytest.raises(InputError, match="none of 2 rows is within the campaign's space"):
        pool_of(spec, write("formula,band_gap\nSi,0.6\nGe,0.1\n"))
