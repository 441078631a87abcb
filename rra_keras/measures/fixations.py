"""What several fixations say together: `FixationAttention` in NumPy, and how it is fitted."""

import numpy as np
from scipy.special import logsumexp, softmax

from rra_keras.measures.calibration import fit_temperature

WORTH = 0.01  # of the probability of the right class: what one further read has to add
TEMPERATURES = np.geomspace(0.05, 20, 25)


def reads(evidence, distinct, sure_from=None):
    """Tell which fixations are read: in order, until the evidence reaches a threshold.

    Args:
        evidence: `(N, K)`, the largest logit of each fixation.
        distinct: `(N, K)` of 1 and 0; what is not distinct is not read.
        sure_from: the threshold; `None` reads all.

    Returns:
        `(N, K)` booleans.
    """
    counted = np.asarray(distinct) > 0
    if sure_from is None:
        return counted
    sure = np.where(counted, evidence, -np.inf) >= sure_from
    before = np.cumsum(sure, axis=1) - sure > 0  # sure before this one
    return counted & ~before


def combine(logits, scores, distinct, temperature=1.0, sure_from=None):
    """Return what the fixations of photos say together.

    Args:
        logits: `(N, K, C)`.
        scores: `(N, K)`.
        distinct: `(N, K)` of 1 and 0.
        temperature: what evidence is divided by.
        sure_from: evidence from which on no further fixation is read; `None` reads all.

    Returns:
        Logits `(N, C)`, scores `(N,)` and weights `(N, K)`.
    """
    evidence = logits.max(axis=-1)
    counted = reads(evidence, distinct, sure_from)
    weights = softmax(np.where(counted, evidence / temperature, -np.inf), axis=-1)  # (N, K)
    return (
        np.einsum("nk,nkc->nc", weights, logits),
        np.einsum("nk,nk->n", weights, scores),
        weights,
    )


def fit_attention(logits, distinct, labels):
    """Return the temperature of the attention, and the evidence that is enough.

    1. The temperature at which the answers from all fixations are right most often, and of those
       the one that gives the labels the greatest likelihood.
    2. The threshold of the evidence where the labels' mean probability, less `WORTH` for every
       read of a photo, is largest. Probabilities, not right answers, as a few photos tell more by
       them; they are calibrated (`fit_temperature`).

    Args:
        logits: `(N, K, C)`, of photos that were not trained on.
        distinct: `(N, K)` of 1 and 0.
        labels: `(N,)` integers.

    Returns:
        `(temperature, sure_from)`; `sure_from` is `None` where nothing is enough.
    """
    labels = np.asarray(labels)
    scores = np.zeros(logits.shape[:2])

    def answers(temperature, sure_from=None):
        return combine(logits, scores, distinct, temperature, sure_from)[0]

    def likelihoods(answer):
        own = np.take_along_axis(answer, labels[:, None], axis=-1)[:, 0]
        return own - logsumexp(answer, axis=-1)  # (N,)

    def judged(temperature):
        answer = answers(temperature)
        return np.mean(answer.argmax(-1) == labels), np.mean(likelihoods(answer))

    temperature = float(max(TEMPERATURES, key=judged))
    if logits.shape[1] == 1:
        return 1.0, None
    calibration = fit_temperature(answers(temperature), labels)
    evidence = logits.max(axis=-1)

    def worth(sure_from):
        right = np.exp(likelihoods(answers(temperature, sure_from) / calibration)).mean()
        return right - WORTH * reads(evidence, distinct, sure_from).sum(axis=1).mean()

    ordered = np.sort(evidence[:, 0])  # a photo's first place is always distinct
    places = np.unique(np.linspace(1, len(ordered), 42).round().astype(int))[:-1]
    # Half-way between two photos' evidence: rounding, as on a device, moves none to the other side.
    candidates = [ordered[0] - 1.0, *((ordered[places] + ordered[places - 1]) / 2), None]
    sure_from = max(candidates, key=worth)
    return temperature, None if sure_from is None else float(sure_from)
