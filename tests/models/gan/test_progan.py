"""Progressive GAN: growing changes nothing at alpha 0, the schedule, batches, and growth that is saved."""

import pytest
import torch

import medsynth_lib as ms
from medsynth_lib.models.gan import progan
from medsynth_lib.models.gan.progan import ProGAN, double, halve
from medsynth_lib.models.registry import load_generator


def small(**changes):
    torch.manual_seed(0)
    return ProGAN(2, 3, 16, **{"width": 8, "fmap_max": 8, "latent": 4, **changes})


@pytest.mark.parametrize("patch", [1, 2])
def test_growing_leaves_the_picture_unchanged_at_alpha_zero(patch):
    method, z = small(patch=patch), torch.randn(4, 4)
    last = method.stages - 1
    method.generator.grow(last - 1, 1.0)
    before = method.generator(z)
    method.generator.grow(last, 0.0)
    after = method.generator(z)
    assert before.shape == (4, 5, 8, 8) and after.shape == (4, 5, 16, 16)
    assert torch.allclose(after, double(before), atol=1e-6)
    method.generator.grow(last, 0.5)
    assert not torch.allclose(method.generator(z), double(before), atol=1e-3)


@pytest.mark.parametrize("patch", [1, 2])
def test_growing_leaves_the_score_unchanged_at_alpha_zero(patch):
    method, image = small(patch=patch), torch.randn(4, 5, 16, 16)
    last = method.stages - 1
    method.discriminator.grow(last - 1, 1.0)
    before = method.discriminator(halve(image))
    method.discriminator.grow(last, 0.0)
    assert torch.allclose(method.discriminator(image), before, atol=1e-5)


def test_real_pictures_fade_in_alike():
    method, image = small(), torch.randn(4, 5, 16, 16)
    assert torch.equal(method.real_at(image, 2, 1.0), image)
    assert torch.allclose(method.real_at(image, 2, 0.0), double(halve(image)))
    assert torch.allclose(method.real_at(image, 0, 1.0), halve(halve(image)))


def test_the_schedule_starts_small_and_ends_whole():
    method = small(full_size=0.4)
    assert method.stage_at(0.0) == (0, 1.0) and method.stage_at(0.31) == (1, pytest.approx(2 * 0.01 / 0.3))
    assert method.stage_at(0.999) == (2, 1.0)
    alphas = [method.stage_at(k / 1000) for k in range(1000)]
    assert [stage for stage, _ in alphas] == sorted(stage for stage, _ in alphas)


def test_batches_are_larger_at_low_resolution_and_end_with_their_stage():
    method = small(full_size=0.4, most_batches=4)
    assert method.batch_size(16, 0, 100_000) == 64
    assert method.batch_size(16, 31_000, 100_000) == 32
    assert method.batch_size(16, 99_000, 100_000) == 16
    assert method.batch_size(16, 29_990, 100_000) == 16


@pytest.mark.parametrize(("loss", "parts"), [("r1", {"d", "d_sign_real", "r1", "g"}), ("wgan-gp", {"d", "gp", "g"})])
def test_both_losses_take_a_step(loss, parts):
    method = small(loss=loss)
    batch = {"images": torch.rand(8, 2, 16, 16) * 2 - 1, "labels": torch.zeros(8, 16, 16, dtype=torch.uint8)}
    before = method.weights()["generator.dense.weight"].clone()
    assert set(method.step(batch, method.optimisers(), 0.99)) == parts
    assert not torch.equal(before, method.weights()["generator.dense.weight"])


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="known: r1, wgan-gp"):
        small(loss="hinge")


def test_growth_is_saved_with_the_weights(tmp_path):
    method = small(full_size=0.3)
    tensors = {"images": torch.rand(8, 2, 16, 16) * 2 - 1, "labels": torch.zeros(8, 16, 16, dtype=torch.uint8)}
    ms.fit(method, tensors, tmp_path, images=16, batch_size=4, seed=0, ema_images=10)
    loaded = load_generator(tmp_path)
    assert loaded.generator.stage == 2 and loaded.generator.alpha.item() == pytest.approx(1 / 3, abs=1e-6)
    assert torch.equal(loaded.sample(2, 0)[0], method.sample(2, 0)[0])


def test_samples_before_the_end_of_growth_are_enlarged():
    method = small()
    method.generator.grow(0, 1.0)
    images, labels = method.sample(3, seed=0)
    assert images.shape == (3, 2, 16, 16) and labels.shape == (3, 16, 16)
    assert torch.equal(images[..., :4, :4], images[..., :1, :1].expand(-1, -1, 4, 4))


def test_fades_in_where_doubling_gives_float32(monkeypatch):
    """As `interpolate` does on a GPU, under autocast, in torch 2.11."""
    generator = small().generator
    generator.grow(1, 0.5)
    monkeypatch.setattr(progan, "double", lambda x: double(x).float())
    with torch.autocast("cpu", torch.bfloat16):
        assert generator(torch.randn(2, 4)).isfinite().all()
