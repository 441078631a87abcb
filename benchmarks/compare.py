"""Two rows, paired image by image: `python benchmarks/compare.py aircraft25 edge plain_224`."""

import csv
import pathlib
import re
import sys

import numpy as np

RESULTS = pathlib.Path(__file__).parent / "results"


def paired_bootstrap(differences, groups, draws=10_000):
    """Return the mean difference and its 95 % interval, drawing groups and seeds with replacement.

    Args:
        differences: `(S, N)`, by seed and image: one row right (1) or wrong (0), less the other.
        groups: `(N,)`, what must be drawn together (an airline); an image alone is its own group.
        draws: bootstrap draws.
    """
    rng = np.random.default_rng(0)
    _, group = np.unique(groups, return_inverse=True)
    sums = np.stack([np.bincount(group, row) for row in differences])  # (S, G)
    sizes = np.bincount(group)  # (G,)
    means = np.empty(draws)
    for i in range(draws):
        seeds = rng.integers(0, len(sums), len(sums))
        chosen = rng.integers(0, len(sizes), len(sizes))
        means[i] = sums[seeds][:, chosen].mean(axis=0).sum() / sizes[chosen].sum()
    return differences.mean(), *np.percentile(means, [2.5, 97.5])


def read(data, row):
    """Return `{seed: {image: whether right}}` of a row's stored test predictions."""
    seeds = {}
    for path in sorted(RESULTS.glob(f"{data}-{row}-*.csv")):
        if match := re.fullmatch(rf"{data}-{row}-(\d+)", path.stem):
            said = csv.DictReader(path.read_text().splitlines())
            seeds[int(match[1])] = {
                line["file"]: line["label"] == line["predicted"] for line in said
            }
    return seeds


def main(data, row, other):
    """Print a row's advantage over another on the seeds that both have."""
    ours, theirs = read(data, row), read(data, other)
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        sys.exit(f"error: no seed of both {row} and {other} in {RESULTS}")
    images = sorted(ours[seeds[0]])
    differences = np.array(
        [[float(ours[s][image]) - float(theirs[s][image]) for image in images] for s in seeds]
    )
    groups = [re.sub(r"_\d+\.\w+$", "", pathlib.PurePath(image).name) for image in images]
    mean, low, high = paired_bootstrap(differences, groups)
    print(
        f"{data}: {row} − {other} = {100 * mean:+.1f} points, 95 % interval {100 * low:+.1f} … "
        f"{100 * high:+.1f}, {len(seeds)} seeds, {len(images)} images, {len(set(groups))} groups"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
