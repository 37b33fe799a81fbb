"""The density of states of a computed crystal, as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aldesign.report.figures import new_figure
from aldesign.report.svg import ACCENT, GENERATOR, INK, LATENT, MUTED, POOL, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aldesign.dft.results import Result

WINDOW_EV = (-8.0, 8.0)
_SHELLS = {"s": LATENT, "p": GENERATOR, "d": ACCENT, "f": POOL}
_LEAST_SHARE = 0.02  # of all that is drawn; a shell with less is left out


def dos_figure(result: Result) -> Figure | None:
    """Draw total and projected density of states about the gap, or return None where the result has none.

    Energies are in eV from the top of the valence band, or from the Fermi level of a metal; states in 1/eV and cell.
    """
    dos = result.dos
    if dos is None:
        return None
    inside = (dos.energies_ev >= WINDOW_EV[0]) & (dos.energies_ev <= result.gap_ev + WINDOW_EV[1])
    energies, total = dos.energies_ev[inside], dos.total[inside]
    with style():
        figure, axes = new_figure((5.4, 3.2))
        axes.fill_between(energies, total, color=MUTED, alpha=0.25, linewidth=0, label="total")
        axes.plot(energies, total, color=MUTED, linewidth=0.8)
        for name, colour in _SHELLS.items():
            values = dos.projected.get(name, np.zeros(len(dos.energies_ev)))[inside]
            if values.sum() > _LEAST_SHARE * total.sum():
                axes.plot(energies, values, color=colour, linewidth=1.4, label=name)
        if result.gap_ev > 0:
            axes.axvspan(0.0, result.gap_ev, color=ACCENT, alpha=0.08, linewidth=0)
            kind = "direct" if result.is_direct else "indirect"
            told = f"{result.settings.level} gap {result.gap_ev:.2f} eV, {kind}"
        else:
            axes.axvline(0.0, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
            told = f"metal at {result.settings.level}"
        axes.set_title(f"{result.formula}: {told}")
        axes.set_xlabel("energy from the top of the valence band, eV" if result.gap_ev else "energy from E_F, eV")
        axes.set_ylabel("states per eV and cell")
        axes.set_xlim(energies[0], energies[-1])
        axes.set_ylim(bottom=0.0)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
