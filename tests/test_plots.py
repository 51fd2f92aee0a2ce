"""Plots: every label has its own colour in maps, outlines and legends; tensors may be on any device."""

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb, to_rgba

import medsynth_lib as ms
from medsynth_lib import plots
from medsynth_lib.data.slices import SliceSet


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


class Elsewhere(torch.Tensor):
    """Stands in for a tensor on a GPU: numpy may have it only after `.cpu()`."""

    def __array__(self, *args, **kwargs):
        raise TypeError("can't convert cuda:0 device type tensor to numpy.")

    def numpy(self, *args, **kwargs):
        return self.__array__()

    def cpu(self):
        return self.as_subclass(torch.Tensor)


def elsewhere(tensor):
    return tensor.as_subclass(Elsewhere)


def many_labels(n=32, size=16):
    """One slice in which every label value from 0 to n - 1 has a block of 2 x 2 pixels."""
    labels = np.zeros((1, size, size), np.uint8)
    for value in range(n):
        row, column = divmod(value, size // 2)
        labels[0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = value
    names = tuple(f"part {value}" for value in range(n))
    images = np.zeros((1, 1, size, size), np.float32)
    return SliceSet(images=images, labels=labels, subjects=["a"], channels=("x",), label_names=names)


def test_the_first_seven_colours_stay_and_no_two_are_alike():
    assert plots.LABEL_COLOURS[1:4] == ("#e69f00", "#0072b2", "#009e73")
    assert plots.LABEL_COLOURS[:8] == plots.BASE_COLOURS
    assert len(set(plots.LABEL_COLOURS)) == 256, "a colour for every value that a byte can have"
    colours = [np.array(to_rgb(colour)) for colour in plots.LABEL_COLOURS[1:33]]
    assert min(np.linalg.norm(a - b) for a, b in combinations(colours, 2)) > 0.2
    assert all(colour.max() > 0.4 and np.ptp(colour) > 0.2 for colour in colours[7:]), "seen on black and on grey"


def test_thirty_one_labels_have_their_colours_in_map_outline_and_key():
    slices = many_labels()
    figure = ms.show_slices(slices)
    image = figure.axes[1].images[1]
    colours = image.to_rgba(image.get_array())[::2, ::2].reshape(-1, 4)[:32]
    assert np.allclose(colours[1:], [to_rgba(colour) for colour in plots.LABEL_COLOURS[1:32]], atol=1 / 255)
    ax = plt.subplots()[1]
    ms.show_image(ax, slices.images[0, 0], slices.labels[0])
    outlines = [tuple(c.get_edgecolor()[0]) for c in ax.collections]
    assert len(set(outlines)) == 31
    (key,) = ms.label_legend(slices).legends
    assert [text.get_text() for text in key.get_texts()] == list(slices.label_names[1:])
    squares = [to_rgba(handle.get_color()) for handle in key.legend_handles]
    assert squares == outlines == [to_rgba(colour) for colour in plots.LABEL_COLOURS[1:32]]


def test_the_highest_value_of_a_byte_is_drawn():
    ax = plt.subplots()[1]
    labels = np.full((4, 4), 255, np.uint8)
    labels[:2] = 8
    ms.show_image(ax, np.zeros((4, 4)), labels)
    ms.show_labels(ax, labels)
    image = ax.images[-1]
    found = image.to_rgba(image.get_array())
    assert np.allclose(found[0, 0], to_rgba(plots.LABEL_COLOURS[8]), atol=1 / 255)
    assert np.allclose(found[3, 3], to_rgba(plots.LABEL_COLOURS[255]), atol=1 / 255)


@pytest.mark.parametrize("where", [lambda x: x, elsewhere], ids=["cpu", "elsewhere"])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_tensors_are_drawn_wherever_they_live(where, kind):
    torch.manual_seed(0)
    images = torch.rand(3, 2, 8, 8).to(kind).requires_grad_(True)
    labels = torch.randint(0, 3, (3, 8, 8), dtype=torch.uint8)
    figure = ms.show_grid(where(images), where(labels), channel=1)
    expected = images[2, 1].detach().float().numpy()
    assert np.array_equal(figure.axes[2].images[0].get_array(), expected)
    ax = plt.subplots()[1]
    ms.show_image(ax, where(images)[2, 1], where(labels)[2])
    assert np.array_equal(ax.images[0].get_array(), expected) and len(ax.collections) == 2
    ms.show_labels(ax, where(labels)[2])
    assert np.array_equal(ax.images[-1].get_array(), labels[2])
    plots.outline_labels(ax, where(labels)[2].long())


def test_arrays_keep_their_kind():
    assert plots.as_array(torch.tensor([3], dtype=torch.uint8)).dtype == np.uint8
    assert plots.as_array([1, 2]).tolist() == [1, 2] and plots.as_array(np.float32(2)).dtype == np.float32
