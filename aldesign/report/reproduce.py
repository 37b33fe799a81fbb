"""The reproduced table as CSV, Markdown and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aldesign.files import atomic_path, write_csv, write_json, write_text
from aldesign.report.reproduce_notes import notes, wide_notes
from aldesign.report.svg import ACCENT, GENERATOR, LATENT, PAPER, SEED, style
from aldesign.reproduce.study import Study
from aldesign.reproduce.summary import REPEATS_HEADER, first_wide, results, table_one
from aldesign.reproduce.tables import Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Lines = Sequence[Mapping[str, Any]]
PICTURE = "table1.png"
HEADER = (
    "sample",
    "model",
    "repeats",
    "rows",
    "R2 hold-out",
    "R2 test",
    "MAE / eV",
    "RMSE / eV",
    "candidates",
    "recovery / %",
    "of new ones / %",
    "false positives",
)
NAMES = {
    "exp1": "Exp1, the oracle",
    "exp2-bs": "Exp2 BS",
    "exp2-al": "Exp2 AL, the paper's labels",
    "exp2-ours": "Exp2 AL, our campaign",
    "exp3-bs": "Exp3 BS",
    "exp3-al": "Exp3 AL, the paper's labels",
    "exp3-ours": "Exp3 AL, our campaign",
}


def write_results(study: Study, tables: Tables) -> list[dict[str, Any]]:
    """Write results.json, results.csv, table1.csv, table1.md and the picture; return the lines of the table.

    They tell all that is done of the study, whichever call did it.
    """
    records = results(study)
    lines, wide = table_one(records), first_wide(records)
    out = study.out
    write_json(out / "results.json", {"table": lines, "exp4": wide, "repeats": records})
    trained = [record for record in records if "r2" in record]
    write_csv(out / "results.csv", REPEATS_HEADER, ([r.get(key) for key in REPEATS_HEADER] for r in trained))
    for name, part in (("table1.csv", lines), ("exp4.csv", wide)):
        header = list(part[0]) if part else ["model"]
        write_csv(out / name, header, ([line[key] for key in header] for line in part))
    write_text(out / "table1.md", markdown(lines, wide, records, study, tables))
    if lines:
        draw(lines, out / PICTURE)
    return lines


def cells(line: Mapping[str, Any]) -> list[str]:
    """Return a line of the table for people: ours, and the paper's in brackets."""
    whole = [NAMES[line["sample"]], line["model"], str(line["repeats"]), f"{line['rows']:,} ({line['paper_rows']:,})"]
    numbers = [_pair(line, key, 3) for key in ("r2", "test_r2", "mae", "rmse")]
    spurious = "–" if line["false_positives"] is None else f"{line['false_positives']:.0f}"
    found = _pair(line, "recovery", 1, 100.0), _of_new(line)
    return [*whole, *numbers, _pair(line, "candidates", 0), *found, spurious]


def wide_text(line: Mapping[str, Any]) -> str:
    """Return what experiment 4 found in one sentence."""
    begun = f"Exp4, {line['model']}: from {line['rows']} rows below 3 eV, {line['found']} of {line['starts']} starts"
    begun += " found a gap above 6 eV, as our oracle predicts it"
    if not line["found"]:
        return f"{begun} (the paper: within {line['paper_iterations']} iterations)"
    whole = "" if line["paid"] is None else f" ({line['paid']:.0f} with the whole batch)"
    most = "" if line["paid"] is None else f" ({line['most_paid']})"
    return (
        f"{begun}; the {line['found']} that did, after {line['iterations']:.1f} iterations and {line['labels']:.0f} "
        f"labels{whole} on average, {line['most_iterations']} and {line['most_labels']}{most} at most (the paper: "
        f"within {line['paper_iterations']} iterations); the widest is {line['best_formula']}, {line['best_ev']:.2f} eV"
    )


def markdown(lines: Lines, wide: Lines, records: Lines, study: Study, tables: Tables) -> str:
    """Return the table with what it means, in Markdown."""
    rows = [HEADER, ["---"] * len(HEADER), *map(cells, lines)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    told = [*map(wide_text, wide), *([wide_notes()] if wide else [])]
    return (
        "\n\n".join(["# Table 1, ours beside the paper's", table, *told, notes(lines, records, study, tables)]) + "\n"
    )


def draw(lines: Lines, path: Path) -> None:
    """Write a picture: R2 on both tests, and the recovery, ours beside the paper's."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    samples = list(dict.fromkeys(line["sample"] for line in lines))
    models = list(dict.fromkeys(line["model"] for line in lines))
    with style():
        figure = Figure(figsize=(max(6.5, 2.2 + 1.15 * len(samples)), 9.0), layout="constrained")
        FigureCanvasAgg(figure)
        shown = (
            ("r2", "R² on the hold-out part", 1.0),
            ("test_r2", "R² on formulas in no sample", 1.0),
            ("recovery", "recovery of the oracle's candidates (%)", 100.0),
        )
        for axes, (key, title, scale) in zip(figure.subplots(len(shown), 1, sharex=True), shown, strict=True):
            _bars(axes, lines, samples, models, key, scale)
            axes.set_title(title, fontsize=10, loc="left")
        figure.axes[0].legend(ncols=len(models) + 1, loc="lower left", bbox_to_anchor=(0.0, 1.1))
        axes.set_xticks(range(len(samples)), [NAMES[sample].replace(", ", "\n") for sample in samples])
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=150, facecolor="white")


def _bars(axes: Axes, lines: Lines, samples: list[str], models: list[str], key: str, scale: float) -> None:
    width = 0.8 / (len(models) + 1)
    place = {sample: i for i, sample in enumerate(samples)}
    known = {line["sample"]: line[f"paper_{key}"] for line in lines if line[f"paper_{key}"] is not None}
    at = np.array([place[sample] for sample in known], dtype=float) - 0.4 + width / 2
    axes.bar(at, [scale * value for value in known.values()], 0.92 * width, color=SEED, label="the paper")
    for number, (model, colour) in enumerate(zip(models, (LATENT, GENERATOR, ACCENT), strict=False), start=1):
        group = [line for line in lines if line["model"] == model and line[key] is not None]
        at = np.array([place[line["sample"]] for line in group], dtype=float) - 0.4 + (number + 0.5) * width
        spread = [scale * (line[f"{key}_std"] or 0.0) for line in group]
        axes.bar(at, [scale * line[key] for line in group], 0.92 * width, color=colour, label=f"ours, {model}")
        axes.errorbar(at, [scale * line[key] for line in group], spread, fmt="none", ecolor=PAPER, elinewidth=3)
        axes.errorbar(at, [scale * line[key] for line in group], spread, fmt="none", ecolor="black", elinewidth=1)
    axes.axhline(0.0, color=SEED, linewidth=0.8)


def _pair(line: Mapping[str, Any], key: str, digits: int, scale: float = 1.0) -> str:
    known = line[f"paper_{key}"]
    return f"{_ours(line, key, digits, scale)} ({'–' if known is None else f'{scale * known:.{digits}f}'})"


def _of_new(line: Mapping[str, Any]) -> str:
    counts = line["new_recovered"], line["new_candidates"]
    known = [f"{round(count, 1):g}" for count in counts if count is not None]
    return _ours(line, "new_recovery", 1, 100.0) + (f" ({'/'.join(known)})" if len(known) == 2 else "")


def _ours(line: Mapping[str, Any], key: str, digits: int, scale: float = 1.0) -> str:
    mean, spread = line[key], line[f"{key}_std"]
    ours = "–" if mean is None else f"{scale * mean:.{digits}f}"
    return ours if spread is None else f"{ours} ± {scale * spread:.{digits}f}"
