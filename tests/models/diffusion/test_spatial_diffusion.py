"""Conditioned latent diffusion: who is told what, guidance, and that the condition is obeyed."""

import numpy as np
import pytest
import torch

import medsynth_lib as ms
from medsynth_lib.models.diffusion.guidance import DROPPED
from medsynth_lib.models.diffusion.spatial_diffusion import lesion_edges, lesion_kinds

CODER = {"channels": 1, "labels": 2, "size": 16, "width": 8, "latent": 2, "patch": 2}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ms.SpatialDiffusion(1, 2, 16, CODER, kinds=3, widths=(8, 16), attention=False, solver_steps=3)


def test_guidance_0_is_not_told_and_1_is_told(model):
    kinds = torch.tensor([0, 1, 2, 1])
    silent, told = model.sample(4, seed=1), model.sample(4, seed=1, kinds=kinds)
    assert torch.allclose(model.sample(4, seed=1, kinds=kinds, guidance=0.0)[0], silent[0], atol=1e-4)
    assert torch.allclose(model.sample(4, seed=1, kinds=kinds, guidance=1.0 + 1e-6)[0], told[0], atol=1e-3)
    assert not torch.allclose(told[0], silent[0], atol=1e-3)


def test_a_tenth_of_the_slices_is_not_told_slice_by_slice(model):
    torch.manual_seed(0)
    (kinds,) = model.condition({"kinds": torch.ones(20_000, dtype=torch.long)})
    assert set(kinds.tolist()) == {1, 3}
    assert (kinds == 3).float().mean().item() == pytest.approx(DROPPED, abs=0.01)


def test_one_scale_per_channel_of_the_code(model):
    coder = ms.Autoencoder(**CODER)
    torch.manual_seed(1)
    mean = torch.tensor([3.0, 0.0]).view(1, 2, 1, 1) + torch.tensor([0.5, 4.0]).view(1, 2, 1, 1) * torch.randn(
        500, 2, 4, 4
    )
    codes = {"mean": mean, "log_variance": torch.full_like(mean, 0.25).log()}
    model = ms.SpatialDiffusion.of(coder, codes, kinds=3, widths=(8, 16), attention=False)
    assert model.denoiser.shift.flatten().tolist() == pytest.approx([3.0, 0.0], abs=0.1)
    assert model.denoiser.scale.flatten().tolist() == pytest.approx(
        [(0.25 + 0.25) ** 0.5, (16 + 0.25) ** 0.5], rel=0.03
    )


def test_what_is_asked_for_is_drawn(tmp_path):
    """Codes of kind 0 are low, of kind 1 high; not asked, both come."""
    torch.manual_seed(0)
    kinds = torch.arange(400) % 2
    mean = (2.0 * kinds - 1).view(-1, 1, 1, 1) * torch.ones(1, 2, 4, 4) + 0.1 * torch.randn(400, 2, 4, 4)
    codes = {"mean": mean, "log_variance": torch.full_like(mean, 1e-4).log(), "kinds": kinds}
    model = ms.SpatialDiffusion.of(ms.Autoencoder(**CODER), codes, kinds=2, widths=(16, 16), attention=False)
    ms.fit(model, codes, tmp_path, images=24_000, batch_size=32, seed=0, ema_images=2_000)
    drawn = []
    model.autoencoder.decode = lambda z: drawn.append(z.mean((1, 2, 3)))
    model.sample(64, seed=1, kinds=torch.arange(64) % 2)
    model.sample(64, seed=1)
    asked, free = drawn
    assert (asked[1::2] > 0.5).all() and (asked[::2] < -0.5).all()
    assert 0.2 < (free > 0).float().mean() < 0.8


def test_kinds_of_lesions():
    labels = np.zeros((5, 4, 4), np.uint8)
    for k, area in enumerate((0, 1, 4, 9, 16)):
        labels[k].flat[:area] = 1
    edges = lesion_edges(labels, 2)
    assert edges == [6.5]
    assert lesion_kinds(labels, edges).tolist() == [0, 1, 1, 2, 2]
