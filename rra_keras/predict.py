"""Name what is on photos: `python -m rra_keras.predict --run=RUN photo.jpg PHOTOS/ …`."""

import csv
import io
import os
import pathlib
import sys

import numpy as np
from absl import flags

from rra_keras import cli

FLAGS = flags.FlagValues()
_RUN = flags.DEFINE_string(
    "run", None, "Run directory that training wrote.", required=True, flag_values=FLAGS
)
_CSV = flags.DEFINE(
    flags.ArgumentParser(),
    "csv",
    None,
    "Print comma-separated values, a line for each class of a photo; or --csv=FILE, to write a "
    "line for each photo to a file.",
    flag_values=FLAGS,
    boolean=True,  # so that a photo's name after `--csv` is not taken for the file to write
)
_LOOKS_CSV = flags.DEFINE_string(
    "looks_csv",
    None,
    "File for where it looked closer: columns file, look, y0, x0, y1, x1; fractions of the photo's "
    "height and width.",
    flag_values=FLAGS,
)
_DRAW = flags.DEFINE_string(
    "draw", None, "Folder for a picture of the looks at each photo.", flag_values=FLAGS
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 16, "Photos at a time.", lower_bound=1, flag_values=FLAGS
)
_TOP = 5


def main(argv):
    """Name what is on photos, passing over those that cannot be read; return the exit status."""
    arguments = cli.parse(FLAGS, argv)
    from tqdm import tqdm

    from rra_keras.data import walk
    from rra_keras.measures.calibration import probabilities
    from rra_keras.measures.maps import edges
    from rra_keras.measures.unknown import is_known
    from rra_keras.training.run import Run

    file = None if _CSV.value in ("true", "false") else _CSV.value
    with cli.bad_input_exits():
        if not arguments:
            raise ValueError("Expected the names of photos or folders. Received none")
        if _DRAW.value:
            cli.require_tensorflow("--draw, whose maps are tf-keras-vis'")
        cli.check_output("csv", file)
        cli.check_output("looks_csv", _LOOKS_CSV.value)
        run = Run.open(_RUN.value)
        photos = find(arguments, but=(file, _LOOKS_CSV.value))
        class_names, model = run.class_names, run.load_model()
        if _LOOKS_CSV.value and not model.looks:
            raise ValueError(
                "Invalid value for `--looks_csv`. Expected a run whose model looks closer. "
                f"Received: {run}, with looks=0"
            )
    answers, looks, unread = [], [], 0
    if _CSV.value == "true":
        print(_csv([["file", "rank", "class", "probability", "score", "known"]]), end="")
    seen_photos = predictions(model, list(photos), _BATCH_SIZE.value)
    bar = tqdm(seen_photos, "Predicting", len(photos), leave=False, unit="photo", disable=None)
    for path, image, seen in bar:
        name = walk.shown(path)
        if image is None:
            with bar.external_write_mode():
                print(f"error: {walk.shown(seen)}", file=sys.stderr)
            unread += 1
            continue
        shares = probabilities(seen["logits"], model.temperature)
        ranked = [(class_names[c], shares[c]) for c in np.argsort(-shares)[:_TOP]]
        score = seen["score"].item()
        known = is_known(score, model.known_from)
        if file:
            named = (v for c, share in ranked for v in (c, f"{share:.6f}"))
            answers.append([name, f"{score:.6f}", int(known), *named])
        else:
            with bar.external_write_mode():
                if _CSV.value == "true":
                    _print_rows(name, ranked, score, known)
                elif known:
                    print(name, *(f"  {share:6.1%}  {c}" for c, share in ranked), sep="\n")
                else:
                    why = f"score {score:.2f}, known from {model.known_from:.2f}"
                    print(name, f"  none of these ({why})", sep="\n")
        for look, box in enumerate(edges(seen.get("boxes", []), model.image_size), start=1):
            looks.append([name, look, *(f"{edge:.4f}" for edge in box)])
        if _DRAW.value:
            picture = pathlib.Path(_DRAW.value, photos[path])
            _draw(model, image, class_names, picture.with_name(f"{picture.stem}.png"))
    with cli.bad_input_exits():
        if file:
            ranks = ["", *(f"_{rank}" for rank in range(2, min(_TOP, len(class_names)) + 1))]
            columns = [f"{column}{rank}" for rank in ranks for column in ("class", "probability")]
            _write(file, [["file", "score", "known", *columns], *answers])
        if _LOOKS_CSV.value:
            _write(_LOOKS_CSV.value, [["file", "look", "y0", "x0", "y1", "x1"], *looks])
    return 2 if unread else 0


def find(arguments, but=()):
    """Find photos by the names of files and of folders, however deep.

    Args:
        arguments: names of files, and of folders, whose files come in order.
        but: files to leave out of folders; a `None` among them is none.

    Returns:
        dict from each path to what the photo is called below another folder: its own name, or the
        path from its folder on.

    Raises:
        ValueError: for a folder without files, or with links that leave it.
        OSError: for a folder that cannot be read.
    """
    from rra_keras.data import walk

    but = {os.path.realpath(path) for path in but if path}
    found = {}
    for argument in arguments:
        folder = pathlib.Path(argument)
        if not folder.is_dir():
            found[argument] = folder.name
            continue
        files = [file for file in walk.files(folder, folder) if os.path.realpath(file) not in but]
        if not files:
            raise ValueError(f"Expected a folder of photos. Received: {argument}, without a file")
        called = folder.resolve().name
        found |= {str(file): pathlib.Path(called, file.relative_to(folder)) for file in files}
    return found


def predictions(model, paths, batch_size):
    """Yield what a model says of each photo, in order.

    Args:
        model: an `RRAClassifier`.
        paths: of image files.
        batch_size: photos at a time.

    Yields:
        Path, image `(S, S, 3)`, and a dict of `logits` `(C,)`, `score` `(1,)` and, if the model
        looks closer, `boxes` `(looks, 4)`. Of a photo that cannot be read: path, `None`, and the
        error.
    """
    from rra_keras.data import pipeline

    view = model.view("logits", "score", *(["boxes"] if model.looks else []))
    view.compile(jit_compile=model.jit_compile)
    batches = pipeline.photo_batches(paths, model.image_size, batch_size)
    next_place = 0
    for places, images in batches.as_numpy_iterator():
        seen = {name: np.asarray(value) for name, value in view.predict_on_batch(images).items()}
        for row, place in enumerate(places):
            yield from map(_unread, paths[next_place:place])
            yield paths[place], images[row], {name: value[row] for name, value in seen.items()}
            next_place = place + 1
    yield from map(_unread, paths[next_place:])


def _unread(path):
    from rra_keras.data import decode

    try:
        decode.read_image(path)
    except (ValueError, OSError) as error:
        return path, None, error
    return path, None, ValueError(f"Expected an image file. Received: {path}, read too late")


def _print_rows(name, ranked, score, known):
    rows = enumerate(ranked, start=1)
    last = (f"{score:.6f}", int(known))
    print(_csv([name, rank, c, f"{share:.6f}", *last] for rank, (c, share) in rows), end="")


def _csv(rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _write(path, rows):
    from rra_keras.training.run import replacing

    with replacing(pathlib.Path(path)) as partial:
        partial.write_text(_csv(rows), "utf-8")
    print(f"Written: {path}")


def _draw(model, image, class_names, path):
    from rra_keras.explain import focus

    path.parent.mkdir(parents=True, exist_ok=True)
    focus.draw(model, image[None], None, class_names, path)


if __name__ == "__main__":
    cli.run(main)
