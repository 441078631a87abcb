"""Name what is on photos: `python -m rra_keras.predict --run=RUN photo.jpg …`."""

import csv
import pathlib
import sys

import numpy as np
from absl import flags

from rra_keras import cli

FLAGS = flags.FlagValues()
_RUN = flags.DEFINE_string(
    "run", None, "Run directory that training wrote.", required=True, flag_values=FLAGS
)
_CSV = flags.DEFINE_bool("csv", False, "Print comma-separated values.", flag_values=FLAGS)
_DRAW = flags.DEFINE_string(
    "draw", None, "Folder for a picture of the looks at each photo.", flag_values=FLAGS
)
_TOP = 5


def read_image(path, size):
    """Read a photo as the model takes it.

    Args:
        path: an image file; turned upright by its EXIF orientation.
        size: side in pixels of the square it is resized to; the aspect is not kept, as in training.

    Returns:
        `(size, size, 3)` float32, RGB 0…255.

    Raises:
        ValueError: if the file is no image, a broken one, or too large.
        FileNotFoundError: if there is none.
    """
    from rra_keras.data import decode, pipeline

    return np.asarray(pipeline.resize(decode.read_image(path), size))


def main(argv):
    """Name what is on photos, skipping those that cannot be read; return the exit status."""
    paths = cli.parse(FLAGS, argv)
    from rra_keras.measures.calibration import probabilities
    from rra_keras.measures.unknown import is_known, max_logit
    from rra_keras.training.run import Run

    with cli.bad_input_exits():
        if not paths:
            raise ValueError("Expected the names of photos. Received none")
        if _DRAW.value:
            cli.require_tensorflow("--draw, whose maps are tf-keras-vis'")
        run = Run.open(_RUN.value)
        model = run.load_model()
    table = csv.writer(sys.stdout) if _CSV.value else None
    if table:
        table.writerow(["file", "rank", "class", "probability", "score", "known"])
    unread = 0
    for path in paths:
        try:
            image = read_image(path, model.image_size)
        except (ValueError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            unread += 1
            continue
        logits = model.predict(image[None], verbose=0)[0]  # (C,)
        shares = probabilities(logits, model.temperature)
        ranked = np.argsort(-shares)[:_TOP]
        score, known = max_logit(logits), is_known(logits, model.known_from)
        if table:
            table.writerows(
                [path, rank, run.class_names[c], f"{shares[c]:.6f}", f"{score:.6f}", int(known)]
                for rank, c in enumerate(ranked, start=1)
            )
        elif known:
            print(path, *(f"  {shares[c]:6.1%}  {run.class_names[c]}" for c in ranked), sep="\n")
        else:
            scores = f"score {score:.2f}, known from {model.known_from:.2f}"
            print(path, f"  none of these ({scores})", sep="\n")
        if _DRAW.value:
            _draw(model, image, run.class_names, pathlib.Path(_DRAW.value), path)
    return 2 if unread else 0


def _draw(model, image, class_names, folder, path):
    from rra_keras.explain import focus

    folder.mkdir(parents=True, exist_ok=True)
    focus.draw(model, image[None], None, class_names, folder / f"{pathlib.Path(path).stem}.png")


if __name__ == "__main__":
    cli.run(main)
