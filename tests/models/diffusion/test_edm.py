"""EDM: coefficients against the paper and against diffusers' scheduler; samplers against known distributions."""

import pytest
import torch

from medsynth_lib.models.diffusion.edm import Denoiser, solver_of
from medsynth_lib.models.diffusion.solvers import noise_schedule

LEVELS = torch.tensor([0.002, 0.1, 0.5, 3.0, 80.0])


class Exact(torch.nn.Module):
    """The F whose D is the posterior mean of a mixture of Gaussians: weights, means, deviation s."""

    def __init__(self, means, weights, s, sigma_data):
        super().__init__()
        self.means, self.weights, self.s, self.sigma_data = torch.tensor(means), torch.tensor(weights), s, sigma_data

    def forward(self, scaled, level):
        sigma = torch.exp(4 * level).view(-1, *[1] * (scaled.dim() - 1))
        total = sigma**2 + self.sigma_data**2
        x = scaled * total.sqrt()
        v = self.s**2 + sigma**2
        log_share = self.weights.log() - (x[..., None] - self.means) ** 2 / (2 * v[..., None])
        centre = (log_share.softmax(-1) * self.means).sum(-1)
        mean = (self.s**2 * x + sigma**2 * centre) / v
        return (mean - self.sigma_data**2 / total * x) * total.sqrt() / (sigma * self.sigma_data)


def test_inputs_and_targets_of_the_network_have_variance_one_at_every_level():
    torch.manual_seed(0)
    data, denoiser = 0.3 * torch.randn(200_000), Denoiser(torch.nn.Identity(), sigma_data=0.3)
    for sigma in LEVELS:
        c_skip, c_out, c_in = denoiser.coefficients(sigma)
        noisy = data + sigma * torch.randn_like(data)
        assert (c_in * noisy).std().item() == pytest.approx(1, rel=0.01)
        assert ((data - c_skip * noisy) / c_out).std().item() == pytest.approx(1, rel=0.01)


def test_diffusers_scheduler_uses_the_same_coefficients():
    """Only then may its steps be fed with our network; "v_prediction" would turn the sign of c_out."""
    denoiser, solver = Denoiser(torch.nn.Identity(), sigma_data=0.4), solver_of(7, 0.4)
    x, answer = torch.randn(2, 3, 3), torch.randn(2, 3, 3)
    for level, sigma in zip(solver.timesteps, solver.sigmas, strict=False):
        assert level == pytest.approx(sigma.log().item() / 4, abs=1e-6)
        c_skip, c_out, c_in = denoiser.coefficients(sigma)
        assert torch.allclose(solver.scale_model_input(x, level), c_in * x, atol=1e-6)
        solver.is_scale_input_called = False
        assert torch.allclose(solver.precondition_outputs(x, answer, sigma), c_skip * x + c_out * answer, atol=1e-6)
        solver._step_index += 1


def test_the_loss_is_zero_for_a_network_that_knows_and_one_for_a_network_that_is_silent():
    torch.manual_seed(0)
    denoiser = Denoiser(Exact([0.7], [1.0], 0.0, 0.5), sigma_data=0.5)
    assert denoiser.loss(torch.full((64, 3), 0.7)).max() < 1e-4
    silent = Denoiser(torch.nn.Module(), sigma_data=0.5)
    silent.net.forward = lambda x, level: torch.zeros_like(x)
    assert silent.loss(0.5 * torch.randn(50_000, 4)).mean().item() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("way, steps", [("solve", 20), ("heun", 18)])
def test_samplers_reach_a_known_mixture(way, steps):
    """Two narrow modes, 1.4 apart, of unequal weight: shares within 0.03, means within 0.05, deviations within 25 %."""
    means, weights, s = [-0.8, 0.6], [0.3, 0.7], 0.1
    sigma_data = (sum(w * (m**2 + s**2) for w, m in zip(weights, means, strict=True))) ** 0.5
    denoiser = Denoiser(Exact(means, weights, s, sigma_data), sigma_data)
    torch.manual_seed(0)
    x = getattr(denoiser, way)(torch.randn(20_000, 1), steps)
    low = x < -0.1
    assert low.float().mean().item() == pytest.approx(0.3, abs=0.03)
    for part, mean in ((x[low], means[0]), (x[~low], means[1])):
        assert part.mean().item() == pytest.approx(mean, abs=0.05)
        assert part.std().item() == pytest.approx(s, rel=0.25)


def test_more_steps_come_closer_to_the_exact_end():
    """The probability flow of a Gaussian ends at (x / sigma_max) s / sqrt(1 + (s / sigma_max)^2), point by point."""
    s, noise = 0.3, torch.linspace(-2, 2, 9)[:, None]
    denoiser = Denoiser(Exact([0.0], [1.0], s, 0.5), 0.5)
    exact = noise * 80 * s / (s**2 + 80**2) ** 0.5
    for way in ("solve", "heun"):
        errors = [(getattr(denoiser, way)(noise, n) - exact).abs().max().item() for n in (8, 16, 64)]
        assert errors[0] > errors[1] > errors[2] and errors[2] < 0.01 * s


def test_a_network_that_draws_the_picture_gives_the_same_samples():
    """The same D, once through the paper's mixture and once drawn directly: one sampler, one sample."""
    exact = Exact([0.2], [1.0], 0.3, 0.5)
    mixture = Denoiser(exact, 0.5)
    direct = torch.nn.Module()

    def image(scaled, level):
        sigma = torch.exp(4 * level)
        return mixture(scaled * (sigma**2 + 0.25).sqrt().view(-1, 1), sigma) / 0.5

    direct.forward = image
    noise = torch.randn(64, 3)
    assert torch.allclose(
        Denoiser(direct, 0.5, prediction_type="sample").solve(noise, 12), mixture.solve(noise, 12), atol=1e-3
    )
    with pytest.raises(ValueError, match="unknown prediction_type 'noise'"):
        Denoiser(direct, 0.5, prediction_type="noise")


def test_weights_are_the_papers_and_bounded_for_pictures():
    silent = torch.nn.Module()
    silent.forward = lambda x, level: torch.zeros_like(x)
    sigma, clean = torch.tensor([0.05, 0.5, 5.0]), torch.ones(3, 4)
    c_skip, c_out, _ = Denoiser(silent, 0.5).coefficients(sigma)
    noisy = clean + sigma[:, None]
    paper = Denoiser(silent, 0.5).error(clean, noisy, sigma)
    assert torch.allclose(paper, ((c_skip * (1 + sigma) - 1) / c_out) ** 2, rtol=1e-4)
    bounded = Denoiser(silent, 0.5, prediction_type="sample").error(clean, noisy, sigma)
    assert torch.allclose(bounded, torch.tensor([6.0, 2.0, 1.01]) / 0.25, rtol=1e-4)


def test_it_serves_samplers_made_for_noise_predictors():
    """For data N(m, s^2): the noise it finds in x_t is the closed form of Ho et al.'s process, at every step."""
    s = 0.3
    denoiser = Denoiser(Exact([0.2], [1.0], s, 0.5), 0.5)
    t = torch.tensor([0, 10, 300, 700, 999])
    a = noise_schedule().alphas_cumprod[t][:, None]
    x = torch.randn(5, 4)
    closed = (1 - a).sqrt() * (x - a.sqrt() * 0.2) / (a * s**2 + 1 - a)
    assert torch.allclose(denoiser.noise_in(x, t), closed, atol=1e-4)


def test_noise_levels_follow_their_law():
    torch.manual_seed(0)
    denoiser = Denoiser(torch.nn.Identity(), 0.5, p_mean=0.5, p_std=1.4)
    noisy, sigma = denoiser.noisy(torch.zeros(40_000, 2))
    assert sigma.log().mean().item() == pytest.approx(0.5, abs=0.03)
    assert sigma.log().std().item() == pytest.approx(1.4, rel=0.02)
    assert (noisy / sigma[:, None]).std().item() == pytest.approx(1, rel=0.01)


def test_condition_reaches_the_network():
    seen = []
    net = torch.nn.Module()
    net.forward = lambda x, level, kind: seen.append(kind) or torch.zeros_like(x)
    denoiser = Denoiser(net, 0.5)
    denoiser.loss(torch.zeros(2, 3), "a")
    denoiser.solve(torch.zeros(2, 3), 2, "b")
    denoiser.heun(torch.zeros(2, 3), 2, "c")
    assert seen == ["a", "b", "b", "c", "c", "c"]
