"""Lesions: nothing is cut by the box in which a front is followed, kinds are what their names say, tissue gives way."""

import numpy as np
import pytest
from skimage.graph import MCP_Geometric

from medsynth_lib.data.phantom.anatomy import COARSE, coarse_grid, deformation, fractions, jacobian, template
from medsynth_lib.data.phantom.lesion import (
    CORE_RADIUS,
    arrival,
    cut_by_box,
    grow,
    lesions,
    mass_effect,
    pick_kind,
    without_islands,
)
from medsynth_lib.data.phantom.variation import KINDS, NO_LESION, VARIED

GRID = coarse_grid()
SEEDS = range(24)


@pytest.fixture(scope="module")
def grown():
    """Ring-enhancing lesions of many seeds in the undeformed brain: (lesion, tissue)."""
    tissue = fractions(template(COARSE), GRID)
    found = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        centre = GRID[(slice(None), *rng.choice(np.argwhere(tissue[1] > 0.9)))]
        found.append(grow(rng, "ring-enhancing", GRID, tissue, centre, float(rng.uniform(8, 26))))
    return found, tissue


def largest_straight_border(inside: np.ndarray, tissue: np.ndarray) -> int:
    """Voxel faces in one plane of the grid where `inside` ends although white matter goes on: the most of any plane."""
    most = 0
    for axis in range(3):
        here, there = (np.moveaxis(inside, axis, 0)[k] for k in (slice(None, -1), slice(1, None)))
        white = np.moveaxis(tissue[1] > 0.8, axis, 0)
        open_way = white[:-1] & white[1:] & (here != there)
        most = max(most, int(open_way.sum(axis=(1, 2)).max()))
    return most


def test_no_lesion_ends_in_a_straight_border(grown):
    """A front that is cut by a box ends in one plane, in many faces at once."""
    found, tissue = grown
    assert max(largest_straight_border(lesion.oedema > 0, tissue) for lesion in found) < 60
    box = np.zeros(tissue.shape[1:], bool)
    box[20:44, 20:44, 8:30] = True
    assert largest_straight_border(box & (tissue[2] > 0.5), tissue) > 100, "the measure finds a box"


@pytest.mark.parametrize("limit", [6.0, 30.0, 70.0])
def test_the_front_is_that_of_the_whole_grid(limit):
    rng = np.random.default_rng(0)
    cost = np.exp(0.5 * rng.standard_normal((40, 40, 30)))
    cost[:, 18:20] = 0.05  # a fast way, which leaves every small box
    whole = MCP_Geometric(cost, sampling=(COARSE,) * 3).find_costs([(20, 20, 15)])[0]
    assert np.allclose(arrival(cost, (20, 20, 15), limit), np.minimum(whole, limit), rtol=1e-5)


def test_a_box_cuts_at_its_faces_but_not_at_those_of_the_grid():
    inside = np.zeros((4, 4, 4), bool)
    inside[0, 1, 1] = True
    assert cut_by_box(inside, (slice(2, 6), slice(0, 4), slice(0, 4)), (9, 9, 9))
    assert not cut_by_box(inside, (slice(0, 4), slice(0, 4), slice(0, 4)), (9, 9, 9))


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_are_what_their_names_say(kind, grown):
    _, tissue = grown
    found = grow(np.random.default_rng(3), kind, GRID, tissue, np.array([25.0, -20.0, 20.0]), 15.0)
    core, necrosis = found.core > 0, found.necrosis > 0
    share = (necrosis & core).sum() / core.sum()
    assert core.any() and (necrosis <= core).all() and ((found.oedema > 0) >= core).all()
    assert {"ring-enhancing": 0 < share < 0.9, "solid enhancing": share == 0, "non-enhancing": share == 1}[kind]


def test_kinds_occur_in_the_stated_shares():
    rng = np.random.default_rng(0)
    found = [pick_kind(rng, VARIED.kinds) for _ in range(4_000)]
    for kind, share in {**VARIED.kinds, NO_LESION: 1 - sum(VARIED.kinds.values())}.items():
        assert found.count(kind) / 4_000 == pytest.approx(share, abs=0.03)
    assert {pick_kind(rng, {"ring-enhancing": 1.0}) for _ in range(50)} == {"ring-enhancing"}


def test_without_a_lesion_nothing_is_inside_and_nothing_moves():
    source = deformation(np.random.default_rng(2), GRID)
    lesion, tissue, after, depth = lesions(np.random.default_rng(1), {"ring-enhancing": 0.0}, GRID, source)
    assert lesion.kind == NO_LESION and lesion.foci == 0 and after is source
    assert max(field.max() for field in (lesion.core, lesion.necrosis, lesion.oedema)) < 0
    assert depth.max() > 40 and tissue.shape == (3, *GRID.shape[1:])


def test_the_push_of_a_lesion_folds_nothing():
    for seed in range(4):
        rng = np.random.default_rng(seed)
        _, tissue, pushed, _ = lesions(rng, {"ring-enhancing": 1.0}, GRID, deformation(rng, GRID))
        assert jacobian(pushed)[tissue[2] > 0.5].min() > 0


def test_mass_effect_pushes_outwards_and_fades():
    centre, radius = np.array([0.0, -18.0, 15.0]), 15.0
    pushed = mass_effect(GRID, GRID, centre, radius, np.full(GRID.shape[1:], 40.0))
    away = GRID - centre.reshape(3, 1, 1, 1)
    r = np.sqrt((away**2).sum(0))
    delta = np.sqrt(((pushed - GRID) ** 2).sum(0))
    near, far = (r > 15) & (r < 18), r > 80
    assert (((GRID - pushed) * away).sum(0)[near] > 0).all(), "tissue comes from deeper inside"
    assert delta[near].mean() == pytest.approx(0.35 * radius * np.exp(-1.5 / (1.5 * radius)), rel=0.1)
    assert delta[far].max() < 0.3
    assert (jacobian(pushed)[r > radius] > 0).mean() > 0.999


def test_a_focus_is_one_mass():
    core = np.full((9, 9, 9), -1.0)
    core[2:5, 2:5, 2:5] = core[7, 7, 7] = 2.0
    whole = without_islands(core, (3, 3, 3))
    assert whole[3, 3, 3] == 2 and whole[7, 7, 7] < 0 and (whole > 0).sum() == 27


def test_core_radii_follow_the_stated_law():
    source, radii = GRID, []
    for seed in range(40):
        radii.append(lesions(np.random.default_rng(seed), {}, GRID, source)[0].radius)
    median, deviation = CORE_RADIUS
    assert np.median(np.log(radii)) == pytest.approx(np.log(median), abs=3 * 1.25 * deviation / np.sqrt(40))
    assert np.std(np.log(radii)) == pytest.approx(deviation, rel=0.3)
