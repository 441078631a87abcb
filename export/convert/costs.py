"""What a photo costs on a device, by what its fixations needed."""

import numpy as np


def of_photos(multiply_adds, refinements, reads):
    """Return the multiply-adds of photos that are run piece by piece, `(N,)`.

    Args:
        multiply_adds: by signature, as `flatbuffer.multiply_adds` counts.
        refinements: `(N,)`, closer views of a photo, of all its fixations.
        reads: `(N,)`, how many fixations were read.
    """
    looking = multiply_adds["glance"] + np.asarray(refinements) * multiply_adds.get("refine", 0)
    return looking + np.asarray(reads) * multiply_adds["read"]
