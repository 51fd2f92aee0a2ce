"""Diffusion from masks: the mask decides, the seed varies, published weights draw the same."""

import pytest
import torch

import medsynth_lib as ms
from medsynth_lib.models.registry import load_translator


def halves(n=8):
    """Labels 0, 1, 2 in blocks; each has its own brightness."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.nn.functional.interpolate(torch.rand(n, 1, 4, 4, generator=generator), size=16)[:, 0]
    labels = (labels * 3).to(torch.uint8)
    return {"images": (labels[:, None].float() - 1) * 0.8, "labels": labels}


def tiny():
    torch.manual_seed(0)
    return ms.MaskDiffusion(1, 3, 16, 0.7, patch=2, widths=(16, 32), solver_steps=8, learning_rate=3e-3)


def test_it_learns_which_brightness_belongs_to_which_label():
    model, data = tiny(), halves()
    optimisers = model.optimisers()
    for k in range(150):
        torch.manual_seed(k)
        model.step(data, optimisers, 0.0)
    fresh = halves(12)["labels"][8:]  # masks it has not seen
    drawn = model.translate(fresh, seed=0)[:, 0]
    means = [drawn[fresh == label].mean().item() for label in range(3)]
    assert means == pytest.approx([-0.8, 0.0, 0.8], abs=0.2)


def test_published_loaded_and_seeded(tmp_path):
    model, labels = tiny(), halves()["labels"]
    ms.fit(model, halves(), tmp_path, images=16, batch_size=4, seed=0, ema_images=8)
    loaded = load_translator(tmp_path)
    first = model.translate(labels, seed=1)
    assert first.shape == (8, 1, 16, 16) and torch.equal(loaded.translate(labels, seed=1), first)
    assert not torch.equal(loaded.translate(labels, seed=2), first), "noise draws another image"


def test_it_draws_no_masks():
    with pytest.raises(TypeError, match="call translate"):
        tiny().sample(2, seed=0)
