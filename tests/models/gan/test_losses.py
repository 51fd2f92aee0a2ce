"""Adversarial losses against closed forms and finite differences."""

import math

import pytest
import torch

from medsynth_lib.models.gan import losses


def test_logistic_losses_of_a_d_that_cannot_tell():
    zero = torch.zeros(5)
    assert losses.logistic_d(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert losses.logistic_g(zero).item() == pytest.approx(math.log(2))


def test_relativistic_depends_on_differences_only():
    better, worse = torch.randn(9), torch.randn(9)
    loss = losses.relativistic(better, worse)
    assert torch.allclose(loss, losses.relativistic(better + 7, worse + 7), atol=1e-5)
    assert torch.allclose(loss, -torch.log(torch.sigmoid(better - worse)).mean(), atol=1e-5)


def quadratic(x):
    """D(x) = sum of a x^2 / 2 + b x over pixels: gradient a x + b."""
    return (1.5 * x.square() + 0.5 * x).sum((1, 2, 3))


def test_squared_gradient_against_the_closed_form_and_finite_differences():
    x = torch.rand(3, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    found = losses.squared_gradient(quadratic(x), x)
    assert torch.allclose(found.double(), (3 * x + 0.5).square().sum((1, 2, 3)), rtol=1e-5)
    step = 1e-5
    numeric = torch.zeros_like(x)
    for index in torch.cartesian_prod(*(torch.arange(n) for n in x.shape)).tolist():
        up, down = x.detach().clone(), x.detach().clone()
        up[tuple(index)] += step
        down[tuple(index)] -= step
        numeric[tuple(index)] = (quadratic(up) - quadratic(down))[index[0]] / (2 * step)
    assert torch.allclose(found.double(), numeric.square().sum((1, 2, 3)), rtol=1e-4)


def test_the_penalty_can_itself_be_differentiated():
    scale = torch.tensor(2.0, requires_grad=True)
    x = torch.ones(1, 1, 2, 2, requires_grad=True)
    losses.squared_gradient(scale * x.sum((1, 2, 3)), x).sum().backward()
    assert scale.grad.item() == pytest.approx(2 * 2.0 * 4)  # d/ds of 4 s^2


@pytest.mark.parametrize(("slope", "penalty"), [(1.0, 0.0), (3.0, 4.0)])
def test_gradient_penalty_is_zero_for_slope_one_only(slope, penalty):
    """D(x) = slope times one pixel: its gradient has length `slope` everywhere."""
    real, fake = torch.rand(2, 6, 1, 3, 3)
    found = losses.gradient_penalty(lambda x: slope * x[:, 0, 0, 0], real, fake)
    assert found.item() == pytest.approx(penalty, abs=1e-5)


def test_wasserstein_and_its_drift():
    real, fake = torch.full((4,), 3.0), torch.full((4,), 1.0)
    assert losses.wasserstein_d(real, fake, drift=0.0).item() == -2.0
    assert losses.wasserstein_d(real, fake, drift=0.1).item() == pytest.approx(-2 + 0.9)


def test_path_length_of_a_linear_generator():
    """image = A w: E || A^T y ||^2 = ||A||_F^2 / pixels for y of variance 1 / pixels."""
    torch.manual_seed(0)
    a = torch.randn(1 * 4 * 4, 3)
    ws = torch.randn(4000, 1, 3, requires_grad=True)
    lengths = losses.path_lengths((ws[:, 0] @ a.T).view(-1, 1, 4, 4), ws)
    assert lengths.square().mean().item() == pytest.approx(a.square().sum().item() / 16, rel=0.05)
