from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load_file

from aldesign.errors import CheckpointError, InputError
from aldesign.learning.checkpoint import digest, load_into, load_weights, save_weights
from aldesign.learning.threads import device, pin_threads

CARD = {"class": "Thing", "version": 1, "config": {"width": 3}}


@pytest.fixture
def folder(tmp_path):
    save_weights(tmp_path / "w", {"a": torch.arange(6.0).reshape(2, 3), "b": np.arange(3)}, CARD)
    return tmp_path / "w"


def test_weights_and_card_come_back(folder):
    tensors, card = load_weights(folder, "Thing")
    assert torch.equal(tensors["a"], torch.arange(6.0).reshape(2, 3))
    assert tensors["b"].dtype == torch.int64
    assert card["config"] == {"width": 3}
    assert load_file(folder / "weights.safetensors")["a"].shape == (2, 3)
    assert sorted(p.name for p in folder.iterdir()) == ["card.json", "weights.safetensors"]


def test_digest_is_the_sha256_of_the_file(folder):
    assert digest(folder) == hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()[:16]


def test_half_precision_on_disk_is_float32_in_memory(tmp_path):
    save_weights(tmp_path, {"a": torch.tensor([1 / 3]), "n": torch.tensor([70000])}, CARD, half=True)
    tensors, _ = load_weights(tmp_path, "Thing")
    assert tensors["a"].dtype == torch.float32
    assert float(tensors["a"]) == float(np.float16(1 / 3))
    assert int(tensors["n"]) == 70000


@given(arrays(np.float64, (2, 3), elements=st.floats(allow_nan=False)))
def test_doubles_are_kept_to_the_bit(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("w")
    save_weights(folder, {"a": values}, CARD)
    assert load_weights(folder)[0]["a"].numpy().tobytes() == values.tobytes()


def test_shared_storage_is_written_twice(tmp_path):
    tensor = torch.ones(4)
    save_weights(tmp_path, {"a": tensor, "b": tensor, "c": tensor[:2]}, CARD)
    assert load_weights(tmp_path)[0]["c"].shape == (2,)


def test_another_class_is_refused(folder):
    with pytest.raises(CheckpointError, match="holds weights of 'Thing'"):
        load_weights(folder, "Other")


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"card\.json"):
        load_weights(tmp_path / "nowhere", "Thing")
    with pytest.raises(CheckpointError):
        digest(tmp_path / "nowhere")


@pytest.mark.parametrize("keep", [0, 5, 60, -1])
def test_truncated_weights_are_refused(folder, keep):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="damaged"):
        load_weights(folder, "Thing")


def test_weights_of_another_card_are_refused(folder, tmp_path):
    save_weights(tmp_path / "v", {"a": torch.zeros(1)}, CARD)
    (folder / "weights.safetensors").write_bytes((tmp_path / "v" / "weights.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="not the file"):
        load_weights(folder, "Thing")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"class": "Thing", "format": 99}'])
def test_damaged_cards_are_refused(folder, text):
    (folder / "card.json").write_text(text)
    with pytest.raises(CheckpointError):
        load_weights(folder, "Thing")


def test_a_card_without_class_is_a_mistake_of_the_code(tmp_path):
    with pytest.raises(ValueError, match="class"):
        save_weights(tmp_path, {}, {"version": 1})


def test_not_a_number_in_a_card_is_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        save_weights(tmp_path, {}, {**CARD, "metrics": {"mae": float("nan")}})


def test_weights_of_another_shape_are_refused(folder):
    with pytest.raises(CheckpointError, match="do not fit"):
        load_into(torch.nn.Linear(2, 2), load_weights(folder)[0], folder)


def test_card_keeps_what_it_was_given(folder):
    card = json.loads((folder / "card.json").read_text())
    assert {k: card[k] for k in CARD} == CARD


def test_threads_and_devices():
    pin_threads(1)
    assert torch.get_num_threads() == 1
    assert device("cpu").type == "cpu"
    with pytest.raises(InputError, match="0 threads"):
        pin_threads(0)
    with pytest.raises(InputError, match="abacus"):
        device("abacus")


def test_a_full_disk_leaves_the_old_weights_and_nothing_else(folder, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(self, content):
        with self.open("wb") as file:
            file.write(content[:10])
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        save_weights(folder, {"a": torch.zeros(4)}, CARD)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
