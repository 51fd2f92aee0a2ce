"""MR signal of the phantom's tissues: the spin-echo and inversion-recovery equations, noise and bias field.

Relaxation times are round numbers near 1.5-3 T measurements of brain tissue (Wansapura et al. 1999, JMRI 9:531;
Stanisz et al. 2005, MRM 54:507); those of oedema, necrosis and enhancing tumour vary widely between patients, and the
values here are plausible choices, not measurements.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Tissue:
    """T1 and T2 in seconds, proton density relative to water, T1 after contrast agent (same as T1 without uptake)."""

    t1: float
    t2: float
    pd: float
    t1_contrast: float


def without_uptake(t1: float, t2: float, pd: float) -> Tissue:
    return Tissue(t1, t2, pd, t1)


TISSUES = {
    "grey": without_uptake(1.30, 0.100, 0.85),
    "white": without_uptake(0.83, 0.080, 0.70),
    "csf": without_uptake(4.00, 2.000, 1.00),
    "necrosis": without_uptake(2.50, 0.350, 0.95),
    "oedema": without_uptake(1.50, 0.160, 0.90),
    "enhancing": Tissue(1.40, 0.120, 0.88, 0.45),
    "vessel": Tissue(1.60, 0.060, 0.85, 0.35),
}
CHANNELS = ("T1", "T1ce", "T2", "FLAIR")
# Repetition, echo and inversion time in seconds
SPIN_ECHO = {"T1": (0.6, 0.012), "T1ce": (0.6, 0.012), "T2": (5.0, 0.100)}
INVERSION_RECOVERY = {"FLAIR": (9.0, 0.120, 2.5)}


def spin_echo(t1: float, t2: float, pd: float, tr: float, te: float) -> float:
    """PD (1 - exp(-TR / T1)) exp(-TE / T2): the signal of a spin-echo sequence; times in seconds."""
    return pd * (1 - np.exp(-tr / t1)) * np.exp(-te / t2)


def inversion_recovery(t1: float, t2: float, pd: float, tr: float, te: float, ti: float) -> float:
    """PD |1 - 2 exp(-TI / T1) + exp(-TR / T1)| exp(-TE / T2): magnitude of an inversion-recovery spin echo.

    With TI = T1 ln 2 (for long TR) a tissue vanishes: FLAIR chooses it so that CSF does.
    """
    return pd * np.abs(1 - 2 * np.exp(-ti / t1) + np.exp(-tr / t1)) * np.exp(-te / t2)


def signal(tissue: Tissue, channel: str) -> float:
    """Noise-free signal of one tissue in one channel."""
    t1 = tissue.t1_contrast if channel == "T1ce" else tissue.t1
    if channel in SPIN_ECHO:
        return spin_echo(t1, tissue.t2, tissue.pd, *SPIN_ECHO[channel])
    return inversion_recovery(t1, tissue.t2, tissue.pd, *INVERSION_RECOVERY[channel])


def vary(tissue: Tissue, rng: np.random.Generator, share: float = 0.03) -> Tissue:
    """The same tissue in another person: each parameter times 1 + N(0, share)."""
    f1, f2, f3 = 1 + share * rng.standard_normal(3)
    return replace(tissue, t1=tissue.t1 * f1, t2=tissue.t2 * f2, pd=tissue.pd * f3, t1_contrast=tissue.t1_contrast * f1)


def rician(signal: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """|signal + complex Gaussian noise|: the noise of a magnitude image (Gudbjartsson & Patz 1995)."""
    real = signal + sigma * rng.standard_normal(signal.shape, dtype=np.float32)
    return np.hypot(real, sigma * rng.standard_normal(signal.shape, dtype=np.float32))
