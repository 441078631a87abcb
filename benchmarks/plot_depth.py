"""Draw what looking closer is worth: `python benchmarks/plot_depth.py out.png DEPTH.csv …`.

Of tables that `depth.py` printed for several seeds, the means: accuracy against multiply-adds, for
all photos refined alike (hollow), and for each photo looked at until it is framed (line).
"""

import collections
import csv
import pathlib
import sys

import numpy as np
from matplotlib.figure import Figure

COLORS = ("#0072B2", "#009E73", "#D55E00", "#000000")  # Okabe and Ito


def main(out, *tables):
    """Draw one picture of some tables."""
    points = collections.defaultdict(list)
    for table in tables:
        for line in csv.DictReader(pathlib.Path(table).read_text().splitlines()):
            measured = int(line["multiply_adds"]) / 1e6, 100 * float(line["accuracy"])
            points[line["dataset"], line["rule"], float(line["value"])].append(measured)
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, color in zip(dict.fromkeys(key[0] for key in points), COLORS, strict=False):
        for rule, style in (("refinements", "o:"), ("until framed", "-")):
            line = [np.mean(v, axis=0) for (n, r, _), v in points.items() if (n, r) == (name, rule)]
            label = f"{name}, {'alike' if rule == 'refinements' else rule}"
            axes.plot(*np.transpose(line), style, color=color, mfc="none", label=label)
    axes.set(xlabel="multiply-adds a photo, millions", ylabel="test accuracy, %")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(out, dpi=120)


if __name__ == "__main__":
    main(*sys.argv[1:])
