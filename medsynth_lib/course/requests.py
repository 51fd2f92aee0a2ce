"""Whether the notebooks of a request can run together, and on its data: checked before anything starts."""

from __future__ import annotations

from ..experiment.profiles import profile
from ..studies.segmentation_plan import compared
from .notebooks import NOTEBOOKS, SEGMENTATION, trained_by

SIMULATED = "12_measures_measured"  # draws subjects who are in no part of the data: only a simulation has them


def refuse_impossible(names: list[str], profile_name: str, data: str) -> None:
    """Raise ValueError, with what to type instead, for notebooks that would fail.

    names   all notebooks that shall run; data   the source, as in `registry.resolved`
    """
    if SIMULATED in names and not data.startswith("phantom"):
        others = " ".join(name[:2] for name in names if name != SIMULATED)
        raise ValueError(f'{SIMULATED} needs simulated subjects: use DATA=phantom for it, or NOTEBOOKS="{others}".')
    settings = profile(profile_name)
    trained = [made for name in names for made in trained_by(name, settings)]
    if SEGMENTATION not in names or compared(settings.segmentation, trained):
        return
    wanted = settings.segmentation.compared
    able = [name for name in NOTEBOOKS if set(trained_by(name, settings)) & set(wanted)]
    numbers = " ".join(sorted({name[:2] for name in (*names, *able[-1:])}))
    raise ValueError(
        f"{SEGMENTATION} compares only {', '.join(wanted)} in the profile {profile_name}, and these notebooks train "
        f'none of them; add {" or ".join(able)}, e.g. NOTEBOOKS="{numbers}".'
    )
