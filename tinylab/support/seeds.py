"""Seeds for every use of randomness, from the one that a run is given."""

import numpy as np

from tinylab.support.errors import check_int


def derive_seed(seed: int, *path: int) -> int:
    """A seed for one use of randomness, from the run's seed and where it is used: (epoch, purpose, …).

    Neighbouring seeds and epochs give unrelated streams (numpy's SeedSequence); `seed + epoch` would not.
    """
    check_int("seed", seed, 0)
    return int(np.random.SeedSequence((seed, *path)).generate_state(1, np.uint64)[0] >> 1)
