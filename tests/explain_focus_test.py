import io

import numpy as np
import pytest
from conftest import tensorflow_only, vote_at_random
from PIL import Image

from rra_keras.explain import focus

pytestmark = tensorflow_only("Grad-CAM by tf-keras-vis")
NAMES = ["$x_1$ <b>", "_b", "a very long name of a class that would not fit"]


CLOSING = {"localizer": "box", "train_from": "block_1", "glance_size": 32}


@pytest.mark.parametrize(
    ("looks", "steps", "localizer"),
    [
        (0, 4, {}),
        (1, 1, {}),
        (1, 7, {}),
        (3, 4, {}),
        (1, 1, CLOSING),
        (1, 1, CLOSING | {"refinements": 0}),
        (1, 1, CLOSING | {"refinements": 4}),
        (2, 3, CLOSING),
    ],
)
@pytest.mark.parametrize("columns", [3, 6])
def test_a_strip_of_any_number_of_looks(build, batch, tmp_path, looks, steps, localizer, columns):
    model = build(looks=looks, steps=steps, patch_size=(16, 32), **localizer)
    path = tmp_path / "strip.png"
    focus.draw(model, batch[0][:1], [2], NAMES, path, columns)
    with Image.open(path) as one:
        one = np.asarray(one.convert("RGB")).astype(int)
    focus.draw(model, batch[0][:2], None, NAMES, path, columns)
    with Image.open(path) as two:
        assert two.size == (one.shape[1], pytest.approx(2 * one.shape[0], abs=1))
    if columns == 3:
        assert one.shape[0] > one.shape[1] or not looks  # for a narrow page
    background = (one == 255).all(axis=-1)
    assert 0.1 < background.mean() < 0.9
    # Nothing is cut off: the margins are empty.
    assert background[0].all()
    assert background[-1].all()
    assert background[:, -1].all()


def test_all_maps_of_a_photo_share_one_scale(build, batch, monkeypatch):
    drawn = []
    monkeypatch.setattr(focus, "_evidence", lambda *arguments: drawn.append(arguments[3]))
    model = build(looks=2, steps=2)
    focus.draw(model, batch[0][:2], None, NAMES, io.BytesIO())
    assert len(drawn) == 2 * (1 + 4)
    assert len(set(drawn[:5])) == 1
    assert len(set(drawn[5:])) == 1


def test_a_strip_shows_the_looks_that_a_photo_needed(build, batch, monkeypatch):
    model = build(steps=1, refinements=2, **CLOSING)
    vote_at_random(model.localizer)
    titles = []
    monkeypatch.setattr(focus, "_title", lambda axes, text, *_: titles.append(text))
    focus.draw(model, batch[0][:3], None, ["a", "b", "c"], io.BytesIO())
    shown = [title for title in titles if title[0] not in "abc"]
    assert shown == [  # they need 1, 2 and 0
        *("glance", "look 1", "read", "evidence"),
        *("glance", "look 1", "look 2", "read", "evidence"),
        *("glance", "read", "evidence"),
    ]


def test_a_photo_of_none_of_the_classes_is_given_no_name(build, batch, monkeypatch):
    titles = []
    monkeypatch.setattr(focus, "_title", lambda axes, text, *_: titles.append(text))
    model = build(looks=0)
    score = model.predict(batch[0][:1], verbose=0).max()
    for known_from, labels in ((None, [1]), (score + 1, [1]), (score + 1, None)):
        model.known_from = known_from
        focus.draw(model, batch[0][:1], labels, ["a", "b", "c"], io.BytesIO())
    said = titles[::2]  # beside "evidence"
    assert said[0][2] in "abc"
    none = f"none of these (score {score:.2f})"
    assert said[1:] == [f"✗ {none}, is b", none]


def test_color_covers_where_the_evidence_is():
    gray = np.full((2, 1, 1), 0.5)
    none, most = focus._tint(gray, np.array([[[0.0]], [[1.0]]]))
    assert np.ptp(none) == 0  # gray, as the photo
    assert np.ptp(most) > 0.3  # colored


def test_too_few_columns_are_named(build, batch, tmp_path):
    with pytest.raises(ValueError, match=r"columns.*Received: 2"):
        focus.draw(build(), batch[0][:1], None, NAMES, tmp_path / "a.png", columns=2)
    assert not list(tmp_path.iterdir())
