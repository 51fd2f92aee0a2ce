"""The noise schedule against the paper; diffusers' samplers on it against a known distribution."""

import pytest
import torch

from medsynth_lib.models.diffusion.solvers import TIMESTEPS, noise_schedule, solver, walk


def exact(mean, deviation):
    """The best guess of the noise for data N(mean, deviation^2), in closed form."""
    alphas = noise_schedule().alphas_cumprod

    def predictor(x, t):
        a = alphas[t].view(-1, *[1] * (x.dim() - 1))
        return (1 - a).sqrt() * (x - a.sqrt() * mean) / (a * deviation**2 + 1 - a)

    return predictor


def test_schedule_is_ho_et_al():
    alphas = torch.cumprod(1 - torch.linspace(1e-4, 0.02, TIMESTEPS), 0)
    assert torch.allclose(noise_schedule().alphas_cumprod, alphas, rtol=1e-4)
    assert alphas[-1] < 1e-4  # nothing of the image is left at the last step


@pytest.mark.parametrize(
    ("kind", "steps", "s"),
    [
        ("DPM-Solver++", 10, 0.3),
        ("DPM-Solver++", 20, 0.1),
        ("DPM-Solver++", 20, 0.3),
        ("UniPC", 50, 0.3),
        ("Heun", 50, 0.3),
        ("DDIM", 200, 0.3),
        ("DDPM", 1000, 0.3),
    ],
)
def test_they_reach_a_known_gaussian(kind, steps, s):
    generator = torch.Generator().manual_seed(0)
    x = walk(exact(0.3, s), torch.randn(64, 800, generator=generator), solver(steps, kind), generator)
    assert x.mean().item() == pytest.approx(0.3, abs=0.01)
    assert x.std().item() == pytest.approx(s, rel=0.05)


@pytest.mark.parametrize(("kind", "steps", "nfe"), [("DPM-Solver++", 6, 6), ("Heun", 6, 11), ("DDPM", 9, 9)])
def test_evaluations_are_counted_by_the_timesteps(kind, steps, nfe):
    calls, generator, way = [], torch.Generator().manual_seed(0), solver(steps, kind)
    walk(lambda x, t: calls.append(t.shape) or x, torch.randn(2, 3), way, generator)
    assert calls == [(2,)] * nfe and nfe == len(way.timesteps)
