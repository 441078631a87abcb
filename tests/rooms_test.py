"""Who may import whom, as the README's table says: one way down, no circle."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "rra_keras"
ROOMS = {
    "layers": set(),
    "backbones": set(),
    "measures": set(),
    "answers": {"measures"},
    "discovery": {"layers", "backbones", "measures"},
    "models": {"layers", "backbones", "measures"},
    "datasets": set(),
    "data": {"datasets", "measures"},
    "annotate": {"data"},
    "runs": {"models", "data", "measures", "answers"},
    "training": {
        "runs",
        "models",
        "answers",
        "discovery",
        "layers",
        "backbones",
        "data",
        "measures",
    },
    "explain": {"runs", "layers", "measures", "answers"},
    "reporting": {"training", "runs", "answers", "models", "explain", "layers", "data", "measures"},
}


def imported(path):
    """Return the modules that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names


def rooms(path):
    """Return the rooms that a file looks into; `""` for a door of the package."""
    parts = [name.split(".") for name in imported(path) if name.startswith("rra_keras.")]
    return {part[1] if part[1] in ROOMS else "" for part in parts}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_looks_only_where_it_may(room):
    files = list((PACKAGE / room).rglob("*.py"))
    assert files
    for path in files:
        assert rooms(path) <= ROOMS[room] | {room}, path
        assert "export" not in {name.split(".")[0] for name in imported(path)}, path


def test_the_rooms_are_all_there_are():
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == set(ROOMS)


def test_measures_are_numpy_alone():
    for path in (PACKAGE / "measures").glob("*.py"):
        assert {name.split(".")[0] for name in imported(path)} <= {
            *("numpy", "scipy", "rra_keras"),
            *("collections", "csv", "dataclasses", "functools", "io", "math", "warnings"),
        }, path


def test_a_device_needs_the_one_file():
    names = {name.split(".")[0] for name in imported(ROOT / "export" / "classify.py")}
    assert not names & {"rra_keras", "export", "keras", "tensorflow"}


def test_no_modules_import_each_other():
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "export").rglob("*.py")]
    modules = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in files}
    below = {name: (imported(path) & modules.keys()) - {name} for name, path in modules.items()}
    while below:
        leaves = {name for name, names in below.items() if not names & below.keys()}
        assert leaves, f"circle among {sorted(below)}"
        below = {name: names for name, names in below.items() if name not in leaves}
