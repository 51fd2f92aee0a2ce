"""SimCLR: its loss by hand, and that it learns who is shown, turned or not."""

import numpy as np
import pytest
import torch

import medsynth_lib as ms
from medsynth_lib.core import portions
from medsynth_lib.data.augment import augment
from medsynth_lib.models.encoder.simclr import SimCLR, nt_xent, tensors_for
from medsynth_lib.models.registry import load_encoder


def test_the_loss_by_two_loops():
    torch.manual_seed(0)
    z, people = torch.randn(8, 5), torch.tensor([0, 1, 1, 2]).repeat(2)
    unit, losses = z / z.norm(dim=1, keepdim=True), []
    for i in range(8):
        other = (i + 4) % 8
        below = [torch.exp(unit[i] @ unit[k] / 0.5) for k in range(8) if k == other or people[k] != people[i]]
        losses.append(-torch.log(torch.exp(unit[i] @ unit[other] / 0.5) / sum(below)))
    assert nt_xent(z, people, 0.5) == pytest.approx(float(torch.stack(losses).mean()), rel=1e-5)


@pytest.fixture(scope="module")
def people():
    """Faces of soft blobs, two slices each."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    blobs = np.zeros((60, 32, 32))
    for face in blobs:
        for cy, cx in rng.uniform(6, 26, (5, 2)):
            face += np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 12)
    images = np.repeat(blobs / blobs.max() * 1.8 - 0.9, 2, axis=0)[:, None] + 0.02 * rng.normal(0, 1, (120, 1, 32, 32))
    return ms.SliceSet(images.clip(-1, 1).astype(np.float32), np.repeat(np.arange(60), 2).astype(str), channels=("x",))


def test_it_learns_to_find_copies_in_disguise(people, tmp_path):
    torch.manual_seed(0)
    encoder = SimCLR(1, 32, width=8, features=16)
    whole = tensors_for(people)
    turned = augment({"images": whole["images"][::2], "labels": whole["labels"][::2]})["images"].numpy()

    def found():
        cosines = encoder.embed(turned) @ encoder.embed(people.images[::2]).T
        return np.mean(cosines.argmax(1) == np.arange(60))

    before = found()
    ms.fit(encoder, whole, tmp_path, images=6_000, batch_size=40, seed=0)
    assert found() > max(0.7, before + 0.2)
    table = encoder.embed(people.images)
    assert table.shape == (120, 16) and np.linalg.norm(table, axis=1) == pytest.approx(1, abs=1e-5)
    assert load_encoder(tmp_path).embed(people.images) == pytest.approx(table, abs=1e-5)


def test_large_pictures_are_averaged_down_first():
    images = np.random.default_rng(0).uniform(-1, 1, (3, 2, 128, 128)).astype(np.float32)
    slices = ms.SliceSet(images, ["a", "a", "b"], channels=("x", "y"))
    data = tensors_for(slices)
    assert data["images"].shape == (3, 2, 64, 64) and data["subjects"].tolist() == [0, 0, 1]
    assert SimCLR(2, 64).embed(images).shape == (3, 64)


def test_batches_are_embedded_as_single_pictures_are():
    """Of 64 and of 128 pixels, in batches that leave a rest; an image that is not finite is refused in the last."""
    encoder = SimCLR(2, 64, width=8, features=16)
    for size in (64, 128):
        images = np.random.default_rng(0).uniform(-1, 1, (11, 2, size, size)).astype(np.float32)
        with torch.no_grad():
            small = torch.from_numpy(images).unflatten(2, (64, -1)).unflatten(4, (64, -1)).mean((3, 5))
            found = torch.cat([encoder.encoder(x[None]) for x in small])
        assert encoder.embed(images, batch_size=4) == pytest.approx(
            (found / found.norm(dim=1)[:, None]).numpy(), abs=1e-5
        )
        images[-1, 0, 0, 0] = np.nan
        with pytest.raises(ValueError, match="NaN"):
            encoder.embed(images, batch_size=4)


def test_tensors_are_those_of_every_slice(monkeypatch):
    monkeypatch.setattr(portions, "PORTION", 4)
    images = np.random.default_rng(0).uniform(-1, 1, (11, 1, 128, 128)).astype(np.float32)
    data = tensors_for(ms.SliceSet(images, [f"p{i // 2}" for i in range(11)], channels=("x",)))
    expected = images.reshape(11, 1, 64, 2, 64, 2).mean((3, 5))
    assert np.array_equal(data["images"].numpy(), expected) and data["subjects"].tolist() == [i // 2 for i in range(11)]
    small = ms.SliceSet(expected, ["p"] * 11, channels=("x",))
    held = tensors_for(small)["images"]
    held += 1  # a copy: what is done to the tensors does not change the slices
    assert small.images.max() <= 1
