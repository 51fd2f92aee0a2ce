"""Memorization in a feature space: are synthetic slices nearer to the training subjects than unseen subjects are?

Distances are Euclidean between features of length 1 (a cosine similarity c is the distance sqrt(2 - 2 c)). Stein et al.
2023 (arXiv 2306.04675) show that the scores below cannot distinguish memorization from low diversity. Each therefore
comes with the value of unseen real subjects in place of the samples, and is tested with planted copies (`faults`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.stats import mannwhitneyu

from ..core.portions import blocks
from .memorization import audit_against_null
from .neighbours import nearest

STEPS = 60  # of Adam, for the variances of the density in `likelihood_gap`


def best_cosine(queries: ArrayLike, references: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Largest cosine of each query [N, D] with any reference [M, D], all of length 1, and its index: [N], [N]."""
    distance, at = nearest(queries, references)
    return 1 - distance**2 / 2, at


def cosine_audit(
    synthetic: ArrayLike, training: ArrayLike, holdout: ArrayLike, subjects: ArrayLike, seed: int = 0
) -> dict:
    """Share of samples nearer to a training slice than 99 % of held-out slices are, by the cosine of features.

    synthetic, training, holdout  features of length 1 [., D]; subjects [.] of the holdout rows
    Returns the keys of `memorization.audit_against_null`, "r" and "r_null" (largest cosines of synthetic and holdout
    rows) and "nearest" (indices of training rows).
    """
    (r, at), (r_null, _) = (best_cosine(x, training) for x in (synthetic, holdout))
    return {**audit_against_null(r, r_null, np.asarray(subjects), seed), "r": r, "r_null": r_null, "nearest": at}


def c_t(synthetic: ArrayLike, training: ArrayLike, holdout: ArrayLike) -> float:
    """C_T (Meehan et al. 2020, arXiv 2004.05675), global form, of features [., D].

    The z statistic of the Mann-Whitney test on the distances of samples and of holdout rows to their nearest training
    row. Below 0: samples are nearer to the training rows. Far below 0 (-3): they are copies, or so average that they
    are near to every row.
    """
    sample, unseen = (nearest(x, training)[0] for x in (synthetic, holdout))
    n, m = len(sample), len(unseen)
    u = mannwhitneyu(sample, unseen).statistic
    return float((u - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))


def authenticity(synthetic: ArrayLike, training: ArrayLike, subjects: ArrayLike) -> float:
    """Share of samples that are authentic (Alaa et al. 2022, arXiv 2102.08921), of features [., D].

    A sample is not authentic if it is nearer to its nearest training slice than every training slice of *another*
    subject is (`subjects` [.] of the training rows). The original definition, for independent images, compares with
    all training images; here the adjacent slice of the same subject would make nearly every sample authentic.
    """
    distance, at = nearest(synthetic, training)
    to_others, _ = nearest(training, training, exclude_same=(subjects, subjects))
    return float((distance > to_others[at]).mean())


def distance_ratio(synthetic: ArrayLike, training: ArrayLike, holdout: ArrayLike) -> float:
    """Mean over samples of d(nearest training row) / d(nearest holdout row), of features [., D].

    1: the samples are as near to unseen subjects as to training subjects; below 1: nearer to the latter. ValueError
    when training and holdout differ in size.
    """
    if len(training) != len(holdout):
        raise ValueError(
            f"{len(training)} training and {len(holdout)} holdout rows: the nearest of more rows is nearer by chance; "
            "give equally many."
        )
    near, far = (nearest(synthetic, x)[0] for x in (training, holdout))
    return float(np.mean(near / np.maximum(far, 1e-9)))


def likelihood_gap(synthetic: ArrayLike, training: ArrayLike, holdout: ArrayLike) -> float:
    """Mean log-likelihood of the training rows minus that of the holdout rows, in nats, under a density of the samples.

    Jiralerspong et al. 2023 (FLD, arXiv 2302.04440): the density is a mixture of one Gaussian per sample, with
    variances fitted to the training rows. A sample that copies a training row gets a small variance, which raises the
    likelihood of that row. 0: no difference. Features [., D].
    """
    rows = (synthetic, training, holdout)
    synthetic, training, holdout = (torch.as_tensor(np.asarray(x), dtype=torch.float64) for x in rows)
    d = synthetic.shape[1]

    def squares(real: torch.Tensor) -> Iterator[torch.Tensor]:
        """Squared distances of real rows to all samples, in blocks of rows to limit memory."""
        return (torch.cdist(real[rows], synthetic).square() for rows in blocks(len(real), len(synthetic)))

    start = torch.cat([block.min(1).values for block in squares(training)]).mean().clamp_min(1e-8) / d
    logs = torch.full((len(synthetic),), float(start.log()), dtype=torch.float64, requires_grad=True)  # of variances
    adam = torch.optim.Adam([logs], lr=0.2)

    def log_density(block: torch.Tensor) -> torch.Tensor:
        return torch.logsumexp(-0.5 * block / logs.exp() - 0.5 * d * logs, dim=1)

    for _ in range(STEPS):
        adam.zero_grad()
        for block in squares(training):
            (-log_density(block).sum() / len(training)).backward()
        adam.step()
    with torch.no_grad():
        seen, unseen = (torch.cat([log_density(x) for x in squares(real)]).mean() for real in (training, holdout))
        return float(seen - unseen)


def scores(
    synthetic: ArrayLike, training: ArrayLike, holdout: ArrayLike, training_subjects: ArrayLike, seed: int
) -> dict[str, float]:
    """The four scores above of features [., D]; `training_subjects` [.] of the training rows.

    Ratio and gap use as many training rows as there are holdout rows, those of randomly chosen subjects.
    """
    few = rows_of_random_subjects(training_subjects, len(holdout), seed)
    n = min(len(few), len(holdout))
    return {
        "c_t": c_t(synthetic, training, holdout),
        "authenticity": authenticity(synthetic, training, training_subjects),
        "distance_ratio": distance_ratio(synthetic, training[few[:n]], holdout[:n]),
        "likelihood_gap": likelihood_gap(synthetic, training[few[:n]], holdout[:n]),
    }


def rows_of_random_subjects(subjects: ArrayLike, n: int, seed: int) -> np.ndarray:
    """Indices of n rows, all rows of randomly ordered subjects (of the last one a part); `subjects` [N] of the rows."""
    subjects = np.asarray(subjects)
    order = np.random.default_rng(seed).permutation(np.unique(subjects))
    rows = np.concatenate([np.flatnonzero(subjects == subject) for subject in order])
    return rows[:n]


def with_null(
    synthetic: np.ndarray, training: np.ndarray, holdout: np.ndarray, subjects: tuple[ArrayLike, ArrayLike], seed: int
) -> dict:
    """The four scores of the samples, and of half of the held-out subjects in their place, at the same n.

    synthetic, training, holdout  features [., D]
    subjects  of the training rows and of the holdout rows, each [.]
    Returns {"synthetic", "unseen_subjects": see `scores`, "n": rows that were scored}.
    """
    rng = np.random.default_rng(seed)
    of_training, of_holdout = (np.asarray(names) for names in subjects)
    half = np.array_split(rng.permutation(np.unique(of_holdout)), 2)[0]
    in_half = np.isin(of_holdout, half)
    samples = synthetic[rng.permutation(len(synthetic))[: in_half.sum()]]
    rest = (training, holdout[~in_half], of_training, seed)
    return {"synthetic": scores(samples, *rest), "unseen_subjects": scores(holdout[in_half], *rest), "n": len(samples)}
