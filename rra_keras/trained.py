"""A run in Python: train one, or open one, and ask it."""

import dataclasses
import functools
import importlib
import importlib.util
import os
import pathlib
from collections.abc import Sequence

import keras

from rra_keras.runs import Run

Path = str | os.PathLike[str]


class TrainedRun(Run):
    """A finished run: its model, what it says of photos, and its files for devices.

    Example:
        run = rra_keras.train(photos, "runs/photos", localizer=None, image_size=64, epochs=1)
        run = rra_keras.TrainedRun.open("runs/photos")
        for answer in run.predict(photos):
            print(answer["file"], answer["predicted"], answer["probability"])

    Args:
        directory: the run's directory. `open` also takes its `model.keras`, and checks it.
    """

    source: object = None  # the data, where they were loaded for the training

    @functools.cached_property
    def model(self) -> keras.Model:
        """The trained classifier, a `keras.Model` from photos to logits."""
        return self.load_model()

    def predict(self, photos: Path | Sequence[Path], batch_size: int = 16) -> list[dict]:
        """Say what is on photos.

        Args:
            photos: the path of a photo or of a folder of photos, or several of them.
            batch_size: photos at a time.

        Returns:
            A dict for each photo: `file`, `predicted`, `probability` in [0, 1], `score`, `known`
            (0 where the photo is of none of the classes), then `predicted_2`, `probability_2` and
            so on. Of a photo that cannot be read: `file` and `error`.

        Raises:
            ValueError: for a folder without photos.
        """
        from rra_keras import predict

        paths = [photos] if isinstance(photos, str | os.PathLike) else photos
        return [
            row if seen else {"file": row["file"], "error": str(row["error"])}
            for row, _, seen in predict.answers(
                self.model, self.class_names, list(predict.find(paths)), batch_size
            )
        ]

    def evaluate(
        self,
        split: str = "test",
        dataset: str | None = None,
        data_dir: str | None = None,
        batch_size: int = 16,
    ) -> dict:
        """Measure the model on a split.

        Args:
            split: `"train"`, `"validation"` or `"test"`.
            dataset: other data with the same classes; the run's own unless given.
            data_dir: where named data sets are kept; as in training unless given.
            batch_size: photos at a time.

        Returns:
            A dict of figures, as `rra evaluate` prints them.
        """
        from rra_keras import evaluate

        return evaluate.measure(self, self.model, split, dataset, data_dir, batch_size)[0]

    def export(self, out: Path | None = None, overwrite: bool = False, **options) -> pathlib.Path:
        """Write the model's files for devices, measure them and check them.

        It needs the photos that the run was trained on, where they were, and the extra
        `rra_keras[export]`.

        Args:
            out: new folder for the files; `export` in the run unless given.
            overwrite: replace the export that is there.
            **options: of `export.write.Options`, such as `precision=("fp16",)`.

        Returns:
            The folder, a `pathlib.Path`.

        Raises:
            ValueError: if the files do not compute what the model does; none is kept then.
        """
        write = importlib.import_module(f"{export_package()}.write")
        folder, failures = write.export(self, out, overwrite, options=write.Options(**options))
        if failures:
            raise ValueError("\n".join([*failures, f"{folder} was not written"]))
        return folder


def train(
    dataset: Path = "synthetic_birds",
    run_dir: Path | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    **options,
) -> TrainedRun:
    """Train a classifier on a folder of photos or a named data set, as `rra train` does.

    Example:
        run = rra_keras.train(photos, "runs/plain", localizer=None, image_size=64, epochs=1)
        print(run.metrics["test_accuracy"])

    Args:
        dataset: a folder with a folder of photos for each class, or the name of a data set.
        run_dir: where to write; a name under `runs/` unless given.
        resume: go on with the run that is there; a finished one is returned as it is.
        overwrite: replace the run that is there.
        **options: fields of `rra_keras.training.config.Config`, such as `epochs` or `boxes`, and
            arguments of the preset's model, such as `image_size`: the flags of `rra train`.

    Returns:
        A `TrainedRun`.

    Raises:
        ValueError: if an option is out of range, or data or directory cannot be used.
        OSError: if a file cannot be read or written.
    """
    from rra_keras.training import config

    fields = {field.name for field in dataclasses.fields(config.Config)} - {"model"}
    arguments = {name: value for name, value in options.items() if name not in fields}
    options = {name: value for name, value in options.items() if name in fields}
    chosen = config.configure(model=arguments, dataset=os.fspath(dataset), **options)
    return train_run(chosen, run_dir, resume=resume, overwrite=overwrite)


def train_run(config, run_dir=None, *, resume=False, overwrite=False, new_photos=False, devices=1):
    """Prepare, find the objects, build, fit and finish: a whole run of a `Config`.

    Args:
        config: a `rra_keras.training.config.Config`.
        run_dir: where to write; a name under `runs/` unless given.
        resume: go on with the run that is there, if there is one.
        overwrite: replace the run that is there, if there is one.
        new_photos: go on though photos came to the folder or went.
        devices: devices of this machine that share each batch.

    Returns:
        A `TrainedRun`; `None` in a process that shares the training but does not write the run.

    Raises:
        What `training.prepare`, `training.objects_of`, `training.build` and `training.train` raise.
    """
    from rra_keras import training
    from rra_keras.training import processes
    from rra_keras.training.config import default_run_dir
    from rra_keras.training.devices import mirrored
    from rra_keras.training.objects import describe

    run = TrainedRun(run_dir or default_run_dir(config))
    if resume and run.metrics is not None:
        run.check_available(dataclasses.asdict(config), resume=True)
        print(f"{run} is finished: nothing to resume.")
        return run
    prepared = training.prepare(
        config, run.directory, resume, overwrite, mirrored(devices), new_photos=new_photos
    )
    objects = training.objects_of(config, prepared)
    model = training.build(config, prepared, objects)
    if objects and processes.number_and_count()[0] == 0:
        print(describe(objects, model, run), flush=True)
        draw_objects(run, prepared.source.splits["train"])
    if training.train(config, prepared, model) is None:
        return None
    run.source = prepared.source
    return run


def draw_objects(run, train, photos=48):
    """Draw the objects that were found in some of the training photos, into `objects.jpg`."""
    from rra_keras.data import pipeline
    from rra_keras.explain import objects
    from rra_keras.training.objects import read_objects

    if run.path("objects.jpg").is_file():
        return
    places, boxes, confidence, earlier = read_objects(run, train)
    chosen = range(0, len(places), max(1, len(places) // photos))[:photos]
    some = train.subset(places[chosen])
    images, _ = next(pipeline.evaluation_batches(some, 448, photos).as_numpy_iterator())
    before = [each[chosen] for each in earlier]
    with run.replacing("objects.jpg") as path:
        objects.draw(images, boxes[chosen], confidence[chosen], path, some.aspects(), before)


def draw_focus(run, test, photos=4):
    """Draw what a run's model looks at in a few test photos, into `focus.png`.

    Returns:
        Lines about letters that no font here has.
    """
    from rra_keras.data import pipeline
    from rra_keras.explain import focus, fonts

    model = run.load_model()
    some = test.subset(range(0, test.size, max(1, test.size // photos))[:photos])
    batches = pipeline.evaluation_batches(some, model.image_size, photos)
    images, labels = next(batches.as_numpy_iterator())
    with run.replacing("focus.png") as path:
        focus.draw(model, images, labels, run.class_names, path, some.aspects())
    return fonts.lacking(run.class_names)


def export_package():
    """Return the name of the package that exports: inside this one, or beside it in a clone."""
    inside = "rra_keras.export"
    return inside if importlib.util.find_spec(inside) else "export"
