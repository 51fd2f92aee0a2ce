"""Searches and encoders on a device whose tensors may not meet those of the CPU: the same answers, as numpy arrays.

On a machine with a GPU the same on the GPU, to a few digits.
"""

import numpy as np
import pytest
import torch
from pretend_device import COUNTS, DEVICE
from scipy.spatial.distance import cdist

from medsynth_lib.metrics import copying, device, memorization, neighbours
from medsynth_lib.models.encoder import local
from medsynth_lib.models.encoder.simclr import SimCLR

DEVICES = [DEVICE, *([torch.device("cuda")] if torch.cuda.is_available() else [])]
RNG = np.random.default_rng(0)
QUERIES, REFERENCES = RNG.normal(0, 1, (50, 6)), RNG.normal(0, 1, (70, 6))
IMAGES, TRAINING = (RNG.uniform(-1, 1, (n, 2, 64, 64)).astype(np.float32) for n in (9, 11))


@pytest.fixture(params=DEVICES, ids=str)
def there(request, monkeypatch):
    """Searches run on this device, in blocks that do not fit the sets."""
    for module in (neighbours, memorization, local):
        monkeypatch.setattr(module, "search_device", lambda: request.param)
    monkeypatch.setattr(neighbours, "BLOCK", 16)
    monkeypatch.setattr(memorization, "BLOCK", 4)
    monkeypatch.setattr(memorization, "QUERIES", 4)
    COUNTS.clear()
    return request.param


def was_there(where) -> bool:
    return where != DEVICE or (COUNTS["to device"] > 0 and COUNTS["to host"] > 0)


def test_the_search_device_is_the_gpu_where_there_is_one(monkeypatch):
    for found, name in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=found: found)
        assert device.search_device() == torch.device(name)


def test_nearest_rows(there):
    every = cdist(QUERIES, REFERENCES)
    distance, at = neighbours.nearest(QUERIES, REFERENCES)
    assert (
        was_there(there) and np.array_equal(at, every.argmin(1)) and distance == pytest.approx(every.min(1), rel=1e-4)
    )
    names = RNG.integers(0, 3, 50), RNG.integers(0, 3, 70)
    distance, at = neighbours.nearest(QUERIES, REFERENCES, exclude_same=names)
    others = np.where(names[0][:, None] == names[1], np.inf, every)
    assert np.array_equal(at, others.argmin(1)) and distance == pytest.approx(others.min(1), rel=1e-4)


def test_best_cosine(there):
    unit, others = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (QUERIES, REFERENCES))
    cosine, at = copying.best_cosine(unit, others)
    assert was_there(there) and cosine == pytest.approx((unit @ others.T).max(1), abs=1e-4)
    assert np.array_equal(at, (unit @ others.T).argmax(1))


def test_best_correlation(there, monkeypatch):
    found = memorization.best_correlation(IMAGES, TRAINING, sigma=1.0)
    assert was_there(there) and all(type(x) is np.ndarray for x in found)
    monkeypatch.setattr(memorization, "search_device", lambda: torch.device("cpu"))
    r, at = memorization.best_correlation(IMAGES, TRAINING, sigma=1.0)
    assert found[0] == pytest.approx(r, abs=1e-4) and np.array_equal(found[1], at)


def test_embeddings(there):
    encoder = SimCLR(2, 64, width=8, features=16)
    table = encoder.embed(IMAGES)
    moved = encoder.to(there).embed(IMAGES, batch_size=4)
    assert was_there(there) and type(moved) is np.ndarray and moved == pytest.approx(table, abs=1e-3)


def test_an_extractor_from_a_file(there, tmp_path, monkeypatch):
    net = torch.nn.Conv2d(3, 5, 3)
    torch.jit.trace(net, torch.zeros(1, 3, 16, 16)).save(str(tmp_path / "net.pt"))
    asked = {}

    def load(path, map_location):
        asked["device"] = map_location
        return net.to(map_location)

    if there == DEVICE:  # TorchScript knows the devices of torch alone
        monkeypatch.setattr(torch.jit, "load", load)
    table = local.LocalExtractor(tmp_path / "net.pt", size=16)(IMAGES, batch_size=4)
    assert was_there(there) and table.shape == (9, 5) and asked.get("device", there) == there
    monkeypatch.undo()
    net.cpu()
    assert table == pytest.approx(local.LocalExtractor(tmp_path / "net.pt", size=16)(IMAGES), abs=1e-3)


@pytest.mark.parametrize("search", [neighbours.nearest, memorization.best_correlation])
def test_products_are_exact_while_a_training_lets_them_be_short(search, monkeypatch):
    seen = []

    def asked():
        seen.append(torch.get_float32_matmul_precision())
        return torch.device("cpu")

    for module in (neighbours, memorization):
        monkeypatch.setattr(module, "search_device", asked)
    tables = (QUERIES, REFERENCES) if search is neighbours.nearest else (IMAGES, TRAINING)
    torch.set_float32_matmul_precision("high")
    try:
        search(*tables)
        with pytest.raises(ValueError):
            search(tables[0], tables[1][:, :1])
        assert seen and set(seen) == {"highest"} and torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
