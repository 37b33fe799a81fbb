"""CHGNet for many crystals in one pass: energies and their gradients by atoms and cell.

The package's own prediction keeps what second derivatives would need and builds each graph anew by loops over objects.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.structures.energy.neighbours import ANGLE_CUTOFF, CUTOFF, Pairs, angles, find_pairs
from aldesign.structures.energy.passes import Graph, site_energies

MODEL = "0.3.0"
_WEIGHTS = "pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar"


@dataclass(eq=False)
class Cell:
    """A crystal as the optimiser moves it.

    Attributes:
        numbers: Atomic numbers, int64 (n,).
        cell: Vectors as rows before deformation, Å, (3, 3).
        positions: Cartesian, before deformation, Å, (n, 3).
        log_deformation: Logarithm of the deformation gradient, (3, 3).

    """

    numbers: np.ndarray
    cell: np.ndarray
    positions: np.ndarray
    log_deformation: np.ndarray = field(default_factory=lambda: np.zeros((3, 3)))
    _pairs: Pairs | None = None

    @property
    def deformation(self) -> np.ndarray:
        """Deformation gradient, (3, 3)."""
        from scipy.linalg import expm

        return np.asarray(expm(self.log_deformation))

    @property
    def vectors(self) -> np.ndarray:
        """Vectors as rows as deformed, Å, (3, 3)."""
        return np.asarray(self.cell @ self.deformation.T)

    def pairs(self) -> Pairs:
        """Return the neighbours, searched anew only when atoms have moved too far; StructureError as `find_pairs`."""
        deformation = self.deformation
        if self._pairs is None or not self._pairs.hold(self.positions, deformation):
            self._pairs = find_pairs(self.positions, self.cell, deformation)
        return self._pairs


@dataclass(frozen=True, eq=False)
class Answer:
    """What the potential says of one cell.

    Attributes:
        energy_ev: Of the whole cell.
        forces: ``-dE/d positions``, eV/Å, (n, 3).
        cell_force: ``-dE/d log_deformation``, eV, (3, 3).

    """

    energy_ev: float
    forces: np.ndarray
    cell_force: np.ndarray


@cache
def network() -> Any:
    """Return the network, once per process, on one CPU thread."""
    import chgnet
    import torch
    from chgnet.model import CHGNet

    from aldesign.learning.threads import pin_threads

    pin_threads(1)
    # the package's own loader unpickles; its checkpoint reads as plain tensors just as well
    stored = torch.load(Path(chgnet.__file__).parent / _WEIGHTS, map_location="cpu", weights_only=True)["model"]
    arguments = {**stored["model_args"], "mlp_out_bias": False, "version": MODEL}
    with contextlib.redirect_stdout(io.StringIO()):  # it greets
        made = CHGNet(**arguments)
    made.load_state_dict(stored["state_dict"])
    return made.eval().requires_grad_(False)


def evaluate(cells: Sequence[Cell]) -> list[Answer]:
    """Return energy and gradients of each cell, all in one pass of the network.

    Geometry is in float64 and the network in float32, so that an energy is good to some 1e-5 eV/atom.

    Raises:
        StructureError: An atom has no neighbour.

    """
    import torch

    from aldesign.learning.threads import pin_threads

    net = network()
    if torch.get_num_threads() != 1:  # somebody else set them since; sums would be taken in another order
        pin_threads(1)
    sizes = np.array([len(cell.numbers) for cell in cells])
    shifts = np.cumsum(sizes) - sizes
    found = [cell.pairs() for cell in cells]
    numbers = torch.from_numpy(np.concatenate([cell.numbers for cell in cells]))
    owners = torch.from_numpy(np.repeat(np.arange(len(cells)), sizes))
    first = torch.from_numpy(np.concatenate([p.first + s for p, s in zip(found, shifts, strict=True)]))
    second = torch.from_numpy(np.concatenate([p.second + s for p, s in zip(found, shifts, strict=True)]))
    image = torch.from_numpy(np.concatenate([p.image for p in found]))
    positions = torch.from_numpy(np.concatenate([cell.positions for cell in cells])).requires_grad_()
    logs = torch.from_numpy(np.stack([cell.log_deformation for cell in cells])).requires_grad_()
    deformation = torch.linalg.matrix_exp(logs).transpose(1, 2)
    vectors = torch.from_numpy(np.stack([cell.cell for cell in cells])) @ deformation
    points = (positions[:, None, :] @ deformation[owners])[:, 0]

    with torch.no_grad():
        reach = (image[:, None, :] @ vectors[owners[first]])[:, 0] + points[second] - points[first]
        near = (reach * reach).sum(dim=1) < CUTOFF**2
    first, second, image = first[near], second[near], image[near]
    bonds = points[first] - points[second] - (image[:, None, :] @ vectors[owners[first]])[:, 0]
    lengths = torch.linalg.vector_norm(bonds, dim=1)
    units = (bonds / lengths[:, None]).float()
    lengths = lengths.float()

    # a bond is directed both ways; the second half of the list runs back
    center = torch.cat([first, second])
    short = torch.nonzero(lengths < ANGLE_CUTOFF)[:, 0]
    arms = np.stack(angles(torch.cat([first[short], second[short]]).numpy(), len(numbers)))
    directed = torch.from_numpy(np.concatenate([short.numpy(), short.numpy() + len(first)])[arms])
    graph = Graph(
        numbers=numbers,
        center=center,
        neighbour=torch.cat([second, first]),
        lengths=lengths,
        units=units,
        short=short,
        vertex=center[directed[0]],
        arms=torch.from_numpy(arms % max(len(short), 1)),
        arms_directed=directed,
    )
    energies = lengths.new_zeros(len(cells)).index_add(0, owners, site_energies(net, graph))
    by_position, by_log = torch.autograd.grad(energies.sum(), [positions, logs])
    elemental = net.composition_model.fc.weight[0].double()[numbers - 1]
    totals = energies.detach().double().index_add(0, owners, elemental).tolist()
    forces = np.split(-by_position.numpy(), shifts[1:])
    return [Answer(*parts) for parts in zip(totals, forces, -by_log.numpy(), strict=True)]
