"""An extractor from a file: what it is shown, and what happens without one."""

import numpy as np
import pytest
import torch

from medsynth_lib.core.checkpoints import CheckpointError
from medsynth_lib.models.encoder.local import LocalExtractor


class Colours(torch.nn.Module):
    """Mean of each colour, as a map."""

    def forward(self, x):
        return x


def test_it_is_shown_one_channel_as_colours(tmp_path):
    torch.jit.trace(Colours(), torch.zeros(1, 3, 16, 16)).save(str(tmp_path / "net.pt"))
    extract = LocalExtractor(tmp_path / "net.pt", channel=1, size=16, mean=(0.5, 0, 0), deviation=(0.5, 1, 1))
    images = np.stack([np.full((8, 8), -1), np.full((8, 8), 0.5)])[None].astype(np.float32)
    assert extract(images) == pytest.approx(np.array([[0.5, 0.75, 0.75]]), abs=1e-6)  # (0.5 + 1) / 2 = 0.75


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="none.pt cannot be read as TorchScript"):
        LocalExtractor(tmp_path / "none.pt")
    (tmp_path / "broken.pt").write_bytes(b"no network")
    with pytest.raises(CheckpointError, match="broken.pt cannot be read"):
        LocalExtractor(tmp_path / "broken.pt")


def test_pictures_come_in_batches(tmp_path):
    torch.jit.trace(Colours(), torch.zeros(1, 3, 16, 16)).save(str(tmp_path / "net.pt"))
    extract = LocalExtractor(tmp_path / "net.pt", channel=1, size=None, mean=(0, 0, 0), deviation=(1, 1, 1))
    images = np.random.default_rng(0).uniform(-1, 1, (11, 2, 8, 8)).astype(np.float32)
    assert extract(images, batch_size=4)[:, 2] == pytest.approx((images[:, 1].mean((1, 2)) + 1) / 2, abs=1e-6)
    images[-1, 1, 0, 0] = np.inf
    with pytest.raises(ValueError, match="NaN or infinite"):
        extract(images, batch_size=4)
