"""Files appear whole or not at all, and a damaged one names itself."""

import json
import os

import pytest
import torch

from medsynth_lib.core.checkpoints import (
    CheckpointError,
    load_state,
    load_weights,
    save_state,
    save_weights,
    write_atomically,
    write_json,
)


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "record.json"
    write_json(path, {"a": 1})

    def full_disk(part):
        part.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(CheckpointError, match=r"record\.json could not be written .*No space left.*; free space"):
        write_atomically(path, full_disk)
    assert json.loads(path.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["record.json"]


def test_state_round_trip_and_no_pickled_code(tmp_path):
    state = {"step": 3, "net": {"w": torch.arange(4.0)}}
    save_state(tmp_path / "state.pt", state)
    back = load_state(tmp_path / "state.pt")
    assert back["step"] == 3 and torch.equal(back["net"]["w"], state["net"]["w"])
    torch.save({"code": os.system}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match=r"evil\.pt cannot be read"):
        load_state(tmp_path / "evil.pt")


def test_weights_round_trip_and_damage(tmp_path):
    save_weights(tmp_path, {"net.w": torch.ones(2, 3)}, {"key": "k"})
    tensors, config = load_weights(tmp_path)
    assert torch.equal(tensors["net.w"], torch.ones(2, 3)) and config == {"key": "k"}
    (tmp_path / "weights.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(CheckpointError, match=r"weights\.safetensors cannot be read .*delete the folder"):
        load_weights(tmp_path)
