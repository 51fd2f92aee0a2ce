"""The three segmenters learn; the ones that MONAI supervises at several scales count them as nnU-Net does."""

import pytest
import torch

from medsynth_lib.core.trainer import fit
from medsynth_lib.experiment.profiles import SegmentationSizes
from medsynth_lib.models.registry import names
from medsynth_lib.studies.arms import new_segmenter

SIZES = SegmentationSizes(20, 4, (4, 8, 16), 1e-2, 1, swin_width=12, swin_learning_rate=2e-3)


def squares(n=8, size=64):
    """A bright square somewhere; its pixels are label 1."""
    labels = torch.zeros(n, size, size, dtype=torch.uint8)
    for k in range(n):
        labels[k, 3 * k : 3 * k + 28, 4 * k : 4 * k + 24] = 1
    return {"images": labels[:, None].float() * 1.2 - 0.6, "labels": labels}


@pytest.mark.parametrize("name", names("segmenter"))
def test_it_learns(name, tmp_path):
    torch.manual_seed(0)
    net, data = new_segmenter(name, 1, 2, SIZES), squares()
    assert net.name == name and net.logits(data["images"][:2]).shape[-3:] == (2, 64, 64)
    fit(net, data, tmp_path, images=400, batch_size=4, seed=0)
    found = net.predict(data["images"])
    both = (found & data["labels"]).sum().item()
    assert 2 * both / (found.sum() + data["labels"].sum()).item() > 0.9


def test_deep_supervision_is_the_weighted_mean_over_scales():
    torch.manual_seed(0)
    net, data = new_segmenter("dynunet", 1, 2, SegmentationSizes(1, 1, (4, 8, 16, 16), 1e-2, 1)), squares(2)
    labels = data["labels"][:, None]
    net.net.train()
    scales = net.net(data["images"])
    assert scales.shape == (2, 3, 2, 64, 64), "full size, a half, a quarter"
    by_hand = sum(w * net.criterion(scales[:, i], labels) for i, w in enumerate((4, 2, 1))) / 7
    assert torch.allclose(net.loss(data["images"], labels), by_hand)
    net.net.eval()
    assert net.logits(data["images"]).shape == (2, 2, 64, 64), "only the full size is used"
