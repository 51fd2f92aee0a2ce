"""What varies between the phantom's subjects, and by how much: the uniform phantom and the varied one.

The ranges are choices, made so that few labelled subjects do not suffice: at 64 pixels, the demo's U-Net reaches a Dice
of .70 by the mean over labels on held-out subjects when it learned from 180 subjects, .56 from 9 (results/phantom).
Where a value has a source, its comment names it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

KINDS = ("ring-enhancing", "solid enhancing", "non-enhancing")
NO_LESION = "no lesion"


@dataclass(frozen=True)
class Site:
    """One scanner: its usual sequences (times in seconds), and how its images look on average."""

    name: str
    tesla: float
    t1: tuple[float, float]  # repetition and echo time of T1 and T1ce (spin echo)
    t2: tuple[float, float]  # of T2 (spin echo)
    flair: tuple[float, float, float]  # repetition, echo and inversion time of FLAIR
    noise: float  # standard deviation, relative to the brighter signal of grey and white matter
    bias: float  # standard deviation of the logarithm of the bias field
    blur: float = 0.0  # mm, full width at half maximum in plane, beyond the pixel

    def timing(self, channel: str) -> tuple[float, ...]:
        """Repetition, echo and, for FLAIR, inversion time of a channel, in seconds."""
        return {"T1": self.t1, "T1ce": self.t1, "T2": self.t2, "FLAIR": self.flair}[channel]


# The inversion time is that which suppresses CSF, T1 ln(2 / (1 + exp(-TR / T1))), at each repetition time.
SITES = (
    Site("A", 3.0, t1=(0.60, 0.012), t2=(5.0, 0.100), flair=(9.0, 0.120, 2.50), noise=0.014, bias=0.10),
    Site("B", 1.5, t1=(0.50, 0.014), t2=(4.0, 0.090), flair=(9.0, 0.110, 2.45), noise=0.021, bias=0.06),
    Site("C", 3.0, t1=(0.75, 0.010), t2=(6.0, 0.110), flair=(11.0, 0.125, 2.65), noise=0.018, bias=0.14),
    Site("D", 1.5, t1=(0.55, 0.016), t2=(3.5, 0.085), flair=(8.0, 0.140, 2.35), noise=0.025, bias=0.08, blur=1.0),
)


@dataclass(frozen=True)
class Variation:
    """How much subjects differ. A share s multiplies a value by 1 + N(0, s^2); a spread is a deviation of a logarithm.

    kinds             share of subjects with each kind of lesion; the rest has none
    sites             scanners, all equally frequent
    timing            share by which repetition and echo times differ within a site; `inversion` for inversion times
    tissue            share by which T1 and T2 differ (proton density: half of it); `lesion_tissue`: those of the lesion
    uptake            parameters a, b of the Beta distribution of the contrast uptake (0 = none, 1 = full); () = full
    hyperintensities  median load of white-matter hyperintensities, and its spread; a load of 1 means caps of 2 mm
                      around the ventricles and 4 foci; () = none
    noise_spread      of the noise around the site's, `bias_spread` of the bias field's strength
    blur              mm, upper limit of the additional in-plane blur (uniform from 0)
    ghosts            share of subjects who moved during one of the sequences
    missing           share of subjects of whom one sequence lacks slices at one end
    """

    source: str
    kinds: dict[str, float]
    sites: tuple[Site, ...]
    timing: float = 0.0
    inversion: float = 0.0
    tissue: float = 0.03
    lesion_tissue: float = 0.03
    uptake: tuple[float, float] | tuple[()] = ()
    hyperintensities: tuple[float, float] | tuple[()] = ()
    noise_spread: float = 0.0
    bias_spread: float = 0.0
    blur: float = 0.0
    ghosts: float = 0.0
    missing: float = 0.0


# The noise of scanner A at the time when the records in results/ were made
UNIFORM = Variation("phantom-uniform", kinds={"ring-enhancing": 1.0}, sites=(replace(SITES[0], noise=0.020),))
VARIED = Variation(
    "phantom",
    kinds={"ring-enhancing": 0.70, "solid enhancing": 0.12, "non-enhancing": 0.12},
    sites=SITES,
    timing=0.18,
    inversion=0.05,
    tissue=0.10,
    lesion_tissue=0.15,
    uptake=(3.0, 1.0),
    hyperintensities=(1.0, 0.8),
    noise_spread=0.35,
    bias_spread=0.40,
    blur=1.0,
    ghosts=0.05,
    missing=0.02,
)
