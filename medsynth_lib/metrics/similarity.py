"""How near pictures are to the truth, where the truth is known: PSNR, SSIM and mean absolute error inside the head."""

from __future__ import annotations

import numpy as np
from skimage.metrics import structural_similarity

from .statistics import per_subject

RANGE = 2.0  # grey values go from -1 to 1


def similarity(pictures: np.ndarray, truth: np.ndarray, subjects, inside: np.ndarray) -> dict[str, np.ndarray]:
    """{"psnr" (dB), "ssim" (-1 to 1), "error" (mean absolute difference, in grey values)}: each [S], per subject.

    pictures, truth  float [N, C, H, W] in [-1, 1]; subjects [N]; inside  bool [N, H, W], the pixels that count.
    The background would flatter everybody: it is black in every picture. SSIM in windows of 7 x 7 (Wang et al. 2004).
    Raises ValueError when shapes differ or a slice has nothing inside.
    """
    if pictures.shape != truth.shape or inside.shape != (len(truth), *truth.shape[2:]):
        raise ValueError(f"shapes differ: pictures {pictures.shape}, truth {truth.shape}, inside {inside.shape}.")
    if not inside.any(axis=(1, 2)).all():
        raise ValueError("a slice has no pixel inside; leave empty slices out.")
    rows = []
    for picture, true, mask in zip(pictures, truth, inside, strict=True):
        difference = (picture - true)[:, mask]
        maps = [structural_similarity(p, t, data_range=RANGE, full=True)[1] for p, t in zip(picture, true, strict=True)]
        psnr = 10 * np.log10(RANGE**2 / np.square(difference).mean()) if difference.any() else np.inf
        rows.append((psnr, np.mean([m[mask] for m in maps]), np.abs(difference).mean()))
    return dict(zip(("psnr", "ssim", "error"), per_subject(rows, subjects).T, strict=True))
