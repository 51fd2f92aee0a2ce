"""The numbered notebooks, what each reads from others, and which ones a command runs. One line per notebook."""

from __future__ import annotations

from pathlib import Path

import nbformat

from ..core.provenance import LIBRARY, package_hash, sources_hash
from ..experiment.profiles import Profile

FOLDER = LIBRARY.parent / "notebooks"
GENERATORS = "every generator notebook that is run"

# notebook: (notebooks it needs, what it does: "generator" trains some for 06 and 07 and, like "training", runs
# beside others on half of the cores, because its batches are too small for more; "alone" takes them all, and so does a
# "generator alone", whose own trainings run side by side)
NOTEBOOKS = {
    "00_data": ([], "alone"),
    "01_vae": (["00_data"], "generator"),
    "02_dcgan": (["00_data"], "generator"),
    "03_stylegan": (["00_data"], "generator"),
    "04_cyclegan": (["00_data"], "training"),
    "05_ddpm": (["00_data", "01_vae"], "generator alone"),
    "06_segmentation": (["00_data", GENERATORS], "alone"),
    "07_evaluation": (["06_segmentation", GENERATORS], "alone"),
    "08_translation_for_segmentation": (["00_data"], "alone"),
    "09_latent_diffusion": (["00_data"], "alone"),
    "10_memorization": (["00_data"], "alone"),
    "11_rare_and_unlabelled": (["00_data"], "alone"),
    "12_measures_measured": (["00_data"], "alone"),
}
# The generators that a notebook trains (03_stylegan's: see the profile). Each gets its own arms in 06.
TRAINED = {"01_vae": ("vae",), "02_dcgan": ("dcgan",), "05_ddpm": ("latent_diffusion", "edm")}
SEGMENTATION, MEMORIZATION = "06_segmentation", "10_memorization"  # their trainings are jobs of their own
CORE = [name for name in NOTEBOOKS if name < "08"]


def select(wanted: str) -> list[str]:
    """Notebooks named by "core", "all" or numbers ("00 05"), with what they need, in reading order.

    Raises ValueError with the known numbers for an unknown one.
    """
    if wanted in ("core", "all"):
        return list(CORE if wanted == "core" else NOTEBOOKS)
    numbers = {name[:2]: name for name in NOTEBOOKS}
    chosen = []
    for word in wanted.replace(",", " ").split():
        if word[:2] not in numbers or word not in (word[:2], numbers[word[:2]]):
            raise ValueError(f"unknown notebook {word!r}; known: core, all, {', '.join(numbers)}.")
        chosen.append(numbers[word[:2]])
    if not chosen:
        raise ValueError(f"no notebook was named; known: core, all, {', '.join(numbers)}.")
    if not any(is_generator(name) for name in chosen) and any(GENERATORS in NOTEBOOKS[name][0] for name in chosen):
        chosen += [name for name in CORE if is_generator(name)]
    for name in list(chosen):
        chosen += needs(name, chosen)
    chosen += [other for name in list(chosen) for other in needs(name, chosen)]
    return sorted(set(chosen))


def trained_by(name: str, settings: Profile) -> tuple[str, ...]:
    """The generators that this notebook trains in a profile."""
    return settings.stylegan.trained if name == "03_stylegan" else TRAINED.get(name, ())


def is_generator(name: str) -> bool:
    return NOTEBOOKS[name][1].startswith("generator")


def shares_cores(name: str) -> bool:
    return not NOTEBOOKS[name][1].endswith("alone")


def needs(name: str, selected: list[str]) -> list[str]:
    """Notebooks that must finish before `name`, among those selected for generators."""
    out = []
    for other in NOTEBOOKS[name][0]:
        out += [g for g in selected if is_generator(g)] if other == GENERATORS else [other]
    return out


def notebook_hash(name: str, folder: Path = FOLDER, library: Path = LIBRARY) -> str:
    """Hash of the notebook's code cells and of the library's code, which text and comments do not change."""
    cells = nbformat.read(folder / f"{name}.ipynb", as_version=4).cells
    return sources_hash([cell.source for cell in cells if cell.cell_type == "code"]) + package_hash(library=library)
