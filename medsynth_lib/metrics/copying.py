"""Memorization in a feature space: is a synthetic slice nearer to the training people than an unseen person is?

Distances are Euclidean between features (of length 1: a cosine c is the distance sqrt(2 - 2 c)). Stein et al. 2023
(arXiv 2306.04675) show that the scores below cannot tell memorizing from a shrunken variety, so none stands alone: each
comes with the value that unseen real people reach in the place of the samples, and with planted copies (`plant`).
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import mannwhitneyu

from ..core.portions import blocks
from .memorization import judge
from .neighbours import nearest

STEPS = 60  # of Adam on the widths of the FLD density


def best_cosine(queries, references) -> tuple[np.ndarray, np.ndarray]:
    """Largest cosine of each query [N, D] with any reference [M, D], all of length 1, and with which: [N], [N]."""
    distance, at = nearest(queries, references)
    return 1 - distance**2 / 2, at


def cosine_audit(synthetic, training, holdout, subjects, seed: int = 0) -> dict:
    """Share of samples nearer to a training slice than 99 % of held-out slices are, by the cosine of features.

    synthetic, training, holdout  features of length 1 [., D]; subjects [.] of the holdout rows. Keys: see
    `memorization.judge`; besides "r", "r_null" (largest cosines) and "nearest" (rows of training).
    """
    (r, at), (r_null, _) = (best_cosine(x, training) for x in (synthetic, holdout))
    return {**judge(r, r_null, np.asarray(subjects), seed), "r": r, "r_null": r_null, "nearest": at}


def c_t(synthetic, training, holdout) -> float:
    """C_T (Meehan et al. 2020, arXiv 2004.05675), global form: z of the Mann-Whitney test of distances to training.

    Below 0: the samples lie nearer to the training rows than the holdout does; below -3 they were copied, or are so
    average that they lie near everybody.
    """
    sample, unseen = (nearest(x, training)[0] for x in (synthetic, holdout))
    n, m = len(sample), len(unseen)
    u = mannwhitneyu(sample, unseen).statistic
    return float((u - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))


def authenticity(synthetic, training, subjects) -> float:
    """Share of samples that are authentic (Alaa et al. 2022, arXiv 2102.08921).

    A sample is not where its nearest training slice has no slice of *another* person (`subjects` of the training rows)
    as near as the sample. With slices of the same person admitted, as the definition has it for independent pictures,
    the neighbouring slice would make nearly everything authentic.
    """
    distance, at = nearest(synthetic, training)
    to_others, _ = nearest(training, training, apart=(subjects, subjects))
    return float((distance > to_others[at]).mean())


def distance_ratio(synthetic, training, holdout) -> float:
    """Mean over samples of d(nearest training row) / d(nearest holdout row), of equally large sets of real rows.

    1: the samples are as near to people they never met. ValueError when the sets differ in size.
    """
    if len(training) != len(holdout):
        raise ValueError(
            f"{len(training)} training and {len(holdout)} holdout rows: more rows lie nearer; give equally many."
        )
    near, far = (nearest(synthetic, x)[0] for x in (training, holdout))
    return float(np.mean(near / np.maximum(far, 1e-9)))


def likelihood_gap(synthetic, training, holdout) -> float:
    """How much more likely the training rows are than the holdout's, in nats per row, under a density of the samples.

    Jiralerspong et al. 2023 (FLD, arXiv 2302.04440): a Gaussian on every sample, whose width is fitted to the training
    rows, so that a sample that sits on a training row becomes narrow and betrays itself. 0: no difference.
    """
    rows = (synthetic, training, holdout)
    synthetic, training, holdout = (torch.as_tensor(np.asarray(x), dtype=torch.float64) for x in rows)
    d = synthetic.shape[1]

    def squares(real):
        """Squared distances to all samples, block by block: the table of all would be too large."""
        return (torch.cdist(real[rows], synthetic).square() for rows in blocks(len(real), len(synthetic)))

    start = torch.cat([block.min(1).values for block in squares(training)]).mean().clamp_min(1e-8) / d
    logs = torch.full((len(synthetic),), float(start.log()), dtype=torch.float64, requires_grad=True)  # of variances
    adam = torch.optim.Adam([logs], lr=0.2)

    def log_density(block):
        return torch.logsumexp(-0.5 * block / logs.exp() - 0.5 * d * logs, dim=1)

    for _ in range(STEPS):
        adam.zero_grad()
        for block in squares(training):
            (-log_density(block).sum() / len(training)).backward()
        adam.step()
    with torch.no_grad():
        seen, unseen = (torch.cat([log_density(x) for x in squares(real)]).mean() for real in (training, holdout))
        return float(seen - unseen)


def scores(synthetic, training, holdout, train_people, seed: int) -> dict[str, float]:
    """The four scores at one size: features [., D], `train_people` [.] of the training rows.

    The training rows for ratio and gap are drawn by person, as many rows as the holdout has.
    """
    few = drawn_by_person(train_people, len(holdout), seed)
    n = min(len(few), len(holdout))
    return {
        "c_t": c_t(synthetic, training, holdout),
        "authenticity": authenticity(synthetic, training, train_people),
        "distance_ratio": distance_ratio(synthetic, training[few[:n]], holdout[:n]),
        "likelihood_gap": likelihood_gap(synthetic, training[few[:n]], holdout[:n]),
    }


def drawn_by_person(people, n: int, seed: int) -> np.ndarray:
    """About n rows of whole people, in random order of the people: positions."""
    people = np.asarray(people)
    order = np.random.default_rng(seed).permutation(np.unique(people))
    rows = np.concatenate([np.flatnonzero(people == person) for person in order])
    return rows[:n]


def with_null(synthetic, training, holdout, people: tuple, seed: int) -> dict:
    """The four scores of the samples, and of one half of the held-out people in their place, at the same n.

    synthetic, training, holdout  features [., D]; people  the subjects [.] of training and of holdout rows.
    """
    rng = np.random.default_rng(seed)
    of_training, of_holdout = (np.asarray(names) for names in people)
    half = np.array_split(rng.permutation(np.unique(of_holdout)), 2)[0]
    posing = np.isin(of_holdout, half)
    drawn = synthetic[rng.permutation(len(synthetic))[: posing.sum()]]
    rest = (training, holdout[~posing], of_training, seed)
    return {"synthetic": scores(drawn, *rest), "unseen_people": scores(holdout[posing], *rest), "n": len(drawn)}
