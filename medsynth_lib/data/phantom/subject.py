"""One simulated subject: anatomy, lesion, hyperintensities and scan put together into slices and labels."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt

from .anatomy import (
    COARSE,
    FIELD_OF_VIEW,
    LEVELS,
    RNG,
    at_slices,
    coarse_grid,
    deformation,
    fractions,
    large_pieces,
    slice_grid,
    smooth_noise,
    template,
)
from .hyperintensities import Hyperintensities, hyperintensities
from .lesion import OEDEMA, Lesion, lesions
from .scan import Scan, acquire, new_scan
from .variation import KINDS, NO_LESION, Variation

LABEL_NAMES = ("background", "necrotic core", "oedema", "enhancing tumour")
CLASS_NAMES = (NO_LESION, *KINDS)
GREY_LAG = 2.0  # mm by which oedema ends earlier in grey matter
VESSEL_DEPTH = 20.0  # mm below the brain's surface where sulcal vessels end (no vessels in the ventricles)
MARGIN = 5.0  # mm beyond either end of the lesion that the slices cover


def slice_positions(lesion: Lesion, inside: np.ndarray, grid: np.ndarray, count: int) -> np.ndarray:
    """`count` ascending slice positions in mm, evenly spaced over the lesion (`inside` [X, Y, Z]) and MARGIN beyond.

    Without a lesion, over what one of the same centre and radius would take up.
    """
    hit = grid[2, 0, 0][inside.any(axis=(0, 1))]
    reach = lesion.radius + OEDEMA[0]
    low, high = (hit.min(), hit.max()) if len(hit) else (lesion.centre[2] - reach, lesion.centre[2] + reach)
    return np.linspace(max(low - MARGIN, LEVELS[0] - 6), min(high + MARGIN, LEVELS[1] + 6), count)


def soft(field: np.ndarray, width: float) -> np.ndarray:
    """Fraction of a pixel inside a signed `field` (mm): 0.5 on the border, 0 or 1 half a pixel `width` (mm) from it."""
    return np.clip(field / width + 0.5, 0, 1)


def parts_of(
    rng: RNG,
    grey: np.ndarray,
    white: np.ndarray,
    mask: np.ndarray,
    lesion: np.ndarray,
    pixel: float,
    bright: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """The share of each pixel that each tissue fills: {tissue: [N, H, W]}; "core" is the lesion's core without uptake.

    grey, white  fractions [N, H, W]; mask: the brain, bool [N, H, W]
    lesion       signed fields of core, necrosis and oedema in mm [3, N, H, W] (see `Lesion`); pixel: its size in mm
    bright       share of white matter that is hyperintense [N, H, W]
    """
    core, necrosis, oedema = lesion
    inside = {"core": soft(necrosis, pixel)}
    inside["enhancing"] = soft(core, pixel) - inside["core"]
    # Oedema does not fill ventricles or sulci.
    csf = np.clip(1 - grey - white, 0, 1)
    spread = (soft(oedema - GREY_LAG * grey, pixel) - soft(core, pixel)).clip(0)
    inside["oedema"] = spread * np.clip(1.4 - 1.6 * csf, 0, 1)
    healthy = 1 - sum(inside.values())
    # Vessels: thin sheets in sulcal CSF near the brain's edge, bright after contrast agent.
    below = np.stack([distance_transform_edt(plane, sampling=pixel) for plane in mask])
    shallow = np.clip((VESSEL_DEPTH - below) / 5, 0, 1).astype(np.float32)
    sheet = np.abs(smooth_noise(rng, grey.shape, (0.6, 5 / pixel, 5 / pixel))) < 0.12
    vessel = 0.5 * csf * sheet * shallow * healthy
    hyperintense = white * healthy * (0 if bright is None else bright)
    return {
        **inside,
        "vessel": vessel,
        "grey": grey * healthy,
        "hyperintensity": hyperintense,
        "white": white * healthy - hyperintense,
        "csf": csf * healthy - vessel,
    }


def labels_of(parts: dict[str, np.ndarray], mask: np.ndarray) -> np.ndarray:
    """Labels uint8 [N, H, W]: the largest lesion part where the lesion fills more than half of a pixel of the brain."""
    stack = np.stack([parts[name] for name in ("core", "oedema", "enhancing")])  # values 1, 2, 3 of BraTS
    labels = np.where(stack.sum(0) > 0.5, stack.argmax(0) + 1, 0)
    return (labels * mask).astype(np.uint8)


def simulate_subject(index: int, image_size: int, slices_per_subject: int, seed: int, how: Variation) -> dict:
    """One subject: "images" float32 [N, 4, H, W] in [-1, 1], "labels" uint8 [N, H, W], "classes", "levels" int64 [N].

    Levels are in mm; the class of a slice is the kind of its lesion, as far as the slice shows one. "facts" are the
    truths behind the subject (see `simulate`). The result depends on `seed`, `index`, `how` and the sizes only, not on
    the number of subjects or of workers.
    """
    rng = np.random.default_rng([seed, index])
    pixel = FIELD_OF_VIEW / image_size
    grid = coarse_grid()
    lesion, tissue, source, depth = lesions(rng, how.kinds, grid, deformation(rng, grid))
    scan = new_scan(rng, how)
    spots = hyperintensities(rng, how.hyperintensities, grid, tissue, depth) if how.hyperintensities else None
    levels = slice_positions(lesion, (lesion.oedema > 0) & (tissue[2] > 0.5), grid, slices_per_subject)
    where = slice_grid(levels, image_size)
    fields = [*source, lesion.core, lesion.necrosis, lesion.oedema, *([] if spots is None else [spots.caps])]
    found = at_slices(np.stack(fields), grid, where)
    grey, white, brain = fractions(template(max(1.0, pixel)), found[:3])
    mask = large_pieces(brain > 0.5 + 0.12 * smooth_noise(rng, brain.shape, (0.3, 4 / pixel, 4 / pixel)))
    bright = None if spots is None else spots.share(found[6], where, pixel)
    parts = parts_of(rng, grey, white, mask, found[3:6], pixel, bright)
    labels = labels_of(parts, mask)
    parts["tumour" if lesion.kind == "non-enhancing" else "necrosis"] = parts.pop("core")
    return {
        "images": acquire(rng, scan, parts, mask, pixel),
        "labels": labels,
        "classes": np.where((labels > 0).any(axis=(1, 2)), CLASS_NAMES.index(lesion.kind), 0),
        "levels": np.round(levels).astype(np.int64),
        "facts": facts_of(lesion, scan, spots, tissue),
    }


def facts_of(lesion: Lesion, scan: Scan, spots: Hyperintensities | None, tissue: np.ndarray) -> dict[str, str | float]:
    """The truths behind one subject, see `simulate`."""
    ml = COARSE**3 / 1000
    brain = tissue[2] > 0.5
    return {
        "kind": lesion.kind,
        "core_radius_mm": round(lesion.radius, 2) if lesion.foci else 0.0,
        "foci": lesion.foci,
        "core_ml": round(float((lesion.core > 0)[brain].sum()) * ml, 2),
        "oedema_ml": round(float(((lesion.oedema > 0) & (lesion.core <= 0))[brain].sum()) * ml, 2),
        "uptake": round(scan.uptake, 3) if lesion.kind in KINDS[:2] else 0.0,
        "hyperintensity_load": 0.0 if spots is None else round(spots.load, 3),
        "site": scan.site.name,
        "tesla": scan.site.tesla,
        "noise": round(scan.noise, 4),
        "blur_mm": round(scan.blur, 2),
        "moved": scan.moved,
        "incomplete": scan.incomplete,
    }
