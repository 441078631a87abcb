"""Draw boxes in a few training photos: `rra boxes --dataset=photos`.

A page opens on this machine. Drag a box around the object of each photo, or keep the one that is
suggested. The boxes are saved after each photo; train with `--boxes=boxes.csv`.
"""

import pathlib

from absl import flags

from rra_keras import cli

FLAGS = flags.FlagValues()
flags.DEFINE_string("dataset", None, "folder:PATH; that of --run unless given.", flag_values=FLAGS)
flags.DEFINE_string(
    "run",
    None,
    "A run, whose boxes are suggested for the photos that it is least sure of.",
    flag_values=FLAGS,
)
flags.DEFINE_string("out", "boxes.csv", "File to write.", flag_values=FLAGS)
flags.DEFINE_integer("photos", 24, "Photos to show.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer("seed", 0, "As in the training.", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_string(
    "group_regex", None, "As in the training: photos that stay in one split.", flag_values=FLAGS
)
flags.DEFINE_integer("port", 0, "Port of the page; 0: any.", lower_bound=0, flag_values=FLAGS)
flags.DEFINE_bool("open", True, "Open the page in a browser.", flag_values=FLAGS)

_COLUMNS = ("file", "y0", "x0", "y1", "x1")


def main(argv):
    """Serve the page until interrupted; return the exit status."""
    arguments = cli.parse(FLAGS, argv, __doc__)
    import webbrowser

    from rra_keras import annotate

    with cli.bad_input_exits():
        cli.check_output("out", FLAGS.out)
        if len(arguments) > (0 if FLAGS.run else 1):
            raise ValueError(f"Expected one run. Received: {' '.join(arguments)}")
        annotations, dataset = prepare(*arguments)
    server, address = annotate.make_server(annotations, FLAGS.port)
    print(f"{len(annotations.names)} photos at {address}", "Ctrl+C ends.", sep="\n", flush=True)
    if FLAGS.open:
        webbrowser.open(address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
    count = sum(map(bool, annotations.drawn.values()))
    if not count:
        print("No box was drawn.")
        return 0
    print(f"{FLAGS.out} has boxes of {count} photos. Train with them:")
    print(f"rra train --dataset={dataset} --boxes={FLAGS.out}")
    return 0


def prepare(run=None):
    """Choose the photos, and what to suggest for them.

    Args:
        run: the path of a run; that of `--run` unless given.

    Returns:
        `annotate.Annotations` and the data set's name.

    Raises:
        ValueError: if the data are no folder, or the file to write is no table of boxes.
        OSError: if files cannot be read.
    """
    from rra_keras import annotate, data
    from rra_keras.runs import Run

    run = Run.at(run or FLAGS.run) if run or FLAGS.run else None
    if run:
        source = run.load_data(FLAGS.dataset)
    elif FLAGS.dataset:
        source = data.load(FLAGS.dataset, group_regex=FLAGS.group_regex, seed=FLAGS.seed)
    else:
        raise ValueError("Expected --dataset=PATH, or a run. Received neither")
    train = source.splits["train"]
    if train.names is None:
        raise ValueError(
            f"Invalid value for `--dataset`. Expected folder:PATH. Received: {source.name}"
        )
    out = pathlib.Path(FLAGS.out)
    drawn = read_drawn(out) if out.is_file() else {}
    names, suggested = choose(train, run, FLAGS.photos, FLAGS.seed)
    known = set(train.names)
    names += [name for name in drawn if name in known and name not in names]
    suggested += [None] * (len(names) - len(suggested))
    folder = source.name.removeprefix("folder:")
    annotations = annotate.Annotations(
        folder, names, suggested, drawn, lambda boxes: write_drawn(out, boxes)
    )
    return annotations, data.full_name(FLAGS.dataset or run.config["dataset"])


def choose(train, run, count, seed):
    """Choose training photos, of every class in turn, and a box to suggest for each, or `None`.

    Args:
        train: the training split.
        run: a `Run` whose objects were looked for, or `None`.
        count: how many.
        seed: sets which photos of a class come first.

    Returns:
        Names and boxes, two lists.
    """
    import numpy as np

    from rra_keras.data import splits
    from rra_keras.training.objects import read_objects

    if run is None or not run.path("objects.csv").is_file():
        chosen = splits.by_turns(train.labels, count, seed)
        return [train.names[i] for i in chosen], [None] * len(chosen)
    places, boxes, confidence, _ = read_objects(run, train)
    order = np.argsort(confidence, kind="stable")  # the least sure first
    chosen = splits.by_turns(train.labels[places], count, order=order)
    return [train.names[places[i]] for i in chosen], [boxes[i].tolist() for i in chosen]


def read_drawn(path):
    """Return what was drawn before, name → boxes; another file is refused, not replaced."""
    from rra_keras.runs import files

    drawn = {}
    for row in files.read_table(path):
        if set(row) != set(_COLUMNS):
            raise ValueError(
                f"Invalid value for `--out`. Expected a new file, or one that this command wrote. "
                f"Received: {path}, another file"
            )
        boxes = drawn.setdefault(row["file"], [])
        if row["y0"]:
            boxes.append([float(row[name]) for name in _COLUMNS[1:]])
    return drawn


def write_drawn(path, drawn):
    """Write a table of boxes whole; a photo without an object has a row without numbers."""
    from rra_keras.runs import files

    rows = [
        [name, *(f"{edge:.6f}" for edge in box)]
        for name, boxes in drawn.items()
        for box in boxes or [[]]
    ]
    rows = [row + [""] * (5 - len(row)) for row in rows]
    files.write_text(path, files.table(rows, _COLUMNS))


if __name__ == "__main__":
    cli.run(main)
