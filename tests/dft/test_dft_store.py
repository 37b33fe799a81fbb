"""The store finds the same crystal in any of its cells, and keeps what it holds through trouble."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from dft_toys import TINY, rocksalt
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from aldesign.dft.jobs import Limits
from aldesign.dft.results import Result
from aldesign.dft.settings import Settings
from aldesign.dft.store import FORMAT, ResultStore
from aldesign.errors import AldesignError, CalculationError, InputError
from aldesign.records import Crystal
from aldesign.structures.cif import from_pymatgen

QUARTZ = from_pymatgen(
    Structure.from_spacegroup(  # alpha quartz: Levien, Prewitt and Weidner, Am. Mineral. 65, 920 (1980)
        "P3_221", Lattice.hexagonal(4.916, 5.4054), ["Si", "O"], [[0.4697, 0, 0], [0.4135, 0.2669, 0.1191]]
    ),
    "quartz",
)
RUTILE = from_pymatgen(
    Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [0.3053, 0.3053, 0]]
    ),
    "rutile",
)
CRYSTALS = {"salt": rocksalt("Na", "Cl", 5.64), "quartz": QUARTZ, "rutile": RUTILE}


def result_of(crystal: Crystal, gap_ev: float = 1.0, settings: Settings = TINY) -> Result:
    return Result("X", crystal, settings, gap_ev, gap_ev, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), -1.0, 0.0, False, 8.0, 1, 5)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> ResultStore:
    store = ResultStore(tmp_path_factory.mktemp("store") / "results.sqlite")
    for number, crystal in enumerate(CRYSTALS.values()):
        store.put(crystal, result_of(crystal, float(number)))
    return store


def otherwise(crystal: Crystal, axes: np.ndarray, shift: np.ndarray, seed: int, strain: float) -> Crystal:
    """Return the crystal in other axes (a supercell where their determinant is above 1), shifted and shuffled."""
    old = Structure(Lattice.from_parameters(*crystal.lattice), crystal.species, crystal.frac + shift)
    old.make_supercell(axes, to_unit_cell=True)
    order = np.random.default_rng(seed).permutation(len(old))
    turned = Structure.from_sites([old[int(i)] for i in order])
    turned.apply_strain(strain)
    return from_pymatgen(turned, "another")


@st.composite
def choices_of_axes(draw: st.DrawFn) -> np.ndarray:
    """Draw three vectors of small whole numbers that span one to three cells."""
    axes = np.diag([draw(st.integers(1, 3)), 1, 1])
    for _ in range(draw(st.integers(0, 3))):
        i, j = draw(st.sampled_from([(0, 1), (0, 2), (1, 2), (1, 0), (2, 0), (2, 1)]))
        axes[i] += draw(st.sampled_from([-1, 1])) * axes[j]
    return axes


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(CRYSTALS)),
    axes=choices_of_axes(),
    shift=st.tuples(*[st.floats(0, 1, allow_nan=False)] * 3),
    seed=st.integers(0, 99),
)
def test_any_cell_of_a_crystal_finds_its_result(
    filled: ResultStore, name: str, axes: np.ndarray, shift: tuple[float, float, float], seed: int
) -> None:
    found = filled.get(otherwise(CRYSTALS[name], axes, np.array(shift), seed, 0.0), TINY)
    assert found is not None
    assert found.gap_ev == float(list(CRYSTALS).index(name))


@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(sorted(CRYSTALS)),
    axes=choices_of_axes(),
    strain=st.floats(0.002, 0.05),
    sign=st.sampled_from([-1, 1]),
)
def test_a_strained_cell_is_another_crystal(
    filled: ResultStore, name: str, axes: np.ndarray, strain: float, sign: int
) -> None:
    assert filled.get(otherwise(CRYSTALS[name], axes, np.zeros(3), 0, sign * strain), TINY) is None


def test_a_small_distortion_that_doubles_the_cell_is_another_crystal(filled: ResultStore) -> None:
    double = otherwise(CRYSTALS["salt"], np.diag([2, 1, 1]), np.zeros(3), 0, 0.0)
    frac = double.frac.copy()
    frac[0, 0] += 0.01  # 0.08 Å: within the tolerance by which pymatgen finds primitive cells
    assert filled.get(replace(double, frac=frac), TINY) is None


def test_other_settings_and_other_elements_are_not_mixed_up(filled: ResultStore) -> None:
    assert filled.get(CRYSTALS["salt"], Settings.of("fast")) is None
    assert filled.get(rocksalt("K", "Cl", 5.64), TINY) is None
    assert filled.get(rocksalt("Cl", "Na", 5.64), TINY) is not None


def test_the_presets_name_is_no_part_of_the_key(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "s.sqlite")
    store.put(CRYSTALS["salt"], result_of(CRYSTALS["salt"]))
    assert store.get(CRYSTALS["salt"], replace(TINY, preset="tight")) is not None


def test_failures_that_would_come_again_are_remembered(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "s.sqlite")
    salt, limits = CRYSTALS["salt"], Limits(10, 1)
    assert store.put_failure(salt, TINY, CalculationError("convergence", "no end", "more iterations"), limits)
    assert not store.put_failure(RUTILE, TINY, CalculationError("time", "too slow"), limits)
    again = store.failure(otherwise(salt, np.diag([2, 1, 1]), np.zeros(3), 1, 0.0), TINY)
    assert again is not None
    assert (again.kind, again.message, again.hint) == ("convergence", "no end", "more iterations")
    assert store.failure(RUTILE, TINY) is None
    assert len(store) == 0
    store.put(salt, result_of(salt))
    store.put_failure(salt, TINY, CalculationError("convergence", "no end"), limits)  # by a slower process
    assert store.failure(salt, TINY) is None
    assert store.get(salt, TINY) is not None


def test_results_come_in_the_order_they_were_entered(filled: ResultStore) -> None:
    assert [result.gap_ev for result in filled.results(TINY)] == [0.0, 1.0, 2.0]
    assert list(filled.results(Settings.of("fast"))) == []
    assert len(filled) == 3


def _enter(job: tuple[Path, int]) -> int:
    path, number = job
    store = ResultStore(path)
    crystal = rocksalt("Na", "Cl", 5.0 + 0.05 * number)
    store.put(crystal, result_of(crystal, float(number)))
    return number


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        assert sorted(pool.map(_enter, [(path, n) for n in range(8)])) == list(range(8))
    store = ResultStore(path)
    for n in range(8):
        found = store.get(rocksalt("Na", "Cl", 5.0 + 0.05 * n), TINY)
        assert found is not None
        assert found.gap_ev == n


def test_the_file_is_plain_sqlite_with_write_ahead_log(filled: ResultStore) -> None:
    base = sqlite3.connect(filled.path)
    try:
        assert base.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        base.close()


def test_files_that_are_no_store_are_refused(tmp_path: Path, filled: ResultStore) -> None:
    text = tmp_path / "text.sqlite"
    text.write_text("formula,gap\n" * 100)
    other = tmp_path / "other.sqlite"
    base = sqlite3.connect(other)
    base.execute("CREATE TABLE mine (x)")
    base.commit()
    newer = tmp_path / "newer.sqlite"
    shutil.copyfile(filled.path, newer)
    later = sqlite3.connect(newer)
    later.execute(f"PRAGMA user_version={FORMAT + 1}")
    later.commit()
    base.close()
    later.close()
    for path, words in ((text, "damaged"), (other, "another database"), (newer, f"format {FORMAT + 1}")):
        with pytest.raises(InputError, match=words):
            ResultStore(path)
    assert text.read_text().startswith("formula")
    with pytest.raises(InputError, match="is a folder"):
        ResultStore(tmp_path)
    with pytest.raises(InputError, match="cannot be"):
        ResultStore(text / "below.sqlite")


def test_damage_within_is_told(tmp_path: Path, filled: ResultStore) -> None:
    path = tmp_path / "damaged.sqlite"
    shutil.copyfile(filled.path, path)
    store = ResultStore(path)
    base = sqlite3.connect(path)
    base.execute("UPDATE entry SET content = '{\"formula\": 1}'")
    base.commit()
    base.close()
    with pytest.raises(AldesignError, match="damaged"):
        store.get(CRYSTALS["salt"], TINY)


def test_a_full_disk_is_told_and_changes_nothing(tmp_path: Path) -> None:
    # the largest file that this process may write stands for the disk
    code = (
        "import resource, sys; sys.path.insert(0, sys.argv[2]); sys.path.insert(0, sys.argv[3])\n"
        "from test_dft_store import CRYSTALS, ResultStore, result_of, TINY\n"
        "store = ResultStore(sys.argv[1]); store.put(CRYSTALS['salt'], result_of(CRYSTALS['salt'], 7.0))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "try: store.put(CRYSTALS['rutile'], result_of(CRYSTALS['rutile']))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    path, here = tmp_path / "s.sqlite", Path(__file__).parent
    told = subprocess.run(
        [sys.executable, "-c", code, str(path), str(here), str(here.parent)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ).stdout
    assert told.startswith("AldesignError")
    assert "full" in told or "make room" in told
    store = ResultStore(path)
    found = store.get(CRYSTALS["salt"], TINY)
    assert found is not None
    assert found.gap_ev == 7.0
    assert store.get(RUTILE, TINY) is None
