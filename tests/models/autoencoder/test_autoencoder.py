"""Codes that are small images: shapes, what the loss is, and that images come back."""

import pytest
import torch

import medsynth_lib as ms
from medsynth_lib.models.autoencoder import autoencoder


@pytest.fixture
def coder():
    torch.manual_seed(0)
    return ms.Autoencoder(2, 3, 16, width=8, latent=2, patch=2)


@pytest.fixture
def batch():
    torch.manual_seed(1)
    images = torch.rand(6, 2, 16, 16) * 2 - 1
    return {"images": images, "labels": torch.randint(0, 3, (6, 16, 16), dtype=torch.uint8)}


def test_codes_keep_their_place(coder, batch):
    """A change in one corner changes the latents there most (untrained; group norm carries some of it everywhere)."""
    moved = {**batch, "images": batch["images"].clone()}
    moved["images"][:, :, :4, :4] *= -1
    before, after = (coder.latents(**b, batch_size=4)["mean"] for b in (batch, moved))
    assert before.shape == (6, *coder.latent_shape) == (6, 2, 4, 4)
    change = (after - before).abs().mean((0, 1))
    assert change[:2, :2].mean() > 1.3 * change[2:, 2:].mean()


def test_the_step_is_l1_cross_entropy_and_a_little_kl(coder, batch, monkeypatch):
    monkeypatch.setattr(autoencoder.torch, "randn_like", torch.zeros_like)
    mean, log_variance = coder.encode(**batch)
    drawn = coder.joint_image(mean)
    l1 = (drawn[:, :2] - batch["images"]).abs().mean()
    right = drawn[:, 2:].log_softmax(1).gather(1, batch["labels"][:, None].long())
    q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum() / 6
    asked = []
    coder.backward = lambda loss: asked.append(loss.item()) or loss.backward()
    losses = coder.step(batch, coder.optimisers(), 0.0)
    assert losses["l1"].item() == pytest.approx(l1.item(), rel=1e-5)
    assert losses["label"].item() == pytest.approx(-right.mean().item(), rel=1e-5)
    assert losses["kl"].item() == pytest.approx(kl.item(), rel=1e-4)
    assert asked[0] == pytest.approx(l1.item() - right.mean().item() + 1e-6 * kl.item(), rel=1e-5)


def test_pictures_come_back(tmp_path):
    torch.manual_seed(0)
    coder = ms.Autoencoder(1, 2, 16, width=16, latent=4)
    labels = torch.zeros(4, 16, 16, dtype=torch.uint8)
    for k in range(4):
        labels[k, 2 + 2 * k : 8 + 2 * k, 4:10] = 1
    tensors = {"images": labels[:, None].float() - 0.5, "labels": labels}
    ms.fit(coder, tensors, tmp_path, images=1600, batch_size=4, seed=0)
    images, found = coder.reconstruct(**tensors)
    assert (found == labels).float().mean() > 0.98
    assert (images - tensors["images"]).abs().mean() < 0.1
