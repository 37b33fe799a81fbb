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


def device(name: str = "auto") -> torch.device:
    """Return the torch device called `name`; ``"auto"`` is CUDA where there is one, else the CPU.

    Raises:
        InputError: The device is unknown or this machine has none.

    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(name)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} cannot be used: {error}", "allowed: auto, cpu, cuda, cuda:0, …") from error
    return found
