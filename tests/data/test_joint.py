"""Image and label as one image."""

from dataclasses import replace

import numpy as np
import torch

from medsynth_lib.data import joint
from medsynth_lib.data.slices import SliceSet


def make(n=6, labels=True, classes=False) -> SliceSet:
    rng = np.random.default_rng(0)
    return SliceSet(
        images=rng.uniform(-1, 1, (n, 2, 8, 8)).astype(np.float32),
        labels=rng.integers(0, 3, (n, 8, 8)).astype(np.uint8) if labels else None,
        classes=np.arange(n) % 2 if classes else None,
        subjects=[f"s{i // 2}" for i in range(n)],
        channels=("a", "b"),
        label_names=("background", "one", "two") if labels else (),
        class_names=("no", "yes") if classes else (),
        source="made",
    )


def test_encode_then_decode_is_the_identity():
    tensors = joint.tensors_of(make())
    image = joint.encode(tensors["images"], tensors["labels"], 3)
    assert image.shape == (6, 5, 8, 8)
    assert set(image[:, 2:].unique().tolist()) == {-1.0, 1.0}
    images, labels = joint.decode(image, 2)
    assert torch.equal(images, tensors["images"]) and torch.equal(labels, tensors["labels"])


def test_a_border_between_two_labels_stays_between_them():
    """Halfway from background to label 3 there is no label 1 or 2 with one-hot channels, but there is when coded."""
    labels = torch.zeros(1, 8, 8, dtype=torch.uint8)
    labels[:, :, 4:] = 3
    blur = torch.nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    one_hot = joint.encode(torch.zeros(1, 0, 8, 8), labels, 4)
    assert set(joint.decode(blur(one_hot), 0)[1].unique().tolist()) == {0, 3}
    coded = torch.tensor(joint.CODED_VALUES)[labels.long()] / 5 * 2 - 1
    assert torch.equal(joint.decode_coded_channel(coded), labels)
    assert set(joint.decode_coded_channel(blur(coded[:, None])[:, 0]).unique().tolist()) > {0, 3}


def test_classes_become_constant_planes_and_come_back():
    slices = make(labels=False, classes=True)
    tensors = joint.tensors_of(slices)
    assert joint.shape_of(slices).labels == 2
    back = joint.to_slices(tensors["images"], tensors["labels"], slices, "copy")
    assert np.array_equal(back.classes, slices.classes) and back.labels is None


def test_synthetic_slices_are_their_own_subjects_and_say_so():
    slices = make()
    tensors = joint.tensors_of(slices)
    back = joint.to_slices(tensors["images"], tensors["labels"], slices, "vae")
    assert len(back.unique_subjects()) == len(back)
    assert set(back.subjects).isdisjoint(slices.subjects)
    assert "not for diagnosis" in back.intended_use


def test_what_is_known_of_subjects_stays_with_them():
    """Synthetic slices have neither the facts of real subjects nor, beside labels, their classes."""
    slices = replace(make(classes=True), facts={"s0": {"site": "A"}})
    tensors = joint.tensors_of(slices)
    back = joint.to_slices(tensors["images"], tensors["labels"], slices, "vae")
    assert back.facts == {} and back.classes is None and back.class_names == ()


def test_a_source_without_labels_has_only_image_channels():
    slices = make(labels=False)
    assert joint.shape_of(slices).joint == 2
    tensors = joint.tensors_of(slices)
    assert joint.encode(tensors["images"], tensors["labels"], 0).shape == (6, 2, 8, 8)
