"""The forward pass of CHGNet 0.3.0 over one graph of many crystals, with the package's own weights.

It gives what the package's modules give, to rounding, in a third of the time: the first layer of a gated network acts
on each atom and bond once rather than on every edge and angle that reads them, and long bonds are kept out of what
only concerns angles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Graph:
    """Atoms, bonds and angles of all crystals, renumbered through.

    Attributes:
        numbers: Atomic numbers, int64 (n,).
        center: Atom that each directed bond starts at, int64 (2 u,); the second half runs back.
        neighbour: Atom that it ends at, int64 (2 u,).
        lengths: Of each bond, Å, float32 (u,).
        units: Direction of each bond, float32 (u, 3).
        short: Bonds that make angles, int64 (s,).
        vertex: Atom of each angle, int64 (a,).
        arms: Its two bonds, as places in `short`, int64 (2, a).
        arms_directed: Its two directed bonds, int64 (2, a).

    """

    numbers: Tensor
    center: Tensor
    neighbour: Tensor
    lengths: Tensor
    units: Tensor
    short: Tensor
    vertex: Tensor
    arms: Tensor
    arms_directed: Tensor


def site_energies(net: Any, graph: Graph) -> Tensor:
    """Return the energy of each atom in eV, less that of its element, float32 (n,).

    Args:
        net: The network, ``chgnet.model.CHGNet`` 0.3.0.
        graph: What it reads.

    """
    import torch

    encoder = net.bond_basis_expansion
    bases = encoder.rbf_expansion_ag(graph.lengths)
    atoms = net.atom_embedding(graph.numbers - 1)
    bonds = net.bond_embedding(bases)
    weights = net.bond_weights_ag(bases)
    bent = len(graph.vertex) > 0
    if bent:
        directed = torch.cat([graph.units, -graph.units])
        first, second = (directed.index_select(0, arm) for arm in graph.arms_directed)
        angles = net.angle_embedding(net.angle_basis_expansion(first, second))
        near = net.bond_weights_bg(encoder.rbf_expansion_bg(graph.lengths.index_select(0, graph.short)))
        smooth = near.index_select(0, graph.arms[0]) * near.index_select(0, graph.arms[1])
    for layer in range(net.n_conv - 1):
        atoms = _atoms(net.atom_conv_layers[layer], graph, atoms, bonds, weights)
        if bent:
            bonds = _bonds(net.bond_conv_layers[layer], graph, atoms, bonds, angles, smooth)
            angles = angles + _angles(net.angle_layers[layer], graph, atoms, bonds, angles)
    atoms = _atoms(net.atom_conv_layers[-1], graph, atoms, bonds, weights)
    energies: Tensor = net.mlp(net.readout_norm(atoms))
    return energies[:, 0]


def _atoms(layer: Any, graph: Graph, atoms: Tensor, bonds: Tensor, weights: Tensor) -> Tensor:
    """Let each atom hear from its neighbours."""
    start, between, end = _first(layer.twoBody_atom, [atoms, bonds, atoms])
    mixed = start.index_select(0, graph.center) + end.index_select(0, graph.neighbour) + between.repeat(2, 1)
    messages = _second(layer.twoBody_atom, mixed) * weights.repeat(2, 1)
    heard = atoms.new_zeros(atoms.shape).index_add(0, graph.center, messages)
    moved: Tensor = atoms + layer.mlp_out(heard)
    return moved


def _bonds(layer: Any, graph: Graph, atoms: Tensor, bonds: Tensor, angles: Tensor, smooth: Tensor) -> Tensor:
    """Let each short bond hear from the bonds that it makes an angle with."""
    own = bonds.index_select(0, graph.short)
    messages = _second(layer.twoBody_bond, _bent(layer.twoBody_bond, graph, atoms, own, angles)) * smooth
    heard = own.new_zeros(own.shape).index_add(0, graph.arms[0], messages)
    return bonds.index_add(0, graph.short, layer.mlp_out(heard))


def _angles(layer: Any, graph: Graph, atoms: Tensor, bonds: Tensor, angles: Tensor) -> Tensor:
    """Return what each angle learns from its bonds and its atom."""
    own = bonds.index_select(0, graph.short)
    return _second(layer.twoBody_bond, _bent(layer.twoBody_bond, graph, atoms, own, angles))


def _bent(gated: Any, graph: Graph, atoms: Tensor, own: Tensor, angles: Tensor) -> Tensor:
    one, other, angle, vertex = _first(gated, [own, own, angles, atoms])
    arms = one.index_select(0, graph.arms[0]) + other.index_select(0, graph.arms[1])
    return arms + angle + vertex.index_select(0, graph.vertex)


def _first(gated: Any, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return what each kind of input adds to the first layer of core and gate, side by side; the bias is in the first.

    The layer is linear, so that it may act before the inputs of an edge are gathered.
    """
    import torch

    core, gate = (next(x for x in mlp.layers if hasattr(x, "weight")) for mlp in (gated.mlp_core, gated.mlp_gate))
    weight = torch.cat([core.weight, gate.weight])
    parts = [
        features @ part.T
        for features, part in zip(inputs, torch.split(weight, [x.shape[1] for x in inputs], dim=1), strict=True)
    ]
    parts[0] = parts[0] + torch.cat([core.bias, gate.bias])
    return parts


def _second(gated: Any, mixed: Tensor) -> Tensor:
    """Return core times gate from what the first layer gave."""
    core, gate = mixed.chunk(2, dim=1)
    if len(gated.mlp_core.layers) > 2:  # else the first layer is the only one
        core, gate = gated.mlp_core.layers[1:](core), gated.mlp_gate.layers[1:](gate)
    gated_core: Tensor = gated.activation(gated.bn1(core)) * gated.sigmoid(gated.bn2(gate))
    return gated_core
