"""A campaign labelled by first principles against a random choice from the same crystals: best gap and top gaps found.

python tests/benchmarks/bench_dft_loop.py POOL --store results.sqlite [--labels 60] [--start 30] [--seeds 3] [--out DIR]
python tests/benchmarks/bench_dft_loop.py POOL --gaps table.csv ...

POOL is a file of crystals (JSON lines or a folder of CIFs). Both choose from the same crystals, begin with the same
random `--start` solids of the pool, and pay `--labels` labels in batches of `--batch`, for each of `--seeds` seeds:
real campaigns, `campaigns/dft_loop.yaml` with the pool as its space, once as it stands and once with
``acquisition.kind: random``.

With ``--store`` the labels are the oracle ``dft``'s, from the store of `aldesign dft compute`; the pool is first
restricted to crystals that are in it with the settings of ``--preset``, so that nothing is computed. With ``--gaps`` a
table is looked up instead. Of several crystals of a formula the first that has a label counts. With ``--out`` a killed
bench goes on.

Top gaps are counted among what could be bought: the pool without the solids to begin with. A best gap alone is soon
found.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.campaign import loop
from aldesign.campaign.campaign import Campaign
from aldesign.campaign.spec import CampaignSpec, read_spec
from aldesign.dft.results import crystal_to_json
from aldesign.records import Candidate, Crystal
from aldesign.registry import load_oracle
from aldesign.replay.metrics import Course, Curve, band, measure
from aldesign.seeds import stream

CAMPAIGN = Path(__file__).resolve().parents[2] / "campaigns" / "dft_loop.yaml"
STRATEGIES = {"loop": "ucb", "random": "random"}
TOP_COUNT, TOP_SHARE = 10, 0.05


@dataclass(frozen=True)
class Ground:
    """What can be bought: formulas sorted, their crystals and their gaps in eV."""

    formulas: tuple[str, ...]
    crystals: tuple[Crystal, ...]
    gaps: np.ndarray
    text: str


def read_crystals(path: Path) -> list[tuple[str, Crystal]]:
    from aldesign.datasets.formulas import read_formulas

    with read_formulas(path) as file:
        return [(row.formula, row.crystal) for row in file.rows if row.formula and row.crystal is not None]


def stored_gaps(crystals: Sequence[tuple[str, Crystal]], options: Mapping[str, Any]) -> list[float | None]:
    """Return the gap of each crystal that the store holds, without computing any."""
    from aldesign.dft.settings import Settings
    from aldesign.dft.store import ResultStore
    from aldesign.errors import CalculationError

    store, settings = ResultStore(options["store"]), Settings.of(options["preset"])
    found: list[float | None] = []
    for _, crystal in crystals:
        try:
            result = store.get(crystal, settings)
        except CalculationError:  # no cell that any code would take
            result = None
        found.append(None if result is None else result.gap_ev)
    return found


def table_gaps(crystals: Sequence[tuple[str, Crystal]], options: Mapping[str, Any]) -> list[float | None]:
    answers = load_oracle("lookup", **options).predict([Candidate(formula) for formula, _ in crystals])
    return [answer.value for answer in answers]


def ground(path: Path, kind: str, options: Mapping[str, Any]) -> Ground:
    crystals = read_crystals(path)
    values = (stored_gaps if kind == "dft" else table_gaps)(crystals, options)
    kept: dict[str, tuple[Crystal, float]] = {}
    for (formula, crystal), gap in zip(crystals, values, strict=True):
        if gap is not None:
            kept.setdefault(formula, (crystal, gap))
    formulas = tuple(sorted(kept))
    if not formulas:
        raise SystemExit(f"none of the {len(crystals)} crystals of {path} has a label")
    everyone = len({formula for formula, _ in crystals})
    text = f"{len(formulas)} of the {everyone} formulas of {path.name} have a label"
    if len(formulas) < everyone:
        text += f": the pool is restricted to these, {100 * len(formulas) / everyone:.0f} %"
    return Ground(formulas, tuple(kept[f][0] for f in formulas), np.array([kept[f][1] for f in formulas]), text)


def campaign_of(
    pool: Ground, strategy: str, seed: int, options: argparse.Namespace, oracle: dict[str, Any], folder: Path
) -> CampaignSpec:
    space = {"pool": str(folder / "pool.jsonl"), "n_elements": [1, 10], "max_count": 20, "max_atoms": 400}
    changes = {
        "name": f"{strategy}-{seed}",
        "seed": seed,
        "space": space,
        "data": {"source": "table", "path": str(folder / f"start-{seed}.csv")},
        "acquisition.kind": STRATEGIES[strategy],
        "generator": None,
        "mutations": None,
        "screens": ["duplicate"],
        "oracle": oracle,
        "structures.screen": False,
        "structures.relax": "none",
        "batch_size": options.batch,
        "stop": {"budget": options.labels},
        "execution": {"kind": "serial"},
    }
    if strategy == "loop" and options.kappa is not None:
        changes["acquisition.kappa"] = options.kappa
    return read_spec(CAMPAIGN, tuple(f"{key}={json.dumps(value)}" for key, value in changes.items()))


def course(pool: Ground, strategy: str, seed: int, spec: CampaignSpec, start: np.ndarray, folder: Path) -> Course:
    """Run a campaign, or go on with it, and return what it bought; crystals for a final table are not asked for."""
    row_of = {formula: row for row, formula in enumerate(pool.formulas)}
    began, run = time.perf_counter(), folder / spec.name
    with Campaign.open(run) if run.is_dir() else Campaign.create(spec, run) as campaign:
        loop.run(campaign)
        state = campaign.state
    bought = [t for _, t in sorted(state.trials.items()) if t.iteration > 0 and t.prediction is not None]
    lost = [t.candidate.formula for t in bought if not t.prediction.ok]
    if lost:
        raise SystemExit(f"{spec.name}: no label for {', '.join(lost)}: {bought[0].prediction.error}")
    rows = np.array([row_of[t.candidate.formula] for t in bought])
    answered = np.array([t.prediction.value for t in bought])
    if np.abs(answered - pool.gaps[rows]).max() > 1e-6:
        raise SystemExit(f"{spec.name}: the campaign's answers are not the pool's labels")
    mean, std = np.array([t.expected or (np.nan, np.nan) for t in bought]).T
    seconds = {"all": round(time.perf_counter() - began, 1)}
    return Course(strategy, seed, start, rows, mean, std, (), seconds)


def curves(pool: Ground, found: Sequence[Course]) -> dict[str, dict[str, list[Curve]]]:
    """Return, by strategy, the curves that count the top few gaps and the top share of them."""
    from aldesign.models.acquisition import Objective

    made: dict[str, dict[str, list[Curve]]] = {}
    everything = np.ones(len(pool.formulas), dtype=bool)
    for one in found:
        offered = everything.copy()
        offered[one.start] = False
        gaps = np.sort(pool.gaps[offered])[::-1]
        for name, count in (("top", TOP_COUNT), ("share", max(1, round(TOP_SHARE * len(gaps))))):
            hits = pool.gaps >= gaps[min(count, len(gaps)) - 1]
            curve = measure(one, pool.gaps, hits, everything, Objective())
            made.setdefault(one.strategy, {}).setdefault(name, []).append(curve)
    return made


def show(pool: Ground, found: Mapping[str, Mapping[str, Sequence[Curve]]], at: Sequence[int]) -> None:
    some = next(iter(found.values()))
    top, share = some["top"][0].hits, some["share"][0].hits
    print(f"{pool.text}; gaps from {pool.gaps.min():.2f} to {pool.gaps.max():.2f} eV")
    print(f"means over {len(some['top'])} seeds ± standard deviation over seeds; chance: hypergeometric mean")
    heads = ("best gap (eV)", f"of the top {top}", f"of the top {share}, 5 %")
    print(f"{'labels':>7}  {'strategy':8}  {heads[0]:>15}  {heads[1]:>15}  {heads[2]:>19}")
    for n in at:
        for name, kinds in found.items():
            best = np.array([c.best_ev[n] for c in kinds["top"]])
            counts = [np.array([c.found[n] for c in kinds[kind]], dtype=float) for kind in ("top", "share")]
            cells = [f"{x.mean():.2f} ± {x.std(ddof=1) if len(x) > 1 else 0:.2f}" for x in (best, *counts)]
            print(f"{n:7d}  {name:8}  {cells[0]:>15}  {cells[1]:>15}  {cells[2]:>19}")
        chance = [np.mean([c.by_chance[n] for c in some[kind]]) for kind in ("top", "share")]
        print(f"{'':7}  {'chance':8}  {'':>15}  {chance[0]:>15.2f}  {chance[1]:>19.2f}")


def picture(pool: Ground, found: Mapping[str, Mapping[str, Sequence[Curve]]], path: Path, labels_by: str) -> None:
    """Draw the best gap and the top gaps found against the labels paid, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from aldesign.report.svg import ACCENT, MUTED, SEED, style

    colours = {"loop": ACCENT, "random": SEED}
    with style():
        figure = Figure(figsize=(10.4, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        for name, kinds in found.items():
            n = kinds["top"][0].labels
            for axes, values in (
                (left, [c.best_ev for c in kinds["top"]]),
                (right, [c.found.astype(float) for c in kinds["share"]]),
            ):
                mean, _ = band(values)
                low, high = np.min(values, axis=0), np.max(values, axis=0)
                axes.fill_between(n, low, high, step="post", color=colours[name], alpha=0.2, linewidth=0)
                axes.plot(n, mean, color=colours[name], linewidth=2.2, drawstyle="steps-post", label=name)
        chance = np.mean([c.by_chance for c in found["random"]["share"]], axis=0)
        right.plot(n, chance, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="chance")
        right.axhline(
            found["loop"]["share"][0].hits, color=MUTED, linewidth=1, linestyle=(0, (1, 2)), label="all of them"
        )
        left.axhline(pool.gaps.max(), color=MUTED, linewidth=1, linestyle=(0, (1, 2)), label="best of the pool")
        left.set(xlabel="labels paid", ylabel="best gap known (eV)", xlim=(0, n[-1]))
        right.set(xlabel="labels paid", ylabel="found of the widest 5 %", xlim=(0, n[-1]), ylim=(0, None))
        for axes in (left, right):
            axes.legend(loc="best")
        figure.suptitle(f"Choosing among {len(pool.formulas)} crystals, {labels_by}", x=0.008, ha="left", fontsize=12)
        seeds = len(found["loop"]["top"])
        figure.supxlabel(
            f"{'means' if seeds > 1 else 'mean'} of {seeds} seed{'s' * (seeds > 1)}, bands from least to most",
            x=0.008,
            ha="left",
            fontsize=9,
            color=MUTED,
        )
        figure.savefig(path, dpi=160, facecolor="white")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--store", type=Path)
    source.add_argument("--gaps", type=Path)
    parser.add_argument("--preset", default="production")
    parser.add_argument("--labels", type=int, default=60)
    parser.add_argument("--start", type=int, default=30)
    parser.add_argument("--batch", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kappa", type=float)
    parser.add_argument("--out", type=Path, help="where campaigns, curves.csv and the picture go; they are kept")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    folder = (options.out or Path(tempfile.mkdtemp(prefix="dft-loop-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if options.store is not None:
        settings = {"preset": options.preset, "store": str(options.store.resolve()), "relax": "none"}
        kind, text = "dft", f"labels by DFT (PBE, {options.preset})"
    else:
        settings = {"path": str(options.gaps.resolve()), "duplicates": "lowest"}
        kind, text = "lookup", f"labels looked up in {options.gaps.name}"
    pool = ground(options.pool, kind, settings)
    if len(pool.formulas) < options.start + options.labels:
        raise SystemExit(f"{pool.text}; {options.start} to begin with and {options.labels} labels are more")
    lines = [json.dumps(crystal_to_json(crystal)) for crystal in pool.crystals]
    (folder / "pool.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = []
    for seed in range(options.seeds):
        start = stream(seed, 0, "start").choice(len(pool.formulas), options.start, replace=False)
        rows = [f"{pool.formulas[row]},{float(pool.gaps[row])!r}\n" for row in start.tolist()]
        (folder / f"start-{seed}.csv").write_text("formula,band_gap\n" + "".join(rows), encoding="utf-8")
        for strategy in STRATEGIES:
            spec = campaign_of(pool, strategy, seed, options, {"kind": kind, "options": settings}, folder)
            done = course(pool, strategy, seed, spec, start, folder)
            print(f"{spec.name}: {len(done.rows)} labels, {done.seconds['all']} s", flush=True)
            found.append(done)
    made = curves(pool, found)
    steps = sorted({0, *(n for n in (10, 20, 30, 40) if n < options.labels), options.labels})
    show(pool, made, steps)
    with (folder / "curves.csv").open("w", encoding="utf-8") as handle:
        handle.write("strategy,seed,label,formula,gap_ev,best_ev,found_top,found_share\n")
        for i, one in enumerate(found):
            kinds = made[one.strategy]
            place = i // len(STRATEGIES)
            for n, row in enumerate(one.rows.tolist(), start=1):
                top, share = kinds["top"][place], kinds["share"][place]
                cells = (pool.formulas[row], pool.gaps[row], top.best_ev[n], top.found[n], share.found[n])
                handle.write(",".join(map(str, (one.strategy, one.seed, n, *cells))) + "\n")
    picture(pool, made, folder / "dft_loop.png", text)
    print(f"curves.csv, dft_loop.png and the campaigns: {folder}")


if __name__ == "__main__":
    main()
