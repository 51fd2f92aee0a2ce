"""MR signal of the phantom's tissues: the spin-echo and inversion-recovery equations, and Rician noise.

Sources of the tissue values (T1, T2 in ms; "quoted" = taken from another publication that cites the paper):
- White and grey matter: 832, 79 and 1331, 110 at 3 T (Wansapura et al. 1999, JMRI 9:531; quoted). Others report higher
  values: 1084, 69 and 1820, 99 in vitro (Stanisz et al. 2005, MRM 54:507; quoted); T1 of white matter is reported from
  600 to 1100 (Asslaender 2024, arXiv:2409.05318, abstract).
- CSF: 4309, 1886 in the subarachnoid space and 4454, 2373 in the frontal horns at 3 T (PMC10696635, abstract).
- Contrast agent shortens T1 by 838 +- 210 in enhancing glioblastoma and by 123 +- 74 in its oedema (quantitative T1
  study of 33 patients, Frankfurt 2020, abstract); here by 950 and by 120. The 32 +- 35 of normal tissue is left out.
- Solid tumour T1 1444 +- 254, tissue around it 1261 +- 359 (MR fingerprinting of brain tumours in children and young
  adults, de Blank et al.; quoted; its T2 values are lower than the ones here).
- T1 at 1.5 T: times (1.5 / 3)^(1/3), but for CSF (Bottomley et al. 1984, Med Phys 11:425: T1 grows with the field to a
  power near 1/3; quoted).
- NOT verified, plausible choices: T2 of oedema and tumour, all of necrosis, hyperintensities and vessel, all proton
  densities.
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
    """A tissue that takes up no contrast agent; T1 and T2 in seconds, proton density relative to water."""
    return Tissue(t1, t2, pd, t1)


TISSUES = {
    "grey": without_uptake(1.33, 0.110, 0.85),
    "white": without_uptake(0.83, 0.080, 0.70),
    "csf": without_uptake(4.30, 2.000, 1.00),
    "necrosis": without_uptake(2.50, 0.350, 0.95),
    "tumour": without_uptake(2.00, 0.230, 0.92),
    "oedema": Tissue(1.50, 0.160, 0.90, 1.38),
    "enhancing": Tissue(1.40, 0.120, 0.88, 0.45),
    "hyperintensity": without_uptake(1.15, 0.130, 0.82),
    "vessel": Tissue(1.60, 0.060, 0.85, 0.35),
}
LESION = ("necrosis", "tumour", "oedema", "enhancing")  # tissues of a lesion
CHANNELS = ("T1", "T1ce", "T2", "FLAIR")
REFERENCE_TESLA = 3.0  # field at which TISSUES hold


def spin_echo(t1: float, t2: float, pd: float, tr: float, te: float) -> float:
    """PD (1 - exp(-TR / T1)) exp(-TE / T2): the signal of a spin-echo sequence; times in seconds."""
    return pd * (1 - np.exp(-tr / t1)) * np.exp(-te / t2)


def inversion_recovery(t1: float, t2: float, pd: float, tr: float, te: float, ti: float) -> float:
    """PD |1 - 2 exp(-TI / T1) + exp(-TR / T1)| exp(-TE / T2): magnitude of an inversion-recovery spin echo.

    At TI = T1 ln 2 (for long TR) the signal of a tissue is zero; FLAIR uses the TI that suppresses CSF. Times are in
    seconds.
    """
    return pd * np.abs(1 - 2 * np.exp(-ti / t1) + np.exp(-tr / t1)) * np.exp(-te / t2)


def signal(tissue: Tissue, channel: str, timing: tuple[float, ...]) -> float:
    """Noise-free signal of one tissue in one channel (one of CHANNELS); `timing` as in `Site.timing`."""
    t1 = tissue.t1_contrast if channel == "T1ce" else tissue.t1
    sequence = inversion_recovery if channel == "FLAIR" else spin_echo
    return sequence(t1, tissue.t2, tissue.pd, *timing)


def at_field(name: str, tissue: Tissue, tesla: float) -> Tissue:
    """The tissue called `name` at another field strength; the T1 of CSF and of full uptake does not change."""
    if name == "csf":
        return tissue
    factor = (tesla / REFERENCE_TESLA) ** (1 / 3)
    enhanced = tissue.t1_contrast < 0.5 * tissue.t1
    after = tissue.t1_contrast if enhanced else tissue.t1_contrast * factor
    return replace(tissue, t1=tissue.t1 * factor, t1_contrast=after)


def with_uptake(tissue: Tissue, uptake: float) -> Tissue:
    """The tissue when it takes up a share of the contrast agent: relaxation rates 1 / T1 grow in proportion to it."""
    rate = 1 / tissue.t1 + uptake * (1 / tissue.t1_contrast - 1 / tissue.t1)
    return replace(tissue, t1_contrast=1 / rate)


def vary(tissue: Tissue, rng: np.random.Generator, share: float) -> Tissue:
    """The same tissue in another subject: T1 and T2 are multiplied by 1 + N(0, share^2), at least by 0.5.

    The proton density varies half as much: it is the amount of water, which differs less than relaxation does.
    """
    f1, f2, f3 = np.maximum(1 + np.array([share, share, share / 2]) * rng.standard_normal(3), 0.5)
    return replace(tissue, t1=tissue.t1 * f1, t2=tissue.t2 * f2, pd=tissue.pd * f3, t1_contrast=tissue.t1_contrast * f1)


def rician(signal: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """|signal + complex Gaussian noise of deviation sigma|: a magnitude image (Gudbjartsson & Patz 1995)."""
    real = signal + sigma * rng.standard_normal(signal.shape, dtype=np.float32)
    return np.hypot(real, sigma * rng.standard_normal(signal.shape, dtype=np.float32))
