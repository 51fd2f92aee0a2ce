"""DCGAN: shapes, losses against closed forms, spectral norm, the shift, determinism, save and load."""

import math

import pytest
import torch

import medsynth_lib as ms
from medsynth_lib.data import joint
from medsynth_lib.models.gan.dcgan import DCGAN
from medsynth_lib.models.registry import load_generator


def small(**changes):
    torch.manual_seed(0)
    return DCGAN(2, 3, 16, width=8, latent=5, **changes)


def batch(n=6):
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 3, (n, 16, 16), generator=generator, dtype=torch.uint8)
    return {"images": torch.rand(n, 2, 16, 16, generator=generator) * 2 - 1, "labels": labels}


def constant(value):
    """A discriminator that answers `value` to everything, with a gradient."""
    return lambda x: value + 0 * x.sum((1, 2, 3))


@pytest.mark.parametrize(("channels", "labels", "size"), [(1, 0, 16), (1, 3, 32), (4, 4, 64)])
def test_shapes(channels, labels, size):
    method = DCGAN(channels, labels, size, width=8, latent=5)
    image = method.generator(torch.randn(2, 5))
    assert image.shape == (2, channels + labels, size, size) and image.abs().max() <= 1
    assert method.discriminator(image).shape == (2,)
    images, masks = method.sample(3, seed=0)
    assert images.shape == (3, channels, size, size) and images.dtype == torch.float32
    assert masks.shape == (3, size, size) and masks.dtype == torch.uint8 and masks.max() < max(labels, 1)


def test_label_channels_are_probabilities_that_compete():
    image = small().generator(torch.randn(4, 5))
    assert torch.allclose((image[:, 2:] + 1).sum(1) / 2, torch.ones(4, 16, 16), atol=1e-5)


def test_losses_of_a_discriminator_that_cannot_tell():
    """D = 1/2 everywhere: the value of the game is -2 log 2, G pays log 2."""
    method = small(augment=False)
    method.discriminator = constant(0.0)
    image = torch.zeros(4, 5, 16, 16)
    losses = method.discriminator_loss(image, image)
    assert losses["d"].item() == pytest.approx(2 * math.log(2), rel=1e-6)
    assert losses["d_sign_real"].item() == 0
    assert method.generator_loss(image).item() == pytest.approx(math.log(2), rel=1e-6)


@pytest.mark.parametrize("logit", [-3.0, 0.5, 4.0])
def test_losses_are_the_logarithms_of_the_game(logit):
    method = small(augment=False)
    method.discriminator = constant(logit)
    image, p = torch.zeros(4, 5, 16, 16), torch.sigmoid(torch.tensor(logit, dtype=torch.float64))
    losses = method.discriminator_loss(image, image)
    assert losses["d"].item() == pytest.approx(-(p.log() + (1 - p).log()).item(), rel=1e-5)
    assert losses["d_sign_real"].item() == math.copysign(1, logit)
    assert method.generator_loss(image).item() == pytest.approx(-p.log().item(), rel=1e-5)


def test_real_and_generated_pictures_are_not_mixed_up():
    method = small(augment=False)
    method.discriminator = lambda x: 10 * x[:, 0, 0, 0]
    real, fake = torch.ones(4, 5, 16, 16), -torch.ones(4, 5, 16, 16)
    assert method.discriminator_loss(real, fake)["d"] < 1e-3 < method.discriminator_loss(fake, real)["d"]


def largest_singular_value(layer):
    return torch.linalg.svdvals(layer.weight.detach().flatten(1))[0].item()


def test_spectral_norm_holds_every_layer_at_one():
    layers = [layer for layer in small().discriminator.net if hasattr(layer, "weight")]
    assert len(layers) == 3
    assert all(largest_singular_value(layer) == pytest.approx(1, abs=0.05) for layer in layers)
    without = [layer for layer in small(spectral=False).discriminator.net if hasattr(layer, "weight")]
    assert not all(largest_singular_value(layer) == pytest.approx(1, abs=0.05) for layer in without)


def test_spectral_norm_still_holds_after_training():
    method = small(learning_rate=1e-2)
    optimisers = method.optimisers()
    for _ in range(30):
        method.step(batch(), optimisers, 0.0)
    layers = [layer for layer in method.discriminator.net if hasattr(layer, "weight")]
    assert all(largest_singular_value(layer) == pytest.approx(1, abs=0.1) for layer in layers)


def test_one_step_trains_both_networks_and_leaves_the_discriminator_trainable():
    method = small()
    before = {name: value.clone() for name, value in method.weights().items()}
    losses = method.step(batch(), method.optimisers(), 0.0)
    assert losses.keys() == {"d", "d_sign_real", "g"}
    weights = method.weights()
    for net in ("generator", "discriminator"):
        assert any(not torch.equal(weights[name], before[name]) for name in before if name.startswith(net))
    assert all(weight.requires_grad for weight in method.discriminator.parameters())


def test_the_generators_step_leaves_no_gradient_in_the_discriminator():
    """D's gradients after a step are those of its own loss alone."""
    method = small(augment=False, spectral=False)
    torch.manual_seed(5)
    method.step(batch(), method.optimisers(), 0.0)
    mine = method.discriminator.net[0].weight.grad.clone()
    again = small(augment=False, spectral=False)
    torch.manual_seed(5)
    data = batch()
    fake = again.generator(torch.randn(6, 5)).detach()
    again.discriminator_loss(joint.encode(data["images"], data["labels"], 3), fake)["d"].backward()
    assert torch.allclose(mine, again.discriminator.net[0].weight.grad, atol=1e-6)


def test_same_seed_same_training_and_samples(tmp_path):
    records = [
        ms.fit(small(), batch(32), tmp_path / name, images=64, batch_size=8, seed=1, ema_images=20) for name in "ab"
    ]
    assert records[0]["losses"] == records[1]["losses"]
    first, second = (load_generator(tmp_path / name) for name in "ab")
    assert all(torch.equal(x, y) for x, y in zip(first.sample(4, seed=2), second.sample(4, seed=2), strict=True))
    assert not torch.equal(first.sample(4, seed=2)[0], first.sample(4, seed=3)[0])


def test_every_setting_survives_saving_and_loading(tmp_path):
    method = small(learning_rate=3e-4, spectral=False, augment=False, two_scales=1.5, background=0.8)
    ms.fit(method, batch(), tmp_path, images=12, batch_size=6, seed=0)
    loaded = load_generator(tmp_path)
    assert loaded.arguments() == method.arguments()
    assert all(torch.equal(x, y) for x, y in zip(loaded.sample(3, 0), method.sample(3, 0), strict=True))


def test_the_generator_starts_from_the_given_share_of_background():
    torch.manual_seed(0)
    labels = DCGAN(1, 4, 32, width=8, latent=5, background=0.97).generator(torch.randn(64, 5))[:, 1:]
    assert (labels[:, 0].mean().item() + 1) / 2 == pytest.approx(0.97, abs=0.04)
    assert DCGAN(1, 4, 32, width=8, latent=5, background=1.0).generator(torch.randn(4, 5)).isfinite().all()
