"""The VAE's loss against closed forms."""

import math

import pytest
import torch

from medsynth_lib.models.autoencoder.vae import LABEL_WEIGHT, VAE


@pytest.fixture
def vae():
    torch.manual_seed(0)
    return VAE(2, 3, 32, width=8, latent=5)


def batch(n=4):
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(n, 2, 32, 32, generator=generator) * 2 - 1
    return images, torch.randint(0, 3, (n, 32, 32), generator=generator, dtype=torch.uint8)


def test_shapes(vae):
    mean, log_variance = vae.encoder(torch.zeros(3, 5, 32, 32))
    assert mean.shape == log_variance.shape == (3, 5)
    assert vae.decoder(mean).shape == (3, 5, 32, 32)
    images, labels = vae.sample(7, seed=0)
    assert images.shape == (7, 2, 32, 32) and labels.shape == (7, 32, 32)
    assert images.min() >= -1 and images.max() <= 1 and labels.max() <= 2


def test_kl_equals_torch_distributions():
    mean, log_variance = torch.randn(64, 5), torch.randn(64, 5)
    q = torch.distributions.Normal(mean, torch.exp(0.5 * log_variance))
    expected = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).mean(0)
    assert torch.allclose(VAE.kl_per_dimension(mean, log_variance), expected, atol=1e-5)


def test_image_term_is_the_gaussian_likelihood_at_its_best_variance(vae):
    images, labels = batch()
    torch.manual_seed(2)
    losses = vae.losses(images, labels, beta=1.0)
    torch.manual_seed(2)
    mean, log_variance = vae.encoder(vae_input(images, labels))
    out = vae.decoder(mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean))[:, :2]
    scale = (out - images).pow(2).mean().sqrt()
    nats = -torch.distributions.Normal(out, scale).log_prob(images).sum(1).mean()
    assert losses["image"].item() == pytest.approx(nats.item(), rel=1e-4)
    for other in (0.9 * scale, 1.1 * scale):  # any other variance is worse
        worse = -torch.distributions.Normal(out, other).log_prob(images).sum(1).mean()
        assert worse > nats


def vae_input(images, labels):
    one_hot = torch.nn.functional.one_hot(labels.long(), 3).permute(0, 3, 1, 2) * 2.0 - 1
    return torch.cat([images, one_hot], dim=1)


def test_parts_of_the_loss_add_up_and_beta_weighs_the_kl(vae):
    images, labels = batch()
    for beta in (0.0, 0.5, 4.0):
        torch.manual_seed(3)
        losses = vae.losses(images, labels, beta)
        expected = losses["image"] + LABEL_WEIGHT * losses["label"] + beta * losses["kl"]
        assert losses["loss"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_an_untrained_decoder_pays_about_log_k_per_label_pixel(vae):
    images, labels = batch()
    assert vae.losses(images, labels, 1.0)["label"].item() == pytest.approx(math.log(3), abs=0.3)


def test_same_seed_same_samples(vae):
    assert torch.equal(vae.sample(3, seed=5)[0], vae.sample(3, seed=5)[0])
    assert not torch.equal(vae.sample(3, seed=5)[0], vae.sample(3, seed=6)[0])
