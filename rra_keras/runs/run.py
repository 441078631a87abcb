"""The run directory: what a training leaves behind, each file written whole or not at all."""

import json
import pathlib
import shlex
import shutil
import sys

import keras

from rra_keras import data
from rra_keras.data import file_list, folder
from rra_keras.data.known import Known, rows_of
from rra_keras.models.base import Classifier
from rra_keras.runs import files

# What may differ between a run and the command that resumes it.
_FREE_TO_CHANGE = ("data_dir", "dataset_path", "checkpoint_every")
_EXCLUDED, _SPLITS, _COPIES = "excluded.csv", "splits.csv", "copies.csv"


class Run:
    """A directory with `config.json`, `labels.txt`, `model.keras`, `metrics.json` and more.

    Args:
        directory: its path.

    Example:
        run = runs.Run.create("runs/new", {"dataset": "synthetic_birds"})
        assert run.config == {"dataset": "synthetic_birds"}
    """

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.model_path = self.directory / "model.keras"

    @classmethod
    def create(cls, directory, config, resume=False, overwrite=False):
        """Claim `directory` for a run of `config`.

        Args:
            directory: its path; made if missing.
            config: dict of what the run depends on, stored as `config.json`.
            resume: go on with the run that is there; start one if there is none.
            overwrite: delete the run that is there.

        Raises:
            ValueError: if the directory holds something else, or another run.
        """
        run = cls(directory)
        run.check_available(config, resume=resume, overwrite=overwrite)
        if overwrite and run.directory.is_dir():
            shutil.rmtree(run.directory)
        run.directory.mkdir(parents=True, exist_ok=True)
        run.write_json("config.json", config)
        return run

    def check_available(self, config, resume=False, overwrite=False):
        """Raise what `create` would raise, and touch nothing."""
        if self.directory.exists() and not self.directory.is_dir():
            raise ValueError(f"Invalid value for `--run_dir`. Expected a folder. Received: {self}")
        if not self.directory.is_dir() or not any(self.directory.iterdir()):
            return
        if not self.path("config.json").exists():
            raise ValueError(
                "Invalid value for `--run_dir`. Expected a new or empty folder, or a run. "
                f"Received: {self}, which holds other files"
            )
        if resume:
            self._check_same(config)
        elif not overwrite:
            raise ValueError(
                "Invalid value for `--run_dir`. Expected a new or empty folder. Received: "
                f"{self}, which holds a run; pass --resume to go on with it, --overwrite to "
                "replace it, or another --run_dir"
            )

    @classmethod
    def at(cls, path):
        """Return the run, finished or not, whose directory or `model.keras` is at `path`."""
        path = pathlib.Path(path)
        if not path.is_file():
            return cls(path)
        run = cls(path.parent)
        run.model_path = path
        return run

    @classmethod
    def open(cls, path):
        """Open a finished run.

        Args:
            path: its directory, or the `model.keras` in it, whatever that is called.

        Raises:
            ValueError: if there is none.
        """
        run = cls.at(path)
        needed = [run.path("config.json"), run.path("labels.txt"), run.model_path]
        if missing := [each.name for each in needed if not each.is_file()]:
            raise ValueError(
                "Invalid value for `--run`. Expected the directory of a finished run, or its "
                f"model.keras. Received: {path}, without {', '.join(missing)}"
            )
        return run

    def __str__(self):
        return str(self.directory)

    def path(self, name):
        """Return the path of a file in the run."""
        return self.directory / name

    @property
    def config(self):
        """What the run was started with."""
        return json.loads(self.path("config.json").read_text("utf-8"))

    @property
    def metrics(self):
        """The content of `metrics.json`, which a training writes last; `None` until then."""
        path = self.path("metrics.json")
        return json.loads(path.read_text("utf-8")) if path.is_file() else None

    @property
    def class_names(self):
        """The classes, in the order of the logits."""
        return self.path("labels.txt").read_text("utf-8").splitlines()

    def load_model(self, **options):
        """Load the trained model.

        Args:
            **options: of `keras.models.load_model`.

        Raises:
            ValueError: if the file holds something else, is damaged or of another version, or has
                other classes than the run.
        """
        model, path = read_model(self.model_path, **options), self.model_path
        if not isinstance(model, Classifier):
            raise ValueError(
                f"Invalid model. Expected a classifier of rra_keras. Received: {path}, a "
                f"{type(model).__name__}"
            )
        if model.num_classes != len(self.class_names):
            raise ValueError(
                "Invalid model. Expected as many classes as labels.txt has. Received: "
                f"{path} with {model.num_classes} classes, {len(self.class_names)} labels"
            )
        return model

    def load_data(self, dataset=None, data_dir=None, split=None):
        """Load the data that the run was trained on, split as they were then, or others.

        Photos of a folder are known by what they hold, whatever they are called now: each stays in
        the split that it had, so that none is measured that was trained on.

        Args:
            dataset: other data with the same classes, as in `rra_keras.data.load`.
            data_dir: where named data sets are kept; as in training unless given.
            split: the split that is wanted, if it is one: of another folder without a train
                split, all photos are measured.

        Returns:
            A `Source`; its `changes` say what is not as it was when the run began.

        Raises:
            ValueError: if the data cannot be used, or have other classes than the run.
            OSError: if files cannot be read.
        """
        config = self.config
        if config.get("final") and dataset is None:
            if split:
                raise ValueError(
                    "Invalid value for `--run`. Expected a run that has photos to be measured on, "
                    f"such as {config['final']}. Received: {self}, which was trained on all"
                )
            return Run.open(config["final"]).load_data(data_dir=data_dir)
        dataset = dataset and data.full_name(dataset)
        own = dataset is None or dataset == config["dataset"]
        name = self._own_folder() if own else dataset
        kind, _, path = name.partition(":")
        known = self.known(by_name=own) if kind == "folder" else None
        if kind == "folder" and not own and split and not folder.has_train(path):
            source = folder.load_all(path, self.class_names, known)
        else:
            source = data.load(
                name,
                data_dir=data_dir or config["data_dir"],
                group_regex=config["group_regex"] if own else None,
                seed=config["seed"],
                exclude=self.excluded(config.get("exclude")) if own else (),
                known=known,
                keep_together=own and config.get("keep_together", False),
            )
        names = self.class_names
        if list(source.class_names) != names:
            raise ValueError(
                f"Invalid value for `--dataset`. Expected the run's {len(names)} classes "
                f"({', '.join(names[:3])}, …). Received: {len(source.class_names)} "
                f"({', '.join(source.class_names[:3])}, …)"
            )
        if split and split not in source.splits:
            raise ValueError(
                f"Invalid value for `--split`. Expected one of {', '.join(source.splits)}, which "
                f"{source.name} has. Received: {split}"
            )
        return source

    def _own_folder(self):
        """The name of the run's own data, found from whatever directory the command is called."""
        config = self.config
        kind, _, given = config["dataset"].partition(":")
        if kind != "folder":
            return config["dataset"]
        # The absolute one first: another folder here may have the name that was given.
        places = dict.fromkeys((config.get("dataset_path", given), given))
        for place in places:
            if pathlib.Path(place).expanduser().is_dir():
                return f"folder:{place}"
        raise ValueError(
            "Invalid value for `--dataset`. Expected the folder that the run was trained on, or "
            f"where it is now. Received: none, and {' and '.join(places)} "
            f"{'are' if len(places) > 1 else 'is'} not there"
        )

    def known(self, by_name=True):
        """Return what the run knows of its photos, a `Known`.

        Args:
            by_name: whether a file of the same name is the same photo.

        Raises:
            ValueError: if the run has no `splits.csv`.
        """
        if not self.path(_SPLITS).is_file():
            raise ValueError(
                f"Expected a run with {_SPLITS}, which says what it was trained on. "
                f"Received: {self}, without"
            )
        return Known(files.read_table(self.path(_SPLITS)), by_name)

    def write_splits(self, source, before=()):
        """Keep which photo is in which split, and which are there twice; nothing without files.

        Args:
            source: a `Source`.
            before: rows of `splits.csv` of before.
        """
        if rows := rows_of(source, before):
            self.write_text(_SPLITS, files.table(rows))
        if source.copies:
            self.write_text(_COPIES, files.table(source.copies))

    def excluded(self, path, stored=True):
        """Return the names of the files that the run leaves out.

        Args:
            path: what `exclude` says in its configuration; without it there are none.
            stored: go by the run's own copy, where there is one, and not by what `path` is now.
        """
        copy = self.path(_EXCLUDED)
        if not path:
            return ()
        return file_list.read(copy if stored and copy.is_file() else path)

    def write_excluded(self, names):
        """Keep a copy of the names of the files that the run leaves out."""
        self.write_text(_EXCLUDED, files.table([[name] for name in names], ["file"]))

    def replacing(self, name):
        """Yield a path to write to, which takes the place of the file `name` once written."""
        return files.replacing(self.path(name))

    def write_text(self, name, text):
        """Replace the file `name` by `text`."""
        files.write_text(self.path(name), text)

    def write_json(self, name, value):
        """Replace the file `name` by `value` as JSON."""
        self.write_text(name, json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def _check_same(self, config):
        stored = self.config
        for key, value in json.loads(json.dumps(config)).items():
            # What was no option yet when the run was started is as it is by default.
            if key not in _FREE_TO_CHANGE and stored.get(key, value) != value:
                raise ValueError(
                    f"Invalid value for `{key}`. Expected what the run to resume was started with, "
                    f"{stored.get(key)!r}. Received: {value!r}"
                )


def command_line():
    """Return the command that this process runs, as it is typed: `rra train …`."""
    name, *arguments = sys.argv
    words = name.split() if name.startswith("rra ") else ["python", name]
    return shlex.join([*words, *arguments])


def read_model(path, **options):
    """Load a trained model from its file.

    Args:
        path: the file.
        **options: of `keras.models.load_model`.

    Raises:
        ValueError: if its layers are those of another version, or the file is damaged.
    """
    try:
        return keras.models.load_model(path, **options)
    except Exception as error:  # a damaged file can raise anything
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(
            "Invalid model. Expected a model.keras that training wrote, by this version. "
            f"Received: {path} ({reason})"
        ) from error
