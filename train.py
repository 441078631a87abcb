"""Train a classifier: `python train.py --dataset=photos`. The same as `rra train`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported: see `quiet`

from rra_keras import cli
from rra_keras.train_command import main

if __name__ == "__main__":
    cli.run(main)
