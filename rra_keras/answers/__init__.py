"""What an answer is: one of the classes, or any number of them."""

from rra_keras.answers.any_of import AnyOf
from rra_keras.answers.one_of import OneOf

_KINDS = {"one": OneOf(), "any": AnyOf()}


def of(kind):
    """Return the answer of a kind.

    Example:
        shares = answers.of("any").probabilities(np.zeros((1, 3)), temperature=1.0)  # 0.5 each

    Args:
        kind: `"one"`, one of the classes; or `"any"`, any number of them.

    Raises:
        ValueError: if there is no such kind.
    """
    if kind not in _KINDS:
        raise ValueError(
            f"Invalid value for argument `answer`. Expected one of {tuple(_KINDS)}. "
            f"Received: answer={kind!r}"
        )
    return _KINDS[kind]
