"""The default source: a SIMULATED glioma MR phantom. No patient data, no download, any number of held-out subjects.

A real average anatomy is deformed for every subject by a smooth random map; a lesion grows in white matter and pushes
the tissue around it (mass effect); the MR signal equations of the subject's scanner then give T1, T1ce, T2 and FLAIR
with partial volume, bias field and Rician noise. Labels follow BraTS. `phantom` has several scanners, kinds of lesion,
subjects without one, unlabelled hyperintensities, blur and artefacts; `phantom-uniform` has one scanner, one kind of
lesion and none of these (`variation.py`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from joblib import Parallel, delayed

from ..slices import DataError, SliceSet
from .anatomy import FIELD_OF_VIEW
from .lesion import CORE_RADIUS, RADIUS_LIMITS
from .physics import CHANNELS
from .subject import CLASS_NAMES, LABEL_NAMES, MARGIN, simulate_subject
from .variation import UNIFORM, VARIED, Variation

__all__ = ["UNIFORM", "VARIATIONS", "VARIED", "Variation", "simulate", "simulate_subject"]

VARIATIONS = {how.source: how for how in (VARIED, UNIFORM)}


def simulate(
    subjects: int,
    image_size: int = 64,
    slices_per_subject: int = 8,
    seed: int = 0,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    how: Variation = VARIED,
) -> SliceSet:
    """A slice set of `subjects` simulated subjects. Arguments as in `registry.load`; `how` much they vary.

    0, which means "all" for other sources, stands for 369 subjects (as in BraTS 2020) and 64 slices per subject.
    `facts` of the set hold the truth behind every subject: kind of lesion, radius of its core, volumes, uptake, load of
    hyperintensities, site, noise, blur and artefacts. Raises DataError for negative numbers or images below 16 pixels.
    """
    subjects, slices_per_subject = (subjects or 369), (slices_per_subject or 64)
    if subjects < 1 or slices_per_subject < 1 or image_size < 16:
        raise DataError(
            f"phantom: {subjects} subjects with {slices_per_subject} slices of {image_size} pixels cannot be made; "
            "ask for at least 1 subject, 1 slice and 16 pixels."
        )
    jobs = (delayed(simulate_subject)(i, image_size, slices_per_subject, seed, how) for i in range(subjects))
    made = []
    for subject in Parallel(n_jobs=workers, return_as="generator")(jobs):
        made.append(subject)
        if progress:
            progress(len(made), subjects)
    names = [f"phantom-{i:05d}" for i in range(subjects)]
    arrays = ("images", "labels", "classes", "levels")
    return SliceSet(
        **{name: np.concatenate([subject[name] for subject in made]) for name in arrays},
        subjects=np.repeat(names, slices_per_subject),
        facts={name: subject["facts"] for name, subject in zip(names, made, strict=True)},
        channels=CHANNELS,
        label_names=LABEL_NAMES,
        class_names=CLASS_NAMES,
        spacing=(FIELD_OF_VIEW / image_size,) * 2,
        source=how.source,
        licence="simulated by this project (Apache-2.0) from the ICBM 152 2009a template bundled with nilearn; "
        "cite Fonov et al., NeuroImage 54:313 (2011)",
        intended_use="teaching and tests of methods; a simulation, no patient data, not for diagnosis",
        processing=described(how),
    )


def described(how: Variation) -> dict[str, str]:
    """What the simulation does, for the card of a data set: text by topic."""
    shares = [f"{100 * share:.0f} % {kind}" for kind, share in how.kinds.items()]
    without = 1 - sum(how.kinds.values())
    return {
        "simulation": "deformed ICBM 152 anatomy, grown lesion with mass effect, MR signal equations, Rician noise",
        "lesions": ", ".join(shares) + (f", {100 * without:.0f} % of subjects without" if without > 1e-9 else ""),
        "lesion size": f"core radius log-normal, median {CORE_RADIUS[0]:g} mm, deviation of its logarithm "
        f"{CORE_RADIUS[1]:g}, clipped to {RADIUS_LIMITS[0]:g} - {RADIUS_LIMITS[1]:g} mm",
        "scanners": f"{len(how.sites)} ({', '.join(f'{site.name}: {site.tesla:g} T' for site in how.sites)})",
        "not labelled": "white-matter hyperintensities" if how.hyperintensities else "nothing that looks like a lesion",
        "intensity": "per subject and channel divided by the brain's 99.5th percentile, clipped, background -1",
        "slices": f"axial, evenly spaced over the lesion and {MARGIN:g} mm beyond it",
    }
