"""Diffusion on a VAE's latents: standardised, drawn anew at every step, published whole."""

import pytest
import torch

import medsynth_lib as ms
from medsynth_lib.models.registry import load_generator


@pytest.fixture
def vae():
    torch.manual_seed(0)
    return ms.VAE(1, 2, 16, width=8, latent=3)


@pytest.fixture
def latents():
    torch.manual_seed(1)
    mean = torch.tensor([2.0, -1.0, 0.0]) + torch.tensor([3.0, 0.1, 1.0]) * torch.randn(4000, 3)
    return {"mean": mean, "log_variance": torch.full((4000, 3), 0.5).log()}


def test_latents_are_the_encoders(vae):
    images, labels = torch.rand(5, 1, 16, 16) * 2 - 1, torch.randint(0, 2, (5, 16, 16), dtype=torch.uint8)
    with torch.no_grad():
        mean, log_variance = vae.encoder(ms.joint.encode(images, labels, 2))
    found = vae.latents(images, labels, batch_size=2)
    assert torch.allclose(found["mean"], mean, atol=1e-6)
    assert torch.allclose(found["log_variance"], log_variance, atol=1e-6)


def test_standardised_with_the_spread_of_drawn_latents_not_of_their_means(vae, latents):
    model = ms.LatentDiffusion.of(vae, latents, width=16, blocks=1)
    z = latents["mean"] + latents["log_variance"].mul(0.5).exp() * torch.randn(4000, 3)
    u = (z - model.denoiser.shift) / model.denoiser.scale
    assert u.mean(0).abs().max() < 0.05 and (u.std(0) - 1).abs().max() < 0.05


def test_noise_is_fresh_at_every_step(vae, latents, monkeypatch):
    model = ms.LatentDiffusion.of(vae, latents, width=16, blocks=1)
    seen = []
    monkeypatch.setattr(model.denoiser, "loss", lambda u: seen.append(u) or model.denoiser.net(u, u[:, 0]).square())
    optimisers = model.optimisers()
    batch = {name: value[:4] for name, value in latents.items()}
    for _ in range(2):
        model.step(batch, optimisers, 0.5)
    assert not torch.allclose(seen[0], seen[1])


def test_it_learns_a_distribution_that_the_prior_misses(vae, tmp_path):
    """Latents at two points: N(0, I) lies between them, the model must not."""
    torch.manual_seed(2)
    side = torch.where(torch.rand(2000, 1) < 0.25, -1.0, 1.0)
    latents = {"mean": side * torch.tensor([2.0, 1.0, 3.0]), "log_variance": torch.full((2000, 3), 0.01).log()}
    model = ms.LatentDiffusion.of(vae, latents, width=64, blocks=2)
    ms.fit(model, latents, tmp_path, images=100_000, batch_size=128, seed=0, ema_images=5_000)
    drawn = []
    model.autoencoder.decode = lambda z: drawn.append(z)
    model.sample(1000, seed=3)
    z = drawn[0][:, 0]
    assert (z < 0).float().mean().item() == pytest.approx(0.25, abs=0.06)
    assert z[z > 0].mean().item() == pytest.approx(2, abs=0.1) and z[z > 0].std().item() < 0.3


def test_published_with_its_autoencoder_and_its_scale(vae, latents, tmp_path):
    model = ms.LatentDiffusion.of(vae, latents, width=16, blocks=1)
    ms.fit(model, latents, tmp_path, images=64, batch_size=16, seed=0)
    loaded = load_generator(tmp_path)
    assert torch.equal(loaded.denoiser.shift, model.denoiser.shift)
    assert torch.equal(loaded.denoiser.scale, model.denoiser.scale) and loaded.denoiser.scale[0] > 2
    for mine, theirs in zip(model.sample(3, seed=1), loaded.sample(3, seed=1), strict=True):
        assert torch.equal(mine, theirs)
