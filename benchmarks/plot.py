"""Draw accuracy against multiply-adds: `python benchmarks/plot.py aircraft25 out.png`."""

import collections
import csv
import pathlib
import sys

import numpy as np
from matplotlib.figure import Figure

RESULTS = pathlib.Path(__file__).parent / "results"


def main(data, out):
    """Draw each row's mean over seeds, with its standard deviation where it has several."""
    rows = collections.defaultdict(list)
    table = (RESULTS / f"{data}-cpu-float32.csv").read_text().splitlines()
    for line in csv.DictReader(table):
        point = int(line["multiply_adds"]) / 1e6, 100 * float(line["test_accuracy"])
        rows[line["row"]].append(point)
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, points in rows.items():
        cost, accuracy = np.mean(points, axis=0)
        spread = np.std(points, axis=0, ddof=1)[1] if len(points) > 1 else 0
        color = "#0072B2" if name.startswith("plain") else "#D55E00"
        axes.errorbar(cost, accuracy, spread, fmt="o", color=color, capsize=3)
        axes.annotate(name, (cost, accuracy), xytext=(6, 4), textcoords="offset points")
    axes.set(xlabel="multiply-adds, millions", ylabel="test accuracy, %", title=data)
    axes.margins(x=0.2)  # room for the names
    axes.grid(alpha=0.3)
    figure.savefig(out, dpi=120)


if __name__ == "__main__":
    main(*sys.argv[1:])
