"""Draw accuracy against multiply-adds: `python benchmarks/plot.py aircraft25 out.png`.

With a CSV of `python -m export.benchmark` as a third argument, against its latencies in float32.
"""

import collections
import csv
import pathlib
import sys

import numpy as np
from matplotlib.figure import Figure

RESULTS = pathlib.Path(__file__).parent / "results"


def main(data, out, latencies=None):
    """Draw each row's mean over seeds, with its standard deviation where it has several."""
    times = _milliseconds(latencies) if latencies else None
    rows = collections.defaultdict(list)
    table = (RESULTS / f"{data}-cpu-float32.csv").read_text().splitlines()
    for line in csv.DictReader(table):
        cost = times.get(line["row"]) if times else int(line["multiply_adds"]) / 1e6
        if cost is not None:
            rows[line["row"]].append((cost, 100 * float(line["test_accuracy"])))
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, points in rows.items():
        cost, accuracy = np.mean(points, axis=0)
        spread = np.std(points, axis=0, ddof=1)[1] if len(points) > 1 else 0
        color = "#0072B2" if name.startswith("plain") else "#D55E00"
        axes.errorbar(cost, accuracy, spread, fmt="o", color=color, capsize=3)
        axes.annotate(name, (cost, accuracy), xytext=(6, 4), textcoords="offset points")
    unit = "milliseconds a photo, one thread" if times else "multiply-adds, millions"
    axes.set(xlabel=unit, ylabel="test accuracy, %", title=data)
    axes.margins(x=0.2)  # room for the names
    axes.grid(alpha=0.3)
    figure.savefig(out, dpi=120)


def _milliseconds(path):
    """Return the median latency of each row that a table of latencies has in float32."""
    table = csv.DictReader(pathlib.Path(path).read_text().splitlines())
    named = {line["name"]: line["median_ms"] for line in table if line["median_ms"]}
    own = {"edge": named["model_fp32"]}
    plain = {n.removesuffix("_fp32"): v for n, v in named.items() if n.startswith("plain")}
    return {name: float(value) for name, value in (own | plain).items()}


if __name__ == "__main__":
    main(*sys.argv[1:])
