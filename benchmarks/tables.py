"""The tables of measured rows, `results/*.csv`."""

import csv
import pathlib

RESULTS = pathlib.Path(__file__).parent / "results"
COLUMNS = (
    "row seed epochs test_accuracy test_top5_accuracy test_reads test_refinements "
    "val_accuracy multiply_adds parameters train_images_per_second seconds cores machine precision "
    "tensorflow keras"
).split()


def put(path, values):
    """Put a row into a table, in place of the one of that seed if there is one."""
    rows = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
    table = {(row["row"], row["seed"]): row for row in rows}
    table[values["row"], str(values["seed"])] = values
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table.values())
