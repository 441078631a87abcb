"""Name what is on photos: `rra predict RUN photo.jpg PHOTOS/ …`.

The five most probable classes of each photo, or "none of these". A probability is that of the class
if the photo is of any of the run's classes, and like those that it was trained on.
"""

import itertools
import os
import pathlib
import sys

import numpy as np
from absl import flags

from rra_keras import answers as answer_kinds
from rra_keras import cli

FLAGS = flags.FlagValues()
cli.define_run(FLAGS)
cli.define_known_from(FLAGS)
_CSV = flags.DEFINE_string(
    "csv",
    None,
    "File for a line of comma-separated values for each photo; -: print them.",
    flag_values=FLAGS,
)
_FIXATIONS_CSV = flags.DEFINE_string(
    "fixations_csv",
    None,
    "File for where each photo was read: columns file, fixation, weight, y0, x0, y1, x1; fractions "
    "of the photo's height and width.",
    flag_values=FLAGS,
)
_DRAW = flags.DEFINE_string(
    "draw",
    None,
    "Folder for a picture of each photo: where it was read, and why.",
    flag_values=FLAGS,
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 16, "Photos at a time.", lower_bound=1, flag_values=FLAGS
)


def main(argv):
    """Name what is on photos, passing over those that cannot be read; return the exit status."""
    arguments = cli.parse(FLAGS, argv, __doc__)
    from tqdm import tqdm

    from rra_keras.runs import files

    file = None if _CSV.value == "-" else _CSV.value
    with cli.bad_input_exits():
        if _DRAW.value:
            cli.require_tensorflow("--draw, whose maps are tf-keras-vis'")
            cli.check_folder("draw", _DRAW.value)
        cli.check_output("csv", file)
        cli.check_output("fixations_csv", _FIXATIONS_CSV.value)
        run, arguments = cli.open_run(FLAGS, arguments, more="the names of photos or folders")
        photos = find(arguments, but=(file, _FIXATIONS_CSV.value))
        class_names, model = run.class_names, run.load_model()
        if FLAGS.known_from is not None:
            model.calibration.known_from = FLAGS.known_from
        if _FIXATIONS_CSV.value and not model.attention:
            raise ValueError(
                "Invalid value for `--fixations_csv`. Expected a run whose model has fixations. "
                f"Received: {run}, without"
            )
        pictures = picture_names(photos) if _DRAW.value else {}
        if pictures:
            from rra_keras.explain import fonts

            cli.tell(fonts.lacking(class_names))
    rows, fixations, unread, answer = [], [], 0, answer_kinds.of(model.answer)
    said = answers(model, class_names, list(photos), _BATCH_SIZE.value)
    bar = tqdm(said, "Predicting", len(photos), leave=False, unit="photo", disable=None)
    for path, (row, image, seen) in zip(photos, bar, strict=True):
        if seen is None:
            with bar.external_write_mode():
                print(f"error: {row['error']}", file=sys.stderr)
            unread += 1
            continue
        if not file:
            with bar.external_write_mode():
                if _CSV.value:
                    print(files.table([row]).split("\n", bool(rows))[-1], end="")
                else:
                    print(row["file"], answer.text(row, model.calibration.known_from), sep="\n")
        rows.append(row)
        for k, box in enumerate(seen.get("boxes", [])):
            if seen["weights"][k] > 0:
                edges = [f"{edge:.4f}" for edge in box]
                fixations.append([row["file"], k + 1, f"{seen['weights'][k]:.4f}", *edges])
        if _DRAW.value:
            _draw(model, image, path, class_names, pathlib.Path(_DRAW.value, pictures[path]))
    with cli.bad_input_exits():
        if file:
            _write(file, files.table(rows, None if rows else _COLUMNS))
        if _FIXATIONS_CSV.value:
            columns = ["file", "fixation", "weight", "y0", "x0", "y1", "x1"]
            _write(_FIXATIONS_CSV.value, files.table(fixations, columns))
    return 2 if unread else 0


_COLUMNS = ["file", "predicted", "probability", "score", "known"]


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


def picture_names(photos):
    """Return where each photo's picture goes below the output folder, no two at one place.

    Args:
        photos: what `find` returned.

    Returns:
        dict from each path to a relative path that ends in `.png`: the photo's own name with that
        ending; with its own ending kept, or below the folders it lies in, where two would clash.
    """
    chosen, taken = {}, set()
    candidates = {path: _candidates(path, name) for path, name in photos.items()}
    for round_of in itertools.zip_longest(*candidates.values()):
        places = {}
        for path, place in zip(photos, round_of, strict=True):
            if place is not None and path not in chosen:
                places.setdefault(str(place).lower(), []).append((path, place))
        for key, several in places.items():
            if len(several) == 1 and key not in taken:
                chosen[several[0][0]] = several[0][1]
                taken.add(key)
    for number, path in enumerate(path for path in photos if path not in chosen):
        chosen[path] = pathlib.Path(f"{pathlib.Path(path).name}.{number + 1}.png")
    return {path: chosen[path] for path in photos}


def _candidates(path, name):
    """Return the places where a photo's picture may go, the shortest first."""
    name, above = pathlib.Path(name), pathlib.Path(path).resolve().parents
    places = [name]
    for depth in range(1, len(above)):
        places.append(pathlib.Path(*(a.name for a in reversed(above[:depth])), name.name))
    return [
        place.with_name(f"{place.stem if short else place.name}.png")
        for place in places
        for short in (True, False)
    ]


def answers(model, class_names, paths, batch_size=16):
    """Yield what a model says of each photo, in order.

    Args:
        model: a classifier of this package.
        class_names: names in the order of its logits.
        paths: of image files.
        batch_size: photos at a time.

    Yields:
        A row, see `rra_keras.answers`; the image `(S, S, 3)`; and a dict of `logits` `(C,)`,
        `score` `(1,)` and, of a model with fixations, `boxes` `(K, 4)`, from edge to edge, and
        `weights` `(K,)`. Of a photo that cannot be read: a row of `file` and `error`, then `None`
        twice.
    """
    from rra_keras.data import walk

    answer = answer_kinds.of(model.answer)
    for path, image, seen in _seen(model, paths, batch_size):
        name = walk.shown(path)
        if image is None:
            yield {"file": name, "error": walk.shown(seen)}, None, None
        else:
            said = (seen["logits"][None], seen["score"], class_names)
            rows = answer.rows(model.calibration, *said, names=[name])
            yield rows[0], image, seen


def _seen(model, paths, batch_size):
    """Yield path, image and outputs of each photo; of one that cannot be read, `None` and why."""
    from rra_keras.data import pipeline
    from rra_keras.explain.explainer import from_edge_to_edge
    from rra_keras.measures.photos import filled

    names = ["logits", "score", *(["read_boxes", "fixation_weights"] if model.attention else [])]
    view = model.view(*names)
    view.compile(jit_compile=model.jit_compile)
    batches = pipeline.photo_batches(paths, model.image_size, batch_size)
    next_place = 0
    most = min(batch_size, len(paths))
    for places, images in batches.as_numpy_iterator():
        outputs = view.predict_on_batch(filled(images, most))
        seen = {name: np.asarray(value) for name, value in outputs.items()}
        if model.attention:
            seen["boxes"] = from_edge_to_edge(seen.pop("read_boxes"), model.image_size)
            seen["weights"] = seen.pop("fixation_weights")
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


def _write(path, text):
    from rra_keras.runs import files

    files.write_text(path, text)
    print(f"Written: {path}")


def _draw(model, image, photo, class_names, path):
    from rra_keras.data import decode
    from rra_keras.explain import focus

    height, width = decode.read_image(photo).shape[:2]
    path.parent.mkdir(parents=True, exist_ok=True)
    focus.draw(model, image[None], None, class_names, path, [width / height])


if __name__ == "__main__":
    cli.run(main)
