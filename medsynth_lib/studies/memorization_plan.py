"""Which trainings notebook 10 compares. Without torch: Snakemake reads it to plan one job for each."""

from __future__ import annotations

from dataclasses import dataclass

from ..experiment.profiles import MemorySizes

GENERATORS = ("edm", "dcgan")
REMEDIES = ("augmented", "thinned", "small")
PLAIN = "plain"
THINNED = 4  # of "thinned": so many times the people, every so-manieth slice of each


@dataclass(frozen=True)
class Case:
    """One training: which generator, on how many people (0 = all), with which remedy, which repetition."""

    generator: str
    people: int
    remedy: str
    k: int

    @property
    def name(self) -> str:
        return f"{self.generator}-{self.people or 'all'}-{self.remedy}"

    @property
    def path(self) -> str:
        """Its folder below that of the run."""
        return f"memory/{self.name}/{self.k}"


def case_of(name: str, k: int) -> Case:
    """The case of this name; ValueError for another."""
    generator, _, rest = name.partition("-")
    people, _, remedy = rest.partition("-")
    number = 0 if people == "all" else int(people) if people.isdigit() else -1
    if generator not in GENERATORS or number < 0 or remedy not in (PLAIN, *REMEDIES):
        raise ValueError(
            f"unknown case {name!r}; write GENERATOR-PEOPLE-REMEDY with a generator of {', '.join(GENERATORS)}, a "
            f"number of people or all, and a remedy of {', '.join((PLAIN, *REMEDIES))}."
        )
    return Case(generator, number, remedy, k)


def cases(sizes: MemorySizes) -> list[Case]:
    """Each generator on each number of people; the diffusion model with each remedy on `sizes.remedied` of them."""
    plain = [(generator, people, PLAIN) for generator in GENERATORS for people in sizes.people]
    remedied = [("edm", sizes.remedied, remedy) for remedy in REMEDIES]
    return [Case(*what, k) for what in (*plain, *remedied) for k in range(sizes.seeds)]
