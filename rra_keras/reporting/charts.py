"""A report's charts, as SVG."""

import io

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

# Told apart with any color vision (Okabe and Ito), and by dashes.
BLUE, ORANGE, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#767676"
_SIZE = (4.6, 3.1)  # inches


def reliability(groups):
    """Draw accuracy by confidence, with the share of answers in each bin below.

    Args:
        groups: from `calibration.reliability`, as lists.
    """
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    bins = len(groups["count"])
    middles = (np.arange(bins) + 0.5) / bins
    count = np.array(groups["count"])
    accuracy = np.array(groups["accuracy"], "float64")
    axes.bar(middles, accuracy, 0.92 / bins, color=BLUE, alpha=0.75, label="accuracy")
    axes.plot([0, 1], [0, 1], "--", color=GRAY, label="as sure as right")
    axes.set(ylim=(0, 1.02), ylabel="accuracy")
    axes.legend(frameon=False, loc="upper left", fontsize=8)
    below.bar(middles, count / count.sum(), 0.92 / bins, color=GRAY)
    below.set(xlabel="confidence of the answer", ylabel="answers", xlim=(0, 1))
    for part in (axes, below):
        part.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    below.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return _svg(figure)


def training(history):
    """Draw a training's accuracies and losses by epoch.

    Args:
        history: a list of dicts, one an epoch, as Keras' `CSVLogger` writes them.
    """
    figure = Figure(figsize=(2 * _SIZE[0], _SIZE[1]), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = np.arange(1, len(history) + 1)
    first = "mean_ap" if "mean_ap" in history[0] else "accuracy"
    for axes, ending in ((left, first), (right, "loss")):
        for split, style in (("val_", "o-"), ("", ":")):
            key = next(
                (k for k in (split + ending, f"{split}logits_{ending}") if k in history[0]), 0
            )
            if key:
                values = [float(row[key]) for row in history]
                label = "validation" if split else "training"
                axes.plot(epochs, values, style, color=BLUE, ms=3, label=label)
        name = ending.replace("mean_ap", "mean average precision")
        axes.set(xlabel="epoch", ylabel=name, ylim=(0, None))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False, fontsize=7)
    left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    left.set(ylim=(0, 1.02))
    return _svg(figure)


def faithfulness(rows):
    """Draw the answer's probability as what a map marks is deleted, and inserted.

    Args:
        rows: from `tables.faithfulness_table`.
    """
    figure = Figure(figsize=(2 * _SIZE[0], _SIZE[1]), layout="constrained")
    styles = {
        "evidence": (BLUE, "o-"),
        "chosen part": (ORANGE, "s-"),
        "middle first": (GREEN, "--"),
        "random": (GRAY, ":"),
    }
    for axes, kind in zip(
        figure.subplots(1, 2, sharey=True), ("deletion", "insertion"), strict=True
    ):
        for row in rows:
            color, style = styles[row["name"]]
            curve = row[f"{kind}_curve"]
            shares = np.linspace(0, 1, len(curve))
            axes.plot(shares, curve, style, color=color, ms=3, label=row["name"])
        verb = {
            "deletion": "deleted (lower is better)",
            "insertion": "shown (higher is better)",
        }
        axes.set(xlabel=f"share of the image {verb[kind]}", ylim=(0, None))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
    figure.axes[0].set_ylabel("probability of the answer")
    figure.axes[1].legend(frameon=False, fontsize=8)
    return _svg(figure)


def fixations(curve):
    """Draw accuracy against the fixations that a photo takes on average.

    Args:
        curve: from `tables.cost_curve`, a list of dicts.
    """
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.plot(
        [point["reads"] for point in curve],
        [point["accuracy"] for point in curve],
        "o-",
        color=BLUE,
        ms=3,
    )
    axes.set(xlabel="fixations a photo, on average", ylabel="accuracy")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    return _svg(figure)


def _svg(figure):
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e4e4e4", lw=0.6)
        axes.set_axisbelow(True)
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
