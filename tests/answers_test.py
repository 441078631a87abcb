"""What an answer is: one of the classes, or any number of them."""

import types

import keras
import numpy as np
import pytest
from keras import ops

from rra_keras import answers
from rra_keras.layers import Calibration, FixationAttention
from rra_keras.measures import labels as label_measures
from rra_keras.measures import multilabel
from rra_keras.models.base import BinaryCrossEntropy, MeanAveragePrecision
from rra_keras.reporting import several

RNG = np.random.default_rng(0)


def layer(**values):
    return types.SimpleNamespace(**{"temperature": 1.0, "known_from": None, **values})


def test_average_precision_by_hand():
    scores = [[0.9, 0.1], [0.8, 0.9], [0.7, 0.3], [0.1, 0.2]]
    labels = [[1, 0], [0, 0], [1, 0], [0, 0]]
    found = multilabel.average_precision(scores, labels)
    assert found[0] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert np.isnan(found[1])
    assert multilabel.average_precision([[0.5], [0.5]], [[1], [0]]).tolist() == [0.5]  # a tie


def test_f1_by_hand():
    said, there = [[1, 1, 0], [1, 0, 0]], [[1, 0, 0], [0, 0, 0]]
    found = multilabel.f1(said, there)
    assert found[:2].tolist() == [pytest.approx(2 / 3), 0.0]
    assert np.isnan(found[2])
    assert multilabel.micro_f1(said, there) == pytest.approx(2 / 4)
    assert multilabel.micro_f1([[0]], [[0]]) == 0.0


def test_thresholds_are_those_of_the_greatest_f1():
    shares = np.array([[0.9, 0.6], [0.7, 0.2], [0.4, 0.1], [0.2, 0.05]])
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, 0]])
    chosen = multilabel.fit_thresholds(shares, labels)
    assert chosen.tolist() == pytest.approx([(0.7 + 0.4) / 2, 0.5])  # one photo teaches nothing


def test_temperature_of_sigmoids_recovers_the_one_that_made_them():
    logits = RNG.normal(size=(4000, 3)) * 3
    labels = RNG.uniform(size=logits.shape) < 1 / (1 + np.exp(-logits))
    assert multilabel.fit_temperature(2 * logits, labels) == pytest.approx(2, rel=0.06)


def test_the_rarest_label_stands_for_a_photo():
    labels = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 0, 1]])
    assert label_measures.rarest(labels).tolist() == [1, 0, 3, 2]
    assert label_measures.rarest(np.array([2, 0])).tolist() == [2, 0]


def test_any_number_of_classes_is_said():
    logits = np.log([[0.9 / 0.1, 0.3 / 0.7, 0.6 / 0.4], [0.1 / 0.9, 0.2 / 0.8, 0.5 / 0.5]])
    about = layer(thresholds=np.array([0.5, 0.25, 0.7]))
    answer = answers.of("any")
    assert answer.said(about, logits).tolist() == [[True, True, False], [False, False, False]]
    labels = np.array([[1, 1, 1], [0, 0, 0]])
    assert answer.right(about, logits, labels).tolist() == [pytest.approx(2 / 3), 1.0]
    assert answer.same(about, logits, logits[::-1]).tolist() == [pytest.approx(1 / 3)] * 2
    figures = answer.figures(about, logits, labels)
    assert figures["f1_micro"] == pytest.approx(4 / 5)
    assert figures["all_right"] == 0.5
    first, second = answer.rows(about, logits, [2.0, 1.0], ["a", "b", "c"], labels, ["x", "y"])
    assert first == {
        "file": "x",
        "label": "a;b;c",
        "predicted": "a;b",
        "probability": "0.900000;0.300000",
        "score": "2.000000",
        "known": 1,
        "p(a)": "0.900000",
        "p(b)": "0.300000",
        "p(c)": "0.600000",
    }
    assert (second["label"], second["predicted"], second["probability"]) == ("", "", "")
    assert answer.text(first, None) == "   90.0%  a\n   30.0%  b"
    assert answer.text(second, None) == "  none of these (each below its threshold)"
    unknown = {**first, "known": 0}
    assert answer.text(unknown, 3.0) == "  none of these (score 2.00, known from 3.00)"


def test_photos_of_a_label_set_the_threshold_if_there_are_any():
    answer = answers.of("any")
    assert answer.labeled([[0, 0], [0, 1]]).tolist() == [False, True]
    assert answer.labeled([[0, 0], [0, 0]]).tolist() == [True, True]
    assert answers.of("one").labeled([0, 1]).tolist() == [True, True]


def test_one_of_the_classes_is_said():
    answer, about = answers.of("one"), layer()
    logits = np.array([[2.0, 0.0], [0.0, 1.0]])
    assert answer.right(about, logits, [0, 0]).tolist() == [1, 0]
    assert answer.same(about, logits, logits[::-1]).tolist() == [0, 0]
    (row, _) = answer.rows(about, logits, [1.0, 1.0], ["a", "b"])
    assert answer.text(row, None) == "   88.1%  a\n   11.9%  b"
    with pytest.raises(ValueError, match="answer='some'"):
        answers.of("some")


def test_each_class_is_what_its_surest_fixation_says():
    logits = RNG.normal(size=(3, 4, 5)).astype("float32")  # (B, K, C)
    scores = RNG.normal(size=(3, 4)).astype("float32")
    distinct = np.array([[1, 1, 0, 1], [1, 0, 0, 0], [1, 1, 1, 1]], "float32")
    inputs = [logits.swapaxes(0, 1).reshape(12, 5), scores.T.reshape(12, 1), distinct]
    seen = FixationAttention("any")([ops.convert_to_tensor(each) for each in inputs])
    seen = {name: ops.convert_to_numpy(value) for name, value in seen.items()}
    expected, expected_score = answers.of("any").combine(None, logits, scores, distinct)
    np.testing.assert_allclose(seen["logits"], expected, rtol=1e-6)
    np.testing.assert_allclose(seen["score"][:, 0], expected_score, rtol=1e-6)
    assert seen["logits"][1].tolist() == logits[1, 0].tolist()
    assert seen["reads"][:, 0].tolist() == [3, 1, 4]
    np.testing.assert_allclose(seen["weights"], distinct / distinct.sum(1, keepdims=True))


def test_binary_cross_entropy_by_hand():
    labels, logits = np.array([[1, 0, 1]]), np.array([[2.0, -1.0, 0.5]], "float32")
    by_class = np.log1p(np.exp([-2.0, -1.0, -0.5]))
    loss = BinaryCrossEntropy()(labels, logits)
    assert float(loss) == pytest.approx(by_class.sum(), rel=1e-5)
    weighted = BinaryCrossEntropy(positive_weights=[3.0, 9.0, 1.0])(labels, logits)
    assert float(weighted) == pytest.approx(by_class @ [3, 1, 1], rel=1e-5)
    smooth = BinaryCrossEntropy(label_smoothing=0.2)
    expected = by_class.sum() + 0.1 * (2.0 + 1.0 + 0.5)
    assert float(smooth(labels, logits)) == pytest.approx(expected, rel=1e-5)
    assert BinaryCrossEntropy.from_config(smooth.get_config()).label_smoothing == 0.2


def test_mean_average_precision_is_near_the_exact_one():
    logits = RNG.normal(size=(200, 3)).astype("float32")
    labels = (logits + RNG.normal(size=logits.shape) > 0.5).astype("float32")
    metric = MeanAveragePrecision(3)
    metric.update_state(labels, logits)
    exact = multilabel.average_precision(logits, labels).mean()
    assert float(metric.result()) == pytest.approx(exact, abs=0.02)


def test_a_model_of_several_labels_learns_saves_and_refuses_others(build, tmp_path):
    model = build(answer="any", max_fixations=2)
    assert model.attention.train_fixations == 2
    images = RNG.uniform(0, 255, (4, 64, 64, 3)).astype("float32")
    labels = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
    model.compile("adam")
    history = model.fit(images, labels, verbose=0).history
    assert set(history) == {"loss", "mean_ap"}
    model.calibration.thresholds = [0.1, 0.2, 0.3]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.answer == "any"
    assert again.calibration.thresholds.tolist() == pytest.approx([0.1, 0.2, 0.3])
    expected = model.predict(images, verbose=0)
    np.testing.assert_allclose(again.predict(images, verbose=0), expected, atol=1e-5)
    for wrong in (np.zeros(4, int), np.full((4, 3), 2), np.zeros((4, 2), int)):
        with pytest.raises(ValueError, match=r"Expected 0 and 1 for each of 3 classes, \(N, 3\)"):
            model.fit(images, wrong, verbose=0)


def test_thresholds_are_a_layer_s_weights():
    calibration = Calibration(answer="any")
    calibration.build([(None, 3), (None, 8)])
    assert calibration.thresholds.tolist() == [0.5] * 3
    assert len(calibration.weights) == 1 + len(_built(Calibration()).weights)


def _built(calibration):
    calibration.build([(None, 3), (None, 8)])
    return calibration


def test_a_report_counts_each_label():
    about = layer(thresholds=np.array([0.5, 0.5]))
    logits = np.array([[3.0, 3.0], [3.0, -1.0], [2.0, 1.0], [-3.0, -3.0]])
    labels = np.array([[1, 1], [1, 0], [1, 0], [0, 1]])
    first, second = several.classes(about, logits, labels, ["a", "b"])
    assert (first["images"], first["recall"], first["precision"], first["ap"]) == (3, 1, 1, 1)
    assert (second["images"], second["recall"], second["precision"]) == (2, 0.5, 0.5)
    assert (second["f1"], second["threshold"]) == (0.5, 0.5)
    assert several.together(about, logits, labels, ["a", "b"]) == [
        {"a": "a", "b": "b", "there": 1, "said": 2}
    ]
    assert several.surest_errors(about, logits, labels, 3) == [3, 2]  # 0.05 against 0.73
    reliable = several.reliability(about, logits, labels)
    assert reliable["mean_right"] == 6 / 8
    assert sum(reliable["count"]) == 8
