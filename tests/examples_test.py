"""The usage examples in the package's docstrings, run as they stand.

An example is the indented code under a line `Example:`. It finds these names:

- `np`, `keras`, `ops` (of Keras), `rra_keras`, the rooms (`backbones`, `data`, `discovery`,
  `explain`, `layers`, `measures`, `models`, `reporting`, `training`), and its own module by its
  last name (`pipeline`);
- `images` uint8 `(9, 64, 64, 3)` and `labels` int64 `(9,)` of three classes;
- `features` float32 `(2, 8, 8, 16)` and `boxes` `(2, 4)`, for layers;
- `photos`, the path of a folder of three classes by ten photos; `source` and `split`, its train
  split, as `data.load` gives them;
- `model`, a new tiny `RRAClassifier` with one look at 64 pixels, three classes, not compiled.

The current directory is empty and may be written to.
"""

import ast
import importlib
import pathlib
import textwrap

import keras
import numpy as np
import pytest
from conftest import tensorflow_only

import rra_keras
from rra_keras import data

pytestmark = tensorflow_only("most examples need tf.data")

ROOT = pathlib.Path(__file__).parents[1]
ROOMS = "backbones data discovery explain layers measures models reporting runs training".split()


def _documented():
    for path in sorted((ROOT / "rra_keras").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text("utf-8"))
        yield module, "", ast.get_docstring(tree) or ""
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                yield module, node.name, ast.get_docstring(node) or ""


DOCUMENTED = list(_documented())  # module, name and docstring of every class and function


def example(docstring):
    """Return the code under `Example:`, or `""`."""
    _, found, rest = f"\n{docstring}\n".partition("\nExample:\n")
    lines = rest.split("\n")
    end = next((i for i, line in enumerate(lines) if line and line[0] != " "), len(lines))
    return textwrap.dedent("\n".join(lines[:end])).strip() if found else ""


def public():
    """Return module and name of what the package and its rooms hand out."""
    found = set()
    for package in (rra_keras, *(importlib.import_module(f"rra_keras.{r}") for r in ROOMS)):
        tree = ast.parse(pathlib.Path(package.__file__).read_text("utf-8"))
        nodes = [node for node in tree.body if isinstance(node, ast.ImportFrom | ast.FunctionDef)]
        names = {a.name for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names}
        names |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        things = (getattr(package, name) for name in names if not name.startswith("_"))
        found |= {(t.__module__, t.__name__) for t in things if callable(t)}
    return sorted(found)


EXAMPLES = [
    pytest.param(module, example(docstring), id=f"{module}:{name}")
    for module, name, docstring in DOCUMENTED
    if example(docstring)
]


@pytest.fixture(scope="session")
def source(photos):
    return data.load(f"folder:{photos}")


@pytest.mark.parametrize(("module", "code"), EXAMPLES)
def test_an_example_runs(module, code, batch, build, photos, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"np": np, "keras": keras, "ops": keras.ops, "rra_keras": rra_keras}
    names |= {room: importlib.import_module(f"rra_keras.{room}") for room in ROOMS}
    names[module.split(".")[-1]] = importlib.import_module(module)
    names |= {"images": batch[0], "labels": batch[1].astype("int64")}
    names["features"] = np.random.default_rng(0).uniform(0, 1, (2, 8, 8, 16)).astype("float32")
    names["boxes"] = np.array([[0.1, 0.2, 0.5, 0.6], [0.0, 0.0, 1.0, 1.0]], "float32")
    names |= {"photos": photos, "source": source, "split": source.splits["train"]}
    if "model" in {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}:
        names["model"] = build()
    exec(compile(code, f"{module} (example)", "exec"), names)


@pytest.mark.parametrize(("module", "name"), public())
def test_what_is_public_has_an_example(module, name):
    docstrings = {(m, n): d for m, n, d in DOCUMENTED}
    assert example(docstrings[module, name]), f"{module}.{name} has no `Example:`"


def test_examples_end_where_the_indentation_does():
    docstring = "Do.\n\nExample:\n    if x:\n        y\n\n    z\n\nReturns:\n    It."
    assert example(docstring) == "if x:\n    y\n\nz"
    assert example("Do.\n\nReturns:\n    It.") == ""
