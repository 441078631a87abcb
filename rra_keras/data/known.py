"""Which photos a run trained, validated and tested on: its `splits.csv`, and what changed since."""

import dataclasses

EXCLUDED, EARLIER = "excluded", "earlier"  # beside the splits; of a run that another went on from
_TRAINED = ("train", EARLIER)
COLUMNS = ("file", "split", "label", "content")


@dataclasses.dataclass(frozen=True)
class Known:
    """What a run knows of its photos.

    Attributes:
        rows: of `splits.csv`: dicts of `file`, `split`, `label` and `content`, a digest.
        by_name: whether a file of the same name is the same photo, though its content changed;
            it is not where another folder is read.

    Example:
        row = {"file": "red/1.jpg", "split": "train", "label": "red", "content": "a0"}
        photos = known.Known([row])
        assert photos.splits_of(["blue/7.jpg"], ["a0"]).splits == ["train"]
    """

    rows: list
    by_name: bool = True

    def splits_of(self, names, contents):
        """Find each file's split: as it was, or else by what it holds, or else by its name.

        Of files that held the same, one that was trained on counts. A name alone counts only where
        the photo that had it is not there under another one.

        Args:
            names: of files, N.
            contents: digests of their bytes, N.

        Returns:
            `Changes`.
        """
        there = set(contents)
        trained_last = sorted(self.rows, key=lambda row: row["split"] in _TRAINED)
        by_content = {row["content"]: row for row in trained_last}
        unchanged = {(row["file"], row["content"]): row for row in self.rows}
        unchanged = unchanged if self.by_name else {}
        lost = [row for row in self.rows if row["content"] not in there]
        by_name = {row["file"]: row for row in lost} if self.by_name else {}
        found = [
            unchanged.get((name, content)) or by_content.get(content) or by_name.get(name)
            for name, content in zip(names, contents, strict=True)
        ]
        seen = {id(row) for row in found}
        gone = [
            row
            for row in self.rows
            if id(row) not in seen and row["content"] not in there and row["split"] != EARLIER
        ]
        return Changes(
            [row and row["split"].replace(EARLIER, "train") for row in found],
            more=found.count(None),
            gone=len(gone),
        )


@dataclasses.dataclass(frozen=True)
class Changes:
    """Where known photos belong, and how many came and went.

    Attributes:
        splits: of each photo, `None` for one that is not known.
        more: photos that are not known.
        gone: known photos that are not there.

    Example:
        assert known.Changes(["train", None], more=1, gone=0).note() == (
            "1 photo more than when the run began"
        )
    """

    splits: list
    more: int
    gone: int

    def note(self):
        """Say what changed in one line, `None` if nothing did."""
        said = []
        if self.more:
            said.append(f"{self.more} photo{'s' * (self.more > 1)} more than when the run began")
        if self.gone:
            are = f"{self.gone} {'are' if self.gone > 1 else 'is'}"
            said.append(f"{are} gone" if said else f"{are} gone since the run began")
        return "; ".join(said) or None


def rows_of(source, before=()):
    """Return the rows of `splits.csv`.

    Args:
        source: a `Source` of files.
        before: rows of the run that this one goes on from, or of this run: what was trained on
            and is not there any more is kept, as `EARLIER`.

    Returns:
        A list of dicts; empty where the examples are no files.
    """
    rows = [
        dict(zip(COLUMNS, (name, split.name, source.label_names(label), content), strict=True))
        for split in source.splits.values()
        if split.contents
        for name, label, content in zip(split.names, split.labels, split.contents, strict=True)
    ]
    rows += [
        dict(zip(COLUMNS, (name, EXCLUDED, "", content), strict=True))
        for name, content in source.excluded
    ]
    there = {row["content"] for row in rows}
    rows += [
        {**row, "split": EARLIER}
        for row in before
        if row["split"] in _TRAINED and row["content"] not in there
    ]
    return rows
