"""Predicted beside computed gaps, in words and as a table for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aldesign.campaign.validation import Validation
from aldesign.report.facts import counted, gap_text, number_text


def validation_table(found: Validation) -> RenderableType:
    """Return a row for each checked candidate, and how good the predictions were."""
    table = Table(title="Predicted and computed gaps", title_justify="left", box=None, pad_edge=False)
    table.add_column("#", justify="right")
    table.add_column("formula", overflow="fold", style="bold")
    for name in ("predicted (eV)", "computed", "error", "Ef", "graph", "DFT"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("note", overflow="fold")
    for check in found.checks:
        claim, facts = check.claim, check.facts
        note = check.reason or {True: "direct", False: "indirect", None: ""}[facts.get("direct")]
        table.add_row(
            str(claim["rank"]),
            Text(check.trial.candidate.formula),
            gap_text(claim["gap_ev"], claim.get("std_ev")) + {False: "!", True: " ", None: " "}[check.held],
            gap_text(check.computed_ev),
            number_text(check.error_ev, 2),
            number_text(claim.get("formation_energy_ev_per_atom"), 2),
            number_text(claim.get("formation_energy_graph_ev_per_atom"), 2),
            number_text(facts.get("formation_energy_ev_per_atom"), 2),
            Text(note),
        )
    notes = [*figures_text(found)]
    if any(check.held is False for check in found.checks):
        notes.insert(0, "! the computed gap lies beyond two standard deviations")
    methods = sorted({str(check.claim.get("energy_method")) for check in found.checks} - {"", "None"})
    notes.append(
        f"Error: predicted less computed. Formation energies in eV/atom: Ef by {', '.join(methods) or 'no potential'}, "
        "graph by a crystal graph network, DFT as computed."
    )
    return Group(table, Text(), *(Text(note, style="dim") for note in notes))


def figures_text(found: Validation) -> list[str]:
    """Return how good the predictions were, in sentences."""
    figures = found.figures()
    failed = f", {figures['failed']} failed" if figures["failed"] else ""
    said = [f"{figures['computed']} of {counted(figures['checked'], 'candidate')} computed{failed}."]
    if figures["computed"]:
        spearman = figures["spearman"]
        said[0] += (
            f" Predicted against computed gaps: MAE {figures['mae_ev']:.2f} eV, bias {figures['bias_ev']:+.2f} eV"
            + (f", Spearman {spearman:.2f}" if spearman is not None else "")
            + "."
        )
    if figures["with_std"]:
        said.append(
            f"The computed gap lies within two standard deviations of the predicted one for "
            f"{figures['within_2_std']} of {figures['with_std']}."
        )
    predicted, computed = found.levels
    if computed and predicted != computed:
        said.append(
            f"Predicted gaps are of the level {', '.join(sorted(predicted))}, computed ones of "
            f"{', '.join(sorted(computed))}: the error holds the difference of the levels, too."
        )
    return said
