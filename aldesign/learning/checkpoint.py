"""Weights on disk: ``weights.safetensors`` beside ``card.json``; nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from aldesign.errors import CheckpointError
from aldesign.files import atomic_path, write_text

WEIGHTS = "weights.safetensors"
CARD = "card.json"
FORMAT = 1  # of the pair of files; raised when an older reader could not understand them


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor | np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named tensors and text `metadata` to one safetensors file, atomically."""
    plain = {
        name: (value if isinstance(value, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(value)))
        .detach()
        .cpu()
        .contiguous()
        .clone()  # two names may share one storage, which the format refuses
        for name, value in tensors.items()
    }
    content = save(plain, dict(metadata) if metadata else None)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the tensors and the text metadata of a safetensors file.

    Raises:
        CheckpointError: The file is missing, truncated or of another format.

    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist", "name a folder written by `aldesign train`")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            return tensors, dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}", "copy or train the weights again") from error


def save_weights(
    directory: Path,
    tensors: Mapping[str, torch.Tensor | np.ndarray],
    card: Mapping[str, Any],
    *,
    half: bool = False,
) -> None:
    """Write `tensors` and `card` to `directory`, atomically.

    Args:
        directory: Made if absent; files of the same names are replaced.
        tensors: Named weights.
        card: JSON-serialisable; must have ``class``, and should have ``version``, ``config``, ``data``,
            ``split``, ``metrics``, ``training_seconds``, ``licence``.
        half: Store floating weights in 16 bits, for size.

    Raises:
        ValueError: The card lacks ``class``.

    """
    if not card.get("class"):
        raise ValueError("a card needs its 'class'")
    if half:
        tensors = {name: _halved(value) for name, value in tensors.items()}
    write_tensors(directory / WEIGHTS, tensors)
    full = {"format": FORMAT, **card, "weights_sha256": _sha256(directory / WEIGHTS)}
    text = json.dumps(full, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(directory / CARD, f"{text}\n")


def load_card(directory: Path, expect_class: str | None = None) -> dict[str, Any]:
    """Return the card in `directory`.

    Raises:
        CheckpointError: It is missing, damaged, of a newer format, or of another class.

    """
    path = directory / CARD
    if not path.is_file():
        raise CheckpointError(f"{directory} holds no {CARD}", "name a folder written by `aldesign train`")
    try:
        card = json.loads(path.read_bytes())
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}", "copy or train the weights again") from error
    if not isinstance(card, dict) or "class" not in card:
        raise CheckpointError(f"{path} is no model card: it lacks 'class'", "copy or train the weights again")
    if card.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has format {card.get('format')!r}, this version reads {FORMAT}",
            "train the weights again",
        )
    if expect_class is not None and card["class"] != expect_class:
        raise CheckpointError(
            f"{directory} holds weights of {card['class']!r}",
            f"a {expect_class!r} was wanted; name its folder",
        )
    return card


def load_weights(directory: Path, expect_class: str | None = None) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the weights in `directory`, 16-bit ones as float32, and their card.

    Raises:
        CheckpointError: A file is missing or damaged, or the weights are not those of the card or of
            `expect_class`.

    """
    card = load_card(directory, expect_class)
    tensors, _ = read_tensors(directory / WEIGHTS)
    if card.get("weights_sha256") != _sha256(directory / WEIGHTS):
        raise CheckpointError(
            f"{directory / WEIGHTS} is not the file that {CARD} describes", "copy both files again, together"
        )
    return {k: v.float() if v.dtype == torch.float16 else v for k, v in tensors.items()}, card


def digest(directory: Path) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of the weights in `directory`.

    Raises:
        CheckpointError: There are none.

    """
    if not (directory / WEIGHTS).is_file():
        raise CheckpointError(f"{directory} holds no {WEIGHTS}", "name a folder written by `aldesign train`")
    return _sha256(directory / WEIGHTS)[:16]


def load_into(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], origin: Path) -> None:
    """Copy `tensors` into `module`.

    Raises:
        CheckpointError: Names or shapes differ from the module's.

    """
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise CheckpointError(f"the weights in {origin} do not fit: {error}", "train them again") from error


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _halved(value: torch.Tensor | np.ndarray) -> torch.Tensor:
    tensor = value if isinstance(value, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(value))
    return tensor.half() if tensor.is_floating_point() else tensor


def interrupted_run(path: Path | None, identity: str) -> tuple[dict[str, torch.Tensor], dict[str, str]] | None:
    """Return tensors and metadata of the training run that `path` was written by; None where there is none.

    Raises:
        CheckpointError: The file is damaged, or its run had other data or settings than `identity`.

    """
    if path is None or not path.exists():
        return None
    tensors, metadata = read_tensors(path)
    if metadata.get("identity") != identity:
        raise CheckpointError(
            f"{path} belongs to a training run with other data or settings",
            "remove the folder to begin anew, or give the settings of that run",
        )
    return tensors, metadata
