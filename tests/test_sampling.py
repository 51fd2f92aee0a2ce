"""Samples on disk: interrupted and resumed equals straight."""

import numpy as np
import pytest
import torch

import medsynth_lib as ms
from medsynth_lib import sampling
from medsynth_lib.data.slices import SliceSet


@pytest.fixture
def trained(tmp_path):
    torch.manual_seed(0)
    like = SliceSet(
        images=np.zeros((8, 1, 16, 16), np.float32),
        labels=np.zeros((8, 16, 16), np.uint8),
        subjects=list("aabbccdd"),
        channels=("x",),
        label_names=("background", "thing"),
        source="made",
    )
    method = ms.VAE(1, 2, 16, width=8, latent=4)
    ms.fit(method, ms.joint.tensors_of(like), tmp_path / "model", images=8, batch_size=4, seed=0)
    return method, like, tmp_path / "model"


def test_interrupted_sampling_goes_on_where_it_was(trained, monkeypatch):
    method, like, folder = trained
    monkeypatch.setattr(sampling, "SHARD", 4)
    straight, speed = ms.sample_to_disk(method, 10, 7, like, folder)
    assert len(straight) == 10 and speed["sample_images_per_second"] > 0
    assert SliceSet.load(folder / "samples").hash() == straight.hash()

    sample, calls = method.sample, []

    def breaks_at_the_second_shard(n, seed):
        calls.append(n)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return sample(n, seed)

    method.sample = breaks_at_the_second_shard
    with pytest.raises(KeyboardInterrupt):
        ms.sample_to_disk(method, 10, 7, like, folder)
    resumed, _ = ms.sample_to_disk(method, 10, 7, like, folder)
    assert calls == [4, 4, 4, 2], "the first shard was kept"
    assert resumed.hash() == straight.hash()
    assert not list(folder.glob("samples.shards-*"))


def test_another_seed_gives_other_samples(trained):
    method, like, folder = trained
    first, _ = ms.sample_to_disk(method, 4, 1, like, folder)
    second, _ = ms.sample_to_disk(method, 4, 2, like, folder)
    assert first.hash() != second.hash()
