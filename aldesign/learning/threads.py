"""How many threads to use, and which device."""

from __future__ import annotations

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from aldesign.errors import InputError


def pin_threads(n: int = 1) -> None:
    """Limit torch, BLAS and OpenMP of this process to `n` threads, from now on.

    Sums are taken in another order with another number of threads, so that equal results need equal `n`.

    Raises:
        InputError: `n` is below one.

    """
    if n < 1:
        raise InputError(f"{n} threads were asked for", "give 1 or more")
    torch.set_num_threads(n)
    threadpool_limits(limits=n)


_preferred = "auto"  # what "auto" stands for: itself, or the user's choice


def prefer_device(name: str) -> torch.device:
    """Make `name` the meaning of ``"auto"`` in `device`, in this process from now on, and return that device.

    Raises:
        InputError: The device is unknown or this machine has none.

    """
    global _preferred
    before, _preferred = _preferred, "auto"
    try:
        found = device(name)
    except InputError:
        _preferred = before
        raise
    _preferred = name
    return found


def device(name: str = "auto") -> torch.device:
    """Return the torch device called `name`; ``"auto"`` is CUDA where there is one, else the CPU.

    `prefer_device` gives ``"auto"`` another meaning.

    Raises:
        InputError: The device is unknown or this machine has none.

    """
    name = _preferred if name == "auto" else name
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(name)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} cannot be used: {error}", "allowed: auto, cpu, cuda, cuda:0, …") from error
    return found
