"""StyleGAN 3-T: moving its input moves its image; StyleGAN 2's sticks to the grid."""

import numpy as np
import pytest
import torch
from scipy.signal import freqz, upfirdn

from medsynth_lib.models.gan.stylegan2 import StyleGAN2
from medsynth_lib.models.gan.stylegan3 import StyleGAN3, both_ways, low_pass, plan, resampler


def small(**changes):
    torch.manual_seed(0)
    method = StyleGAN3(2, 0, 32, **{"width": 8, "fmap_max": 16, "latent": 4, "depth": 5, "margin": 10, **changes})
    for net in method.modules().values():
        net.eval()
    return method


def error(moved, still, pixels):
    """RMS difference to the image moved right by whole pixels, over the image's deviation."""
    return ((moved[..., pixels:] - still[..., :-pixels]).square().mean().sqrt() / still.std()).item()


@pytest.mark.parametrize("pixels", [1, 3])
def test_a_whole_pixel_translation_moves_the_picture(pixels):
    method = small()
    ws = method.styles(4, 0)[:, None].expand(-1, method.generator.layers, -1)
    with torch.no_grad():
        still = method.generator.synthesis(ws)
        moved = method.generator.synthesis(ws, torch.tensor([[pixels / 32, 0.0]]).expand(4, 2))
    assert error(moved, still, pixels) < 0.005
    assert (moved - still).square().mean().sqrt() / still.std() > 4 * error(moved, still, pixels)


def test_stylegan2_does_not_move_with_its_constant():
    """Its constant, moved by the same share of the image with the best interpolation there is (Fourier)."""
    torch.manual_seed(0)
    method = StyleGAN2(2, 0, 32, width=8, fmap_max=16, latent=4)
    synthesis = method.generator.eval().synthesis
    ws = method.styles(4, 0)[:, None].expand(-1, method.generator.layers, -1)
    with torch.no_grad():
        still = synthesis(ws)
        frequency = torch.fft.fftfreq(4)
        turned = torch.fft.fft(synthesis.constant, dim=-1) * torch.exp(-2j * torch.pi * frequency * 4 / 32)
        synthesis.constant.copy_(torch.fft.ifft(turned, dim=-1).real)
        moved = synthesis(ws)
    assert error(moved, still, 1) > 0.05


def test_the_plan_follows_the_paper_s_rule():
    bands = plan(256, 14, 64, 512, 10)
    assert len(bands) == 15 and bands[0].cutoff == 2 and bands[-1].cutoff == 128
    assert [b.cutoff for b in bands[-3:]] == [128, 128, 128], "the last two layers use the whole band"
    assert np.allclose(np.diff(np.log([b.cutoff for b in bands[:13]])), np.log(64) / 12)
    assert [b.rate for b in bands][:2] == [16, 16] and bands[-1].grid == 256 and bands[0].grid == 36


def test_few_layers_may_start_with_finer_waves():
    bands = plan(64, 5, 8, 64, 4, first=4.0)
    assert bands[0].cutoff == 4 and bands[-1].cutoff == 32 and len(bands) == 6
    assert small(first=4.0).generator.synthesis.waves.frequencies.norm(dim=1).max() > 2


def test_low_pass_keeps_the_band_and_stops_its_images():
    band = plan(64, 6, 8, 16, 10)[2]
    taps = low_pass(band, 2, 2 * band.rate).numpy()
    frequency, response = freqz(taps, worN=512, fs=2 * band.rate)
    response = np.abs(response)
    assert response[frequency < band.cutoff / 2].min() > 0.85
    assert np.interp(band.cutoff, frequency, response) == pytest.approx(0.5, abs=0.05), "half at the cutoff"
    assert response[frequency > band.cutoff + 2 * band.half_width].max() < 0.06


def test_resampling_by_matrices_is_resampling_by_filters():
    generator = np.random.default_rng(0)
    taps, x, fine = generator.normal(size=12), generator.normal(size=9), generator.normal(size=40)
    weights = torch.tensor(taps)
    finer = upfirdn(taps, x, up=4)
    widen = resampler(weights, 4, slow=9, fast=20, start=7).numpy()
    assert np.allclose(widen @ x, finer[7:27])
    narrow = resampler(weights, 4, slow=8, fast=40).T.numpy()
    assert np.allclose(narrow @ fine, upfirdn(taps[::-1], fine, down=1)[11:40:4])
    outside = resampler(weights, 4, slow=9, fast=60, start=-3).numpy() @ x
    assert (
        np.all(outside[:3] == 0) and np.allclose(outside[3 : 3 + len(finer)], finer) and np.all(outside[3 + 44 :] == 0)
    )


def test_both_ways_is_a_matrix_on_rows_and_columns():
    x, matrix = torch.randn(2, 3, 5, 5), torch.randn(7, 5)
    assert torch.allclose(both_ways(x, matrix), (matrix @ x @ matrix.T).mT, atol=1e-5)


def test_settings_survive_and_shapes_fit():
    method = small()
    again = StyleGAN3(**method.arguments())
    assert again.arguments() == method.arguments()
    images, masks = method.sample(2, seed=0)
    assert images.shape == (2, 2, 32, 32) and masks.max() == 0


def test_patches_are_refused():
    with pytest.raises(ValueError, match="patch is 2"):
        StyleGAN3(1, 2, 16, patch=2)
