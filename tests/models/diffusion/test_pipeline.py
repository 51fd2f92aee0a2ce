"""diffusers opens what we trained, and draws the same images as we do."""

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler
from torch.nn import functional as F

import medsynth_lib as ms
from medsynth_lib.models.diffusion.ddpm import PREDICTION_TYPES
from medsynth_lib.models.diffusion.pipeline import save_pipeline, unfolded


@pytest.mark.parametrize("prediction", PREDICTION_TYPES)
def test_a_pipeline_opened_by_diffusers_samples_what_we_sample(prediction, tmp_path):
    torch.manual_seed(0)
    ddpm = ms.DDPM(2, 3, 16, patch=2, widths=(8, 16), layers=1, prediction_type=prediction)
    pipeline = DDPMPipeline.from_pretrained(save_pipeline(ddpm, tmp_path / "pipeline"))
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(4, torch.Generator().manual_seed(5), num_inference_steps=6, output_type="np").images
    images, labels = unfolded(drawn, patch=2, channels=2)

    scheduler = DDPMScheduler.from_config(ddpm.noise_scheduler.config)  # ours always predicts noise
    scheduler.set_timesteps(6)
    generator = torch.Generator().manual_seed(5)
    folded = torch.randn(4, 20, 8, 8, generator=generator)
    with torch.no_grad():
        for t in scheduler.timesteps:
            eps = ddpm.predictor(F.pixel_shuffle(folded, 2), t.expand(4))
            folded = scheduler.step(F.pixel_unshuffle(eps, 2), t, folded, generator=generator).prev_sample
    expected, expected_labels = ms.joint.decode(F.pixel_shuffle(folded, 2), 2)
    assert torch.allclose(images, expected, atol=1e-3)
    assert (labels == expected_labels).float().mean() > 0.99
