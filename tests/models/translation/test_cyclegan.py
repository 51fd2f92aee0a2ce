"""CycleGAN: four calls give the gradients of the textbook's six; losses by hand; a domain shift that is undone."""

import numpy as np
import pytest
import torch

import medsynth_lib as ms
from medsynth_lib.models.registry import load_translator
from medsynth_lib.models.translation.cyclegan import CURVE_RATE, KNOTS, CycleGAN, IntensityCurve


def small(**changes):
    torch.manual_seed(0)
    return CycleGAN(1, 16, **{"width": 4, "blocks": 1, "discriminator_layers": 1, "pool_size": 16, **changes})


def batch(n=4):
    generator = torch.Generator().manual_seed(1)
    return {name: torch.rand(n, 1, 16, 16, generator=generator) * 2 - 1 for name in "ab"}


def gradients(net):
    return torch.cat([weight.grad.flatten() for weight in net.parameters()])


def test_the_concatenated_step_has_the_textbook_s_gradients():
    method, (a, b) = small(), batch().values()
    for weight in method.generator_a.parameters():  # a new generator's last layer is 0, and lets no gradient through
        torch.nn.init.normal_(weight, std=0.1)
    method.generator_b.load_state_dict(method.generator_a.state_dict())

    def mean_square(x):
        return x.square().mean()

    fake_b, fake_a = method.generator_b(a), method.generator_a(b)
    textbook = mean_square(method.discriminator_b(fake_b) - 1) + mean_square(method.discriminator_a(fake_a) - 1)
    textbook = textbook + 10 * (
        (method.generator_a(fake_b) - a).abs().mean() + (method.generator_b(fake_a) - b).abs().mean()
    )
    textbook = textbook + 5 * ((method.generator_b(b) - b).abs().mean() + (method.generator_a(a) - a).abs().mean())
    textbook.backward()
    expected = [gradients(net) for net in (method.generator_a, method.generator_b)]
    for net in method.modules().values():
        net.zero_grad()

    losses = method.generator_losses(a, b, method.forward(a, b))
    loss = losses["g"] + method.cycle_weight * losses["cycle"] + method.identity_weight * losses["identity"]
    assert loss.item() == pytest.approx(textbook.item(), rel=1e-5)
    loss.backward()
    for net, wanted in zip((method.generator_a, method.generator_b), expected, strict=True):
        assert torch.allclose(gradients(net), wanted, atol=1e-5 * wanted.abs().max().item())


def test_the_generators_are_called_four_times_and_the_discriminators_four():
    method, calls = small(), []
    for name, net in method.modules().items():
        net.register_forward_hook(lambda *_, name=name: calls.append(name))
    method.step(batch(), method.optimisers(), 0.0)
    assert sorted(calls) == sorted([*["generator_a", "generator_b"] * 2, *["discriminator_a", "discriminator_b"] * 2])


def test_everything_learns_and_the_pool_keeps_the_fakes():
    method = small()
    before = method.weights()
    before = {name: value.clone() for name, value in before.items()}
    losses = method.step(batch(), method.optimisers(), 0.5)
    assert set(losses) == {"g", "cycle", "identity", "d"} and all(value.isfinite() for value in losses.values())
    changed = {name.split(".")[0] for name, value in method.weights().items() if not torch.equal(value, before[name])}
    assert changed == set(method.networks)
    assert method.discriminator_a.pool.filled == 4


def test_the_rate_falls_linearly_in_the_second_half():
    method = small()
    assert [method.lr_lambda(x) for x in (0.0, 0.5, 0.75, 1.0)] == [1.0, 1.0, 0.5, 0.0]


def test_published_without_pictures_and_loaded_again(tmp_path):
    method = small()
    ms.fit(method, batch(8), tmp_path, images=16, batch_size=4, seed=0, ema_images=8)
    assert not any("pool" in name for name in method.weights())
    loaded, images = load_translator(tmp_path), batch()["a"]
    assert torch.equal(loaded.translate(images, to="b"), method.translate(images, to="b"))
    assert loaded.translate(images, to="a").shape == images.shape


def test_an_inverted_contrast_is_learned_from_other_pictures():
    """B is A with light and dark exchanged and no image in common: the mean error must fall far below no change."""
    generator = torch.Generator().manual_seed(2)
    blobs = torch.nn.functional.interpolate(torch.rand(80, 1, 4, 4, generator=generator), size=16, mode="bilinear")
    images = blobs * 0.6 - 0.9  # dark images; their negatives are light ones
    method = small(width=8, learning_rate=2e-3, identity_weight=0.0)
    optimisers = method.optimisers()
    for k in range(80):
        torch.manual_seed(k)
        rows = torch.randint(0, 32, (2, 8))
        method.step({"a": images[:32][rows[0]], "b": -images[32:64][rows[1]]}, optimisers, 0.0)
    unseen = images[64:]
    error = (method.translate(unseen, to="b") + unseen).abs().mean()
    assert error < 0.35 * (2 * unseen).abs().mean()


def test_an_identity_without_weight_is_not_computed():
    method = small(identity_weight=0.0)
    with_it, without = small().forward(*batch().values()), method.forward(*batch().values())
    assert set(with_it) - set(without) == {"same_a", "same_b"}
    assert all(torch.allclose(without[name], with_it[name], atol=1e-6) for name in without)
    assert "identity" not in method.step(batch(), method.optimisers(), 0.0)


def test_the_curve_is_a_broken_line_through_its_heights():
    curve = IntensityCurve(1, 1)
    heights = torch.randn(KNOTS, generator=torch.Generator().manual_seed(0))
    curve.heights.weight.data.copy_(heights.view(1, -1, 1, 1) / CURVE_RATE)
    curve.heights.bias.data.zero_()
    x = torch.linspace(-1, 1, 101).view(1, 1, 1, -1)
    expected = np.interp(x.numpy().ravel(), np.linspace(-1, 1, KNOTS), heights.numpy())
    assert curve(x).detach().numpy().ravel() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_every_patch_gives_pictures_of_the_same_size_and_starts_by_changing_nothing(patch):
    net, images = small(patch=patch, blocks=2).generator_b, batch()["a"]
    drawn = net(images)
    assert drawn.shape == (4, 1, 16, 16)
    assert torch.allclose(drawn, images, atol=0.05)


def test_the_curves_learn_alone_at_first():
    method = small()
    before = {name: value.clone() for name, value in method.weights().items()}
    method.step(batch(), method.optimisers(), 0.1)
    changed = {name for name, value in method.weights().items() if not torch.equal(value, before[name])}
    assert {name for name in changed if "generator" in name} == {
        f"generator_{d}.curve.heights.{part}" for d in "ab" for part in ("weight", "bias")
    }
    method.step(batch(), method.optimisers(), 0.3)
    now = method.weights()
    assert any(not torch.equal(now[name], before[name]) for name in now if name.startswith("generator_a.net"))


@pytest.mark.parametrize(("patch", "size"), [(3, 16), (2, 18)])
def test_an_unknown_patch_or_size_is_refused(patch, size):
    with pytest.raises(ValueError, match=f"CycleGAN: patch {patch} for {size} pixels"):
        CycleGAN(1, size, patch=patch)
