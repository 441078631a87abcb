"""The search for objects, step by step. A search that was stopped goes on after its last step."""

import dataclasses
import functools
import json

import keras
import numpy as np

from rra_keras.discovery.consistent import consistent_boxes
from rra_keras.discovery.fit import Rows, fit_localizer
from rra_keras.discovery.hypotheses import FILLED, Guess, guess
from rra_keras.discovery.match import PHOTOS as MATCHED
from rra_keras.discovery.match import matched_boxes
from rra_keras.discovery.memory import Memory
from rra_keras.discovery.mirror import may_be_mirrored
from rra_keras.discovery.probe import (
    FRAME,
    Choice,
    beats,
    choose_hypothesis,
    folds_by_class,
    linear_probe,
)
from rra_keras.discovery.rounds import ELSEWHERE, FIXATIONS, Read, Round, read
from rra_keras.discovery.views import make_viewer, see
from rra_keras.layers import BoxLocalizer, RecursiveAttention
from rra_keras.layers.recursive_attention import localizer_for
from rra_keras.measures.boxes import areas, intersection_over_union, whole
from rra_keras.measures.labels import rarest
from rra_keras.measures.multilabel import r_precision

PROBED = 600  # photos that hypotheses are compared on
EPOCHS = 14  # of the localizer's training, where all photos teach it
FAR_VIEWS = 12  # of each photo, for each refinement beyond the first
ERRORS = 1.0  # standard errors by which whole photos have to be ahead of given boxes, or matched
FOLDS = 4  # the first of them is held out where localizers are compared
LEAST = 40  # photos, below which nothing is held out
SAMPLED = 100  # photos in which it is found out how sure the localizer is
TEACHING = 2  # times that what it finds consistently teaches the localizer as well
GROWTH = 1.05  # of the photos in which it does, for another time
GIVEN = "given"  # boxes by somebody
MATCH = "match"  # the hypothesis of `matched_boxes`


@dataclasses.dataclass(frozen=True)
class Found:
    """What a search has come to; the fields are those of `Objects`."""

    boxes: np.ndarray
    confidence: np.ndarray
    name: str
    choice: Choice | None
    localizer: BoxLocalizer | None = None
    rounds: tuple[Round, ...] = ()
    earlier: tuple[np.ndarray, ...] = ()


@dataclasses.dataclass(frozen=True)
class Search:
    """A search for objects, and what its steps share; see `find_objects`."""

    encoder: keras.Model
    trunk: keras.Model
    photos: np.ndarray
    labels: np.ndarray | None  # (N, C) of 0 and 1
    size: int  # of views
    glance_size: int
    frame_size: int  # of whole photos: as much larger as the plain backbone sees at equal cost
    max_refinements: int
    one_object: bool
    seed: int
    memory: Memory = dataclasses.field(default_factory=Memory)

    def run(self, rounds):
        """Return what was found."""
        found = self.guessed()
        large = np.median((found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1)) >= FILLED
        if found.name != FRAME:
            found = dataclasses.replace(found, localizer=self.fit(found.boxes))
        # Large objects that are surely better read than the whole photo are settled. A round would
        # teach their parts: a crop of a part shows a frozen encoder more than one of the whole.
        settled = large and found.choice is not None and found.choice.sure
        if not self.shared or len(self.photos) < LEAST or settled:
            return found
        before = found
        found, seen = self.matched(before)
        if found.localizer is not None and rounds:
            found, seen = self.taught(found, seen, rounds)
        to_try = before.name == FRAME and found.name == MATCH
        if to_try and seen.right.sum() <= self.whole_right.sum():
            choice = dataclasses.replace(found.choice, name=FRAME)
            return dataclasses.replace(before, choice=choice, rounds=found.rounds)
        return found

    def shown(self, boxes):
        """Return what a localizer finds that given boxes have taught, `(N, M, 4)`."""
        given = np.flatnonzero(~np.isnan(boxes[:, :, 0]).all(axis=1))
        localizer, sure = self.fit(boxes[given], given), 0
        for _ in range(TEACHING if len(given) < len(boxes) else 0):
            found, same = self.consistent(localizer)
            same[given] = False
            if same.sum() <= GROWTH * sure:
                break  # as many as before: it would learn what it knows
            sure = int(same.sum())
            localizer = self.fit(*beside(boxes, given, found, np.flatnonzero(same)))
        largest = boxes[np.arange(len(boxes)), np.nan_to_num(areas(boxes), nan=-1.0).argmax(axis=1)]
        if self.shared and len(self.photos) >= LEAST:
            seen = self.read(localizer)
            found = Found(largest, np.ones(len(boxes), "float32"), GIVEN, None, localizer)
            found = self.boxed(found, seen)
            as_whole = self.whole_right
            accuracy = {GIVEN: float(seen.right.mean()), FRAME: float(as_whole.mean())}
            area = {GIVEN: float(areas(largest[given]).mean()), FRAME: 1.0}
            if not self.one_object and beats(as_whole, seen.right, ERRORS):
                sure = np.ones(len(boxes), "float32")
                return Found(whole(len(boxes)), sure, FRAME, Choice(FRAME, accuracy, area))
            found = dataclasses.replace(found, choice=Choice(GIVEN, accuracy, area))
        else:
            places, same = self.consistent(localizer)
            found = Found(places, same.astype("float32"), GIVEN, None, localizer)
        found.boxes[given], found.confidence[given] = largest[given], 1.0
        return found

    def consistent(self, localizer, rows=None):
        """Return the first place in each photo, or in some, and whether it is found again."""
        photos = self.photos if rows is None else Rows(self.photos, rows)

        def compute():
            found = consistent_boxes(self.attention(localizer), photos)
            return dict(zip(("boxes", "same"), found, strict=True))

        kept = self.memory.recall("consistent", compute)
        return kept["boxes"], kept["same"]

    def consistency(self, localizer):
        """Return the share of some photos in which the object is found again, or `None`."""
        if localizer is None:
            return None
        return float(self.consistent(localizer, self.drawn(SAMPLED))[1].mean())

    def may_be_mirrored(self, boxes):
        """Tell whether photos may be mirrored in training; see `mirror.may_be_mirrored`."""
        if not self.shared or len(self.photos) < LEAST:
            return True
        drawn = self.drawn(PROBED)
        some = Rows(self.photos, drawn), self.labels[drawn], boxes[drawn]

        def compute():
            return {"mirror": may_be_mirrored(self.encoder, *some, self.size, self.seed)}

        return bool(self.memory.recall("mirror", compute)["mirror"])

    def guessed(self):
        """Return the best guess, or the whole photo, without a localizer."""
        photos, labels = self.photos, self.labels
        guesses = self.guesses()
        if self.one_object or not self.shared:
            name = [name for name in guesses if name.startswith("set")][-1]
            return Found(guesses[name].boxes, guesses[name].confidence, name, None)
        drawn = self.drawn(PROBED)

        def compute():
            choice = choose_hypothesis(
                self.encoder,
                self.trunk,
                photos[drawn],
                labels[drawn],
                {name: (each.boxes[drawn], each.views[drawn]) for name, each in guesses.items()},
                size=self.size,
                frame_size=self.frame_size,
                seed=self.seed,
            )
            return {"choice": json.dumps(dataclasses.asdict(choice))}

        choice = Choice(**json.loads(self.memory.recall("choose", compute)["choice"].item()))
        if choice.name == FRAME:
            sure = np.ones(len(photos), "float32")
            return Found(whole(len(photos)), sure, FRAME, choice)
        chosen = guesses[choice.name]
        return Found(chosen.boxes, chosen.confidence, choice.name, choice)

    def matched(self, before):
        """Return what matching finds, where held-out photos are read better by it; or `before`.

        Whole photos stay for now where they are ahead by `ERRORS` standard errors.

        Returns:
            A `Found`, and the `Read` of its localizer, or `None`.
        """
        teaching = np.flatnonzero(self.fold > 0)
        if len(teaching) > MATCHED:
            drawn = np.random.default_rng(self.seed).permutation(len(teaching))[:MATCHED]
            teaching = np.sort(teaching[drawn])

        def compute():
            photos, labels = self.photos[teaching], self.labels[teaching]
            return {"boxes": matched_boxes(self.encoder, photos, labels, self.seed)}

        boxes = self.memory.recall("match", compute)["boxes"]
        localizer = self.fit(*some_boxes(boxes, teaching))
        seen = self.read(localizer)
        if before.localizer is None:
            other, right = None, self.whole_right
            better = not beats(right, seen.right, ERRORS)  # the rounds are yet to come
        else:
            other = self.read(before.localizer)
            right = other.right
            better = seen.right.sum() > right.sum()
        known = before.choice or Choice(before.name, {}, {})
        choice = Choice(
            MATCH if better else before.name,
            {
                **known.accuracy,
                MATCH: float(seen.right.mean()),
                f"{before.name}, held out": float(right.mean()),
            },
            {**known.area, MATCH: float(np.nanmean(areas(boxes)))},
        )
        if not better:
            return dataclasses.replace(before, choice=choice), other
        found = Found(whole(len(self.photos)), before.confidence, MATCH, choice, localizer)
        return self.boxed(found, seen), seen

    def taught(self, found, seen, rounds):
        """Return what is found, and read, once what was read has taught where to look.

        Each round is judged by photos that are held out from it. At the end these teach as well.
        """
        done, earlier = [], []
        while len(done) < rounds and seen.elsewhere >= ELSEWHERE:
            localizer = self.fit(*self.surest(found, seen, self.fold > 0))
            after = self.read(localizer)
            values = seen.right, after.right, seen.elsewhere, after.margin - seen.margin
            done.append(Round(*(float(np.nanmean(each)) for each in values)))
            if not done[-1].kept:
                break
            earlier.append(found.boxes)
            found = self.boxed(dataclasses.replace(found, localizer=localizer), after)
            seen = after
        if found.name == MATCH or any(each.kept for each in done):
            every = np.ones(len(self.photos), bool)
            localizer = self.fit(*self.surest(found, seen, every))
            found = dataclasses.replace(found, localizer=localizer)
        return dataclasses.replace(found, rounds=tuple(done), earlier=tuple(earlier)), seen

    def surest(self, found, seen, among):
        """Return the surest half of the boxes of some photos, and of which photos they are.

        What was chosen replaces a box only where it ends elsewhere.

        Args:
            found: the `Found` so far.
            seen: the `Read` of its localizer.
            among: `(N,)` booleans.
        """
        own = seen.own[(seen.chosen >= 0) & among[:, None]]  # (L,)
        least = np.sort(own)[len(own) // 2]
        boxes = np.array(seen.chosen_boxes, "float32")
        before = found.boxes[:, None]
        boxes = np.where((intersection_over_union(boxes, before) >= 0.5)[..., None], before, boxes)
        boxes[(seen.own < least) | ~among[:, None]] = np.nan
        return some_boxes(boxes, np.arange(len(boxes)))

    def boxed(self, found, seen: Read):
        """Return `found` with the box of the surest label of each photo."""
        surest = seen.own.argmax(axis=1)
        boxes = seen.chosen_boxes[np.arange(len(surest)), surest]
        boxes = np.where(np.isnan(boxes), seen.boxes[:, 0], boxes)  # of photos without a label
        own = seen.own.max(axis=1)
        sure = np.argsort(np.argsort(own)) / max(len(own) - 1, 1)  # a rank, in [0, 1]
        return dataclasses.replace(
            found, boxes=boxes.astype("float32"), confidence=sure.astype("float32")
        )

    @property
    def shared(self):
        """Whether two photos have a label in common."""
        return self.labels is not None and self.labels.sum(axis=0).max() > 1

    @property
    def fold(self):
        """The fold of each photo, `(N,)`; 0 is held out."""
        return folds_by_class(rarest(self.labels), FOLDS, self.seed)

    def drawn(self, count):
        """Return some of the photos' places, sorted."""
        return np.sort(np.random.default_rng(self.seed).permutation(len(self.photos))[:count])

    @functools.cached_property
    def whole_right(self):
        """How rightly held-out photos are named as a whole, `(H,)` in [0, 1]."""
        viewer = make_viewer(self.encoder, self.photos, 1, self.frame_size, pool=True)
        features = see(viewer, self.photos, whole(len(self.photos))[:, None])[:, 0]
        right = r_precision(linear_probe(features, self.labels, self.fold), self.labels)
        return right[(self.fold == 0) & self.labels.any(axis=1)]

    def attention(self, localizer, fixations=1):
        """Return the recursion that finds objects by a localizer."""
        return RecursiveAttention(
            self.trunk,
            localizer,
            self.glance_size,
            self.max_refinements,
            fixations,
            view_size=self.size,
        )

    def fit(self, boxes, rows=None):
        """Return a localizer that learned from boxes of the photos, or of some of them."""
        rows = np.arange(len(self.photos)) if rows is None else rows
        localizer = localizer_for(self.trunk, self.glance_size, self.size)

        def compute():
            # A larger glance shows small objects itself.
            share = 1 if self.glance_size == self.size else 0.5
            fit_localizer(
                localizer,
                self.trunk,
                Rows(self.photos, rows),
                boxes,
                size=self.size,
                # As many steps for fewer photos.
                epochs=round(EPOCHS * min(share * len(self.photos) / len(rows), 4)),
                far_views=max(0, round(FAR_VIEWS * share) * (self.max_refinements - 1)),
                glance_size=self.glance_size,
                seed=self.seed,
            )
            return {f"arr_{i}": values for i, values in enumerate(localizer.get_weights())}

        weights = self.memory.recall("fit", compute)
        if not localizer.built:
            localizer.build(self.trunk.output_shape)
            localizer.set_weights([weights[f"arr_{i}"] for i in range(len(weights))])
        return localizer

    def read(self, localizer):
        """Return what is read at the places that a localizer finds in the photos."""

        def compute():
            attention = self.attention(localizer, FIXATIONS)
            photos, labels = self.photos, self.labels
            seen = read(self.encoder, attention, photos, labels, self.fold, self.size)
            return dataclasses.asdict(seen)

        return Read(**self.memory.recall("read", compute))

    def guesses(self):
        """Return the guesses, by name."""

        def compute():
            found = guess(self.encoder, self.photos, self.labels, self.seed)
            return {
                f"{name}|{key}": values
                for name, each in found.items()
                for key, values in dataclasses.asdict(each).items()
            }

        kept = self.memory.recall("guess", compute)
        names = dict.fromkeys(key.split("|")[0] for key in kept)
        fields = [field.name for field in dataclasses.fields(Guess)]
        return {n: Guess(**{key: kept[f"{n}|{key}"] for key in fields}) for n in names}


def some_boxes(boxes, rows):
    """Return the boxes `(N, M, 4)` of those photos that have any, and their places `rows`."""
    some = ~np.isnan(boxes[..., 0]).all(axis=1)
    return boxes[some], rows[some]


def beside(boxes, given, found, rows):
    """Return given boxes beside those that were found, and of which photos each is.

    The given ones are repeated until they are half as many.
    """
    times = max(1, round(len(rows) / 2 / len(given)))
    alone = np.full((len(rows), *boxes.shape[1:]), np.nan, "float32")
    alone[:, 0] = found[rows]
    joined = np.concatenate([np.tile(boxes[given], (times, 1, 1)), alone])
    return joined, np.concatenate([np.tile(given, times), rows])
