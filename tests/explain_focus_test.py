import dataclasses
import io

import numpy as np
import pytest
from conftest import tensorflow_only
from PIL import Image

from rra_keras.explain import Explainer, focus

pytestmark = tensorflow_only("Grad-CAM by tf-keras-vis")
NAMES = ["ant", "bee", "cat"]


def titles(monkeypatch):
    """Collect what is written above the tiles."""
    said = []
    monkeypatch.setattr(focus, "_title", lambda axes, text, *_: said.append(text))
    return said


def size_of(path):
    with Image.open(path) as image:
        return image.size


@pytest.mark.parametrize("columns", [6, 3])
@pytest.mark.parametrize("aspects", [None, [2.5, 0.4]])
def test_a_strip_of_any_proportions(distinct, batch, tmp_path, columns, aspects):
    images, labels = batch
    path = tmp_path / "focus.png"
    focus.draw(distinct, images[:2], labels[:2], NAMES, path, aspects, columns)
    width, height = size_of(path)
    assert 200 < width < 3000
    assert 200 < height < 4000


def test_a_strip_of_the_plain_backbone(build, batch, tmp_path, monkeypatch):
    said = titles(monkeypatch)
    focus.draw(build(localizer=None), batch[0][:1], None, NAMES, tmp_path / "focus.png")
    assert said[1:] == ["whole photo"]


def test_a_strip_shows_what_was_read_and_its_weight(distinct, batch, monkeypatch):
    seen = Explainer(distinct)(batch[0])
    several = int(np.argmax((seen.weights > 0).sum(axis=1)))
    count = int((seen.weights[several] > 0).sum())
    assert count > 1
    said = titles(monkeypatch)
    one = seen[[several]]
    image = batch[0][[several]].astype("float32")
    focus.draw_strips(one, (32, 32), image, None, NAMES, io.BytesIO(), format="png")
    assert len(said) == 1 + count
    shares = [int(text.rpartition("weight ")[2].removesuffix("%")) for text in said[1:]]
    assert sum(shares) == pytest.approx(100, abs=2)


def test_all_maps_of_a_photo_share_one_scale(distinct, batch, monkeypatch):
    most = []
    monkeypatch.setattr(focus, "evidence", lambda axes, image, values, top, *_: most.append(top))
    focus.draw(distinct, batch[0][:1], None, NAMES, io.BytesIO())
    assert len(set(most)) == 1


def test_a_photo_of_none_of_the_classes_is_given_no_name(distinct, batch, monkeypatch):
    said = titles(monkeypatch)
    seen = Explainer(distinct)(batch[0][:1])
    unknown = type(seen)(**{**vars(seen), "known_from": float(seen.scores[0]) + 1})
    focus.draw_strips(
        unknown, (32, 32), batch[0][:1].astype("float32"), [0], NAMES, io.BytesIO(), format="png"
    )
    assert said[0].startswith("✗ none of these (score ")


def test_color_covers_where_the_evidence_is():
    gray = np.full((2, 2, 1), 0.5)
    tinted = focus._tint(gray, np.array([[[0.0], [1.0]], [[0.5], [0.0]]]))
    np.testing.assert_allclose(tinted[0, 0], 0.55)
    assert np.ptp(tinted[0, 1]) > np.ptp(tinted[1, 0]) > 0


def test_a_cut_is_the_box_from_edge_to_edge():
    image = np.arange(16.0, dtype="float32")[:, None, None] * np.ones((16, 16, 3), "float32")
    np.testing.assert_allclose(
        focus.cut(image, [0.25, 0, 0.75, 1], (8, 8))[:, 0, 0], np.linspace(3.5, 11.5, 8), atol=1e-3
    )


def test_a_strip_of_several_labels_says_which_place_shows_each(distinct, batch, monkeypatch):
    seen = Explainer(distinct)(batch[0])
    several = int(np.argmax((seen.weights > 0).sum(axis=1)))
    logits = np.full_like(seen.part_logits[[several]], -9.0)
    logits[0, 0] = [9.0, 1.0, -9.0]  # an ant, and a bee less than at the next place
    logits[0, 1] = [1.0, 9.0, -9.0]
    one = dataclasses.replace(
        seen[[several]],
        part_logits=logits,
        logits=logits.max(axis=1),
        temperature=1.0,
        known_from=None,
        answer="any",
        thresholds=np.array([0.5, 0.5, 0.5]),
    )
    assert [each.tolist() for each in one.said] == [[0, 1]]
    said = titles(monkeypatch)
    image = batch[0][[several]].astype("float32")
    for labels in ([[1, 1, 0]], [[1, 0, 0]], [[0, 0, 0]]):
        focus.draw_strips(one, (32, 32), image, np.array(labels), NAMES, io.BytesIO(), format="png")
    each = len(said) // 3
    assert said[0] == "✓ ant 100%, bee 100%"
    assert said[1:3] == ["1. ant 100%", "2. bee 100%"]
    assert said[each] == "✗ ant 100%, bee 100%, is ant"
    assert said[2 * each] == "✗ ant 100%, bee 100%, is without a label"
