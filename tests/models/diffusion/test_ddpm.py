"""The diffusion model: its losses, and what it may predict."""

import pytest
import torch

from medsynth_lib.models.diffusion.ddpm import DDPM
from medsynth_lib.models.diffusion.solvers import TIMESTEPS, noise_schedule, solver


@pytest.fixture
def ddpm():
    torch.manual_seed(0)
    return DDPM(2, 3, 16, patch=2, widths=(8, 16), layers=1, solver_steps=5)


def test_predictor_turns_the_clean_picture_into_its_noise_exactly(ddpm, monkeypatch):
    """With the true x_0 as the U-Net's answer, the predictor returns the true noise."""
    x0, eps = torch.randn(4, 5, 16, 16), torch.randn(4, 5, 16, 16)
    t = torch.tensor([0, 10, 500, 999])
    a = noise_schedule().alphas_cumprod[t].view(-1, 1, 1, 1)
    answer = type("Answer", (), {"sample": torch.nn.functional.pixel_unshuffle(x0, 2)})
    monkeypatch.setattr(ddpm.predictor.unet, "forward", lambda x, t: answer)
    xt = a.sqrt() * x0 + (1 - a).sqrt() * eps
    assert torch.allclose(ddpm.predictor(xt, t), eps, atol=1e-3)


def test_losses_against_hand_values(ddpm):
    """A predictor that answers 0 errs by the noise itself; its weight is min(SNR, 5) / SNR."""
    images = torch.rand(4, 2, 16, 16) * 2 - 1
    labels = torch.randint(0, 3, (4, 16, 16), dtype=torch.uint8)
    ddpm.predictor.forward = lambda x, t: torch.zeros_like(x)
    torch.manual_seed(1)
    losses = ddpm.loss(images, labels)
    torch.manual_seed(1)
    noise = torch.randn(4, 5, 16, 16)
    a = noise_schedule().alphas_cumprod[torch.randint(0, TIMESTEPS, (4,))]
    snr = a / (1 - a)
    error = noise.pow(2).mean((1, 2, 3))
    assert losses["eps_mse"].item() == pytest.approx(error.mean().item(), rel=1e-5)
    expected = (torch.minimum(snr, torch.tensor(5.0)) / snr * error).mean()
    assert losses["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    ddpm.max_snr = None
    simple = ddpm.loss(images, labels)
    assert simple["loss"] == simple["eps_mse"], "without a bound it is L_simple"


def test_samples_have_the_joint_shape_and_follow_the_seed(ddpm):
    images, labels = ddpm.sample(3, seed=4)
    assert images.shape == (3, 2, 16, 16) and labels.shape == (3, 16, 16)
    assert torch.isfinite(images).all() and labels.max() <= 2
    assert torch.equal(images, ddpm.sample(3, seed=4)[0])
    assert torch.equal(images, ddpm.sample(3, seed=4, scheduler=solver(5))[0]), "DPM-Solver++ is the default"


def test_all_predictions_say_the_same_noise_when_they_are_right(ddpm, monkeypatch):
    x0, eps = torch.randn(3, 5, 16, 16), torch.randn(3, 5, 16, 16)
    t = torch.tensor([10, 500, 990])
    a = noise_schedule().alphas_cumprod[t].view(-1, 1, 1, 1)
    answers = {"sample": x0, "epsilon": eps, "v_prediction": a.sqrt() * eps - (1 - a).sqrt() * x0}
    for prediction, right in answers.items():
        answer = type("Answer", (), {"sample": torch.nn.functional.pixel_unshuffle(right, 2)})
        ddpm = DDPM(2, 3, 16, patch=2, widths=(8, 16), prediction_type=prediction)
        monkeypatch.setattr(ddpm.predictor.unet, "forward", lambda x, t, answer=answer: answer)
        assert torch.allclose(ddpm.predictor(a.sqrt() * x0 + (1 - a).sqrt() * eps, t), eps, atol=1e-3)
    with pytest.raises(ValueError, match="unknown prediction_type 'x'"):
        DDPM(2, 3, 16, patch=2, widths=(8, 16), prediction_type="x")
