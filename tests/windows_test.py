"""What runs on Windows as well, with that system's rules emulated: none of this ran there."""

import fcntl
import os
import pathlib
import signal

import numpy as np
import pytest

from export import classify
from rra_keras import cli
from rra_keras.data.boxes import _parts
from rra_keras.discovery.memory import Memory
from rra_keras.runs import Run, files
from rra_keras.training.config import configure, default_run_dir


@pytest.fixture
def fsync_as_there(monkeypatch):
    """On Windows a file that was opened for reading cannot be flushed to disk."""
    flush = os.fsync

    def fsync(number):
        if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(9, "Bad file descriptor")
        flush(number)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.fixture
def no_replacing(monkeypatch):
    """On Windows a file that another program has open cannot be replaced."""

    def replace(source, target):
        raise PermissionError(13, "Access is denied", str(target))

    monkeypatch.setattr(os, "replace", replace)


def test_files_are_written_whole(tmp_path, fsync_as_there):
    run = Run.create(tmp_path / "run", {"dataset": "x"})
    run.write_text("note.txt", "first\n")
    assert run.path("note.txt").read_bytes() == b"first\n"  # and no other line ends
    files.write_text(tmp_path / "table.csv", files.table([{"file": "a/b.jpg"}]))
    assert (tmp_path / "table.csv").read_bytes() == b"file\na/b.jpg\n"
    memory = Memory(tmp_path / "steps")
    assert memory.recall("add", lambda: {"sum": np.array(3)})["sum"] == 3
    classify._write_csv(str(tmp_path / "said.csv"), [])
    assert (tmp_path / "said.csv").read_bytes() == b""


def test_a_file_that_is_open_elsewhere_is_one_line_and_stays(tmp_path, no_replacing, capsys):
    (tmp_path / "table.csv").write_text("old")

    def main(_):
        files.write_text(tmp_path / "table.csv", "new")

    assert cli.guarded(main, []) == 2
    assert "Access is denied" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]
    assert (tmp_path / "table.csv").read_text() == "old"


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        (r"folder:C:\Users\ann\my photos", "my photos"),
        ("folder:D:\\birds\\", "birds"),
        ("folder:/home/ann/birds/", "birds"),
        ("folder:what?", "what"),
        ("synthetic_birds/far", "far"),
    ],
)
def test_a_run_is_named_by_what_every_system_takes(dataset, name):
    config = configure(dataset=dataset)
    assert default_run_dir(config) == f"runs/{name}-edge-seed0"


def test_paths_of_boxes_are_split_at_either_slash():
    assert _parts(r"C:\photos\Red\001.JPG") == ["c:", "photos", "red", "001.jpg"]


def test_a_closed_pipe_needs_no_signal_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.delattr(signal, "SIGPIPE")
    monkeypatch.setattr(os, "dup2", lambda *_: None)

    def main(_):
        raise BrokenPipeError

    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr("sys.stdout", out)
        assert cli.guarded(main, []) == 141
        monkeypatch.undo()


def test_no_code_asks_for_what_is_not_there():
    root = pathlib.Path(__file__).parents[1]
    for folder in (root / "rra_keras", root / "export"):
        for path in folder.rglob("*.py"):
            text = path.read_text("utf-8")
            for name in ("os.getuid", "os.fork", "import fcntl", "import pwd", "import resource"):
                assert name not in text, (path, name)
