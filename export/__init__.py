"""From a trained run to files that run on a device, and the proof that they do."""

import os
import sys

if sys.argv[:1] == ["-m"]:  # `python -m export`, while Python looks for it: see `rra_keras.quiet`
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
