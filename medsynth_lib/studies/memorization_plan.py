"""Which trainings notebook 10 compares. Imports no torch, because the Snakefile plans one job for each."""

from __future__ import annotations

from dataclasses import dataclass

from ..experiment.profiles import MemorizationSizes

GENERATORS = ("edm", "dcgan")
MITIGATIONS = ("augmented", "thinned", "small")
PLAIN = "plain"
THINNED = 4  # in "thinned": this many times the subjects, and every k-th slice of each


@dataclass(frozen=True)
class Case:
    """One training: which generator, on how many subjects (0 = all), with which mitigation, which repetition."""

    generator: str
    subjects: int
    mitigation: str
    k: int

    @property
    def name(self) -> str:
        return f"{self.generator}-{self.subjects or 'all'}-{self.mitigation}"

    @property
    def path(self) -> str:
        """Its folder below that of the run."""
        return f"memorization/{self.name}/{self.k}"


def case_of(name: str, k: int) -> Case:
    """The case called `name`; ValueError for an unknown one."""
    generator, _, rest = name.partition("-")
    subjects, _, mitigation = rest.partition("-")
    number = 0 if subjects == "all" else int(subjects) if subjects.isdigit() else -1
    if generator not in GENERATORS or number < 0 or mitigation not in (PLAIN, *MITIGATIONS):
        raise ValueError(
            f"unknown case {name!r}; write GENERATOR-SUBJECTS-MITIGATION with a generator of {', '.join(GENERATORS)}, "
            f"a number of subjects or all, and a mitigation of {', '.join((PLAIN, *MITIGATIONS))}."
        )
    return Case(generator, number, mitigation, k)


def cases(sizes: MemorizationSizes) -> list[Case]:
    """Each generator on each number of subjects; the diffusion model with each mitigation, too."""
    plain = [(generator, subjects, PLAIN) for generator in GENERATORS for subjects in sizes.subjects]
    mitigated = [("edm", sizes.mitigated, mitigation) for mitigation in MITIGATIONS]
    return [Case(*what, k) for what in (*plain, *mitigated) for k in range(sizes.seeds)]
