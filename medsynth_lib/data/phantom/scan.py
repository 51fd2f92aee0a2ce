"""How one subject is scanned: site, sequence times, tissue values, noise, bias, blur and artefacts; and the images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from .anatomy import RNG, sample, smooth_noise
from .physics import CHANNELS, LESION, TISSUES, Tissue, at_field, rician, signal, vary, with_uptake
from .variation import Site, Variation

BIAS_SCALE = 45.0  # mm, smoothness of the bias field in plane
GHOST = (0.08, 0.25)  # strength of the ghosts of a subject who moved, uniform between
FWHM = 2.3548  # full width at half maximum of a Gaussian of standard deviation 1


@dataclass(frozen=True)
class Scan:
    """One subject's session. Times in seconds per channel; noise, bias and blur as in `Site`."""

    site: Site
    timing: dict[str, tuple[float, ...]]
    tissues: dict[str, Tissue]
    uptake: float
    noise: float
    bias: float
    blur: float
    moved: str  # channel during which the subject moved, or ""
    incomplete: str  # channel that lacks slices at one end, or ""


def new_scan(rng: RNG, how: Variation) -> Scan:
    """A session at a random site."""
    site = how.sites[rng.integers(len(how.sites))]
    timing = {}
    for channel in CHANNELS:
        shares = (how.timing, how.timing, how.inversion)
        times = site.timing(channel)
        timing[channel] = tuple(
            t * max(0.6, 1 + s * rng.standard_normal()) for t, s in zip(times, shares, strict=False)
        )
    timing["T1ce"] = timing["T1"]  # the same sequence, before and after the contrast agent
    uptake = float(rng.beta(*how.uptake)) if how.uptake else 1.0
    tissues = {}
    for name, tissue in TISSUES.items():
        share = how.lesion_tissue if name in LESION else how.tissue
        tissues[name] = vary(at_field(name, tissue, site.tesla), rng, share)
    tissues["enhancing"] = with_uptake(tissues["enhancing"], uptake)
    noise, bias = (
        level * np.exp(spread * rng.standard_normal())
        for level, spread in ((site.noise, how.noise_spread), (site.bias, how.bias_spread))
    )
    blur = float(np.hypot(site.blur, how.blur * rng.random()))
    moved, incomplete = (
        CHANNELS[rng.integers(len(CHANNELS))] if rng.random() < share else "" for share in (how.ghosts, how.missing)
    )
    return Scan(site, timing, tissues, uptake, float(noise), float(bias), blur, moved, incomplete)


def acquire(rng: RNG, scan: Scan, parts: dict[str, np.ndarray], mask: np.ndarray, pixel: float) -> np.ndarray:
    """Images float32 [N, 4, H, W] in [-1, 1] from the share of each tissue [N, H, W] in each pixel of `pixel` mm.

    `mask` is the brain, bool [N, H, W]; what lies outside is -1. Each channel is divided by the 99.5th percentile of
    the brain.
    """
    shape = mask.shape
    texture = 1 + 0.025 * smooth_noise(rng, shape, (0.5, 5 / pixel, 5 / pixel))
    images = np.empty((len(mask), len(CHANNELS), *shape[1:]), np.float32)
    for c, channel in enumerate(CHANNELS):
        timing = scan.timing[channel]
        values = {name: np.float32(signal(tissue, channel, timing)) for name, tissue in scan.tissues.items()}
        clean = sum(share * values[name] for name, share in parts.items())
        clean = clean * texture * np.exp(scan.bias * bias_field(rng, shape, BIAS_SCALE / pixel))
        if scan.blur:
            clean = gaussian_filter(clean, (0, *(scan.blur / FWHM / pixel,) * 2))
        if channel == scan.moved:
            clean = ghosted(rng, clean)
        sigma = scan.noise * max(values["grey"], values["white"])
        magnitude = rician(clean.astype(np.float32), sigma, rng) * mask
        images[:, c] = 2 * np.clip(magnitude / np.percentile(magnitude[mask], 99.5), 0, 1) - 1
        if channel == scan.incomplete:
            images[beyond_coverage(rng, len(mask)), c] = -1
    return images


def bias_field(rng: RNG, shape: tuple[int, int, int], scale: float) -> np.ndarray:
    """Smooth noise of unit variance for slices [N, H, W], with a Gaussian of `scale` pixels in plane and 2 slices.

    It is made on a coarser grid, a quarter of `scale` apart, and interpolated, because wide filters are slow.
    """
    step = max(1.0, scale / 4)
    coarse = (shape[0], *(int(np.ceil(side / step)) + 1 for side in shape[1:]))
    field = smooth_noise(rng, coarse, (2.0, scale / step, scale / step))
    at = np.meshgrid(*(np.arange(side) / (1 if axis == 0 else step) for axis, side in enumerate(shape)), indexing="ij")
    return sample(field[None], np.stack(at), outside="border")[0]


def ghosted(rng: RNG, clean: np.ndarray) -> np.ndarray:
    """Slices [N, H, W] with copies shifted along the rows (the direction of phase encoding) by parts of the image.

    Periodic motion replicates the moving structure at equal distances (Wood and Henkelman 1985).
    """
    strength, parts = rng.uniform(*GHOST), int(rng.integers(3, 7))
    shift = clean.shape[1] // parts
    return clean + strength / 2 * (np.roll(clean, shift, axis=1) + np.roll(clean, -shift, axis=1))


def beyond_coverage(rng: RNG, count: int) -> slice:
    """The slices, of `count`, that the sequence does not cover: up to a quarter of them, at one end."""
    lost = int(rng.integers(1, max(2, count // 4 + 1)))
    return slice(0, lost) if rng.random() < 0.5 else slice(count - lost, count)
