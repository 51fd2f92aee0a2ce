"""Similarity to a known ground truth: PSNR, SSIM and mean absolute error inside a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from skimage.metrics import structural_similarity

from .statistics import per_subject

RANGE = 2.0  # of intensities in [-1, 1]


def similarity(images: np.ndarray, truth: np.ndarray, subjects: ArrayLike, inside: np.ndarray) -> dict[str, np.ndarray]:
    """{"psnr" (dB), "ssim" (-1 to 1), "error" (mean absolute difference of intensities)}: each [S], per subject.

    images, truth  float [N, C, H, W] in [-1, 1]; subjects [N]; inside  bool [N, H, W], the pixels that count
    The background, equal in all images, would improve every value. SSIM in windows of 7 x 7 (Wang et al. 2004).
    Raises ValueError when shapes differ or a slice has no pixel inside.
    """
    if images.shape != truth.shape or inside.shape != (len(truth), *truth.shape[2:]):
        raise ValueError(f"shapes differ: images {images.shape}, truth {truth.shape}, inside {inside.shape}.")
    if not inside.any(axis=(1, 2)).all():
        raise ValueError("a slice has no pixel inside; leave empty slices out.")
    rows = []
    for image, true, mask in zip(images, truth, inside, strict=True):
        difference = (image - true)[:, mask]
        maps = [structural_similarity(i, t, data_range=RANGE, full=True)[1] for i, t in zip(image, true, strict=True)]
        psnr = 10 * np.log10(RANGE**2 / np.square(difference).mean()) if difference.any() else np.inf
        rows.append((psnr, np.mean([m[mask] for m in maps]), np.abs(difference).mean()))
    return dict(zip(("psnr", "ssim", "error"), per_subject(rows, subjects).T, strict=True))
