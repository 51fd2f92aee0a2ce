"""Images for tests of metrics."""

import numpy as np
from scipy.ndimage import gaussian_filter


def disc_images(n, seed, mode="blob"):
    """n images [n, 1, 32, 32] of a textured disc of random place and size on background."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    centre, radius = rng.uniform(13, 19, (n, 2, 1, 1)), rng.uniform(8, 12, (n, 1, 1))
    inside = (y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2 < radius**2
    texture = gaussian_filter(rng.normal(0, 1, (n, 32, 32)), (0, 1, 1)) * 0.3
    return np.where(inside, 0.2 + texture, -1).clip(-1, 1)[:, None].astype(np.float32)
