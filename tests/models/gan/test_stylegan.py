"""What StyleGAN 1, 2 and 3 share: the game, lazy penalties, ADA's steering, truncation, two processes."""

import pytest
import torch

from medsynth_lib.models.gan.stylegan import R1_EVERY
from medsynth_lib.models.gan.stylegan2 import StyleGAN2


def small(**changes):
    torch.manual_seed(0)
    return StyleGAN2(2, 3, 16, **{"width": 8, "fmap_max": 8, "latent": 4, **changes})


def batch(n=8):
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 3, (n, 16, 16), generator=generator, dtype=torch.uint8)
    return {"images": torch.rand(n, 2, 16, 16, generator=generator) * 2 - 1, "labels": labels}


def steps(method, count, data=None):
    optimisers, found = method.optimisers(), []
    for method.global_step in range(count):
        found.append(method.step(data or batch(), optimisers, 0.0))
    return found


def test_unknown_settings_are_refused():
    with pytest.raises(ValueError, match="StyleGAN: loss 'hinge' or view 'ada' is unknown"):
        small(loss="hinge")


def test_r1_is_lazy_and_r3gan_s_penalties_are_not():
    found = steps(small(view="none"), R1_EVERY + 1)
    assert [k for k, losses in enumerate(found) if "r1" in losses] == [0, R1_EVERY]
    assert all({"r1", "r2"} <= losses.keys() for losses in steps(small(loss="relativistic", view="none"), 3))


def test_both_networks_learn_and_d_stays_trainable():
    method = small(path_length=True)
    before = {name: value.clone() for name, value in method.weights().items()}
    found = steps(method, 2)
    assert "path" in found[0] and all(value.isfinite() for losses in found for value in losses.values())
    after = method.weights()
    for net in ("generator.mapping", "generator.synthesis", "discriminator"):
        assert any(not torch.equal(after[name], before[name]) for name in before if name.startswith(net))
    assert all(weight.requires_grad for weight in method.discriminator.parameters())


def constant(value, method):
    def d(x):
        return torch.full((len(x),), value) + 0 * x.sum((1, 2, 3))

    d.p, d.sign_sum = method.discriminator.p, method.discriminator.sign_sum
    return d


@pytest.mark.parametrize(("answer", "direction"), [(3.0, 1), (-3.0, -1)])
def test_p_goes_up_on_a_d_that_overfits_and_down_on_one_that_does_not(answer, direction):
    method = small(ada_images=320)
    p = method.discriminator.p.fill_(0.4)
    method.discriminator = constant(answer, method)
    for method.global_step in range(8):
        method.steer(method.discriminator(torch.zeros(8, 5, 16, 16)).sign().mean(), 8)
    assert p.item() == pytest.approx(0.4 + direction * 64 / 320)


def test_a_d_that_sees_eight_pictures_again_and_again_raises_p():
    """No planted answer: a real D memorizes 8 images against a generator that hardly learns."""
    method = small(ada_images=2000, learning_rate=1e-2, width=16, fmap_max=16)
    p = [losses["p"].item() for losses in steps(method, 60)]
    assert p[0] == 0 and p[-1] > 0.05


def test_truncation_pulls_styles_together_and_noise_is_seeded():
    method = small()
    for net in method.modules().values():
        net.eval()
    assert torch.equal(method.sample(4, seed=1)[0], method.sample(4, seed=1)[0])
    assert not torch.equal(method.sample(4, seed=1)[0], method.sample(4, seed=2)[0])
    assert torch.equal(method.sample(2, 1, psi=0.0)[0][0], method.sample(2, 1, psi=0.0)[0][0])
    assert method.styles(50, 0, psi=0.3).std(0).mean() < 0.5 * method.styles(50, 0).std(0).mean()
    state = torch.get_rng_state()
    method.sample(2, 0)
    assert torch.equal(torch.get_rng_state(), state), "sampling leaves the global generator alone"


def test_crossing_takes_coarse_layers_from_the_left_and_fine_ones_from_the_top():
    method = small()
    coarse, fine = torch.full((2, 4), 1.0), torch.full((3, 4), 2.0)
    ws = method.cross(coarse, fine).view(3, 4, 6, 4)
    assert torch.equal(ws[1, 0], coarse[:1].expand(6, 4)) and torch.equal(ws[0, 1], fine[:1].expand(6, 4))
    assert torch.all(ws[1:, 1:, :3] == 1) and torch.all(ws[1:, 1:, 3:] == 2)
    assert torch.all(ws[0, 0] == 0), "the mean style of a new generator"
    method.generator.layers = 5  # StyleGAN 3 may have an odd number
    odd = method.cross(coarse, fine).view(3, 4, 5, 4)
    assert torch.all(odd[1:, 1:, :2] == 1) and torch.all(odd[1:, 1:, 2:] == 2)


def test_projection_finds_the_way_back_to_an_own_picture():
    method = small(width=16, fmap_max=16)
    for net in method.modules().values():
        net.eval()
    images, labels = method.render(method.styles(2, 5))
    _, errors = method.project(images, labels, steps=60)
    assert errors[-1].mean() < 0.5 * errors[0].mean(), "labels drawn as 0 or 1 cannot be met exactly"
    assert all(weight.requires_grad for weight in method.generator.parameters())


def test_gamma_follows_the_size():
    assert small().r1_weight(16) == pytest.approx(0.0002 * 256 / 16 / 2)
    assert small(gamma=5.0).r1_weight(16) == 2.5
