"""Fonts of this machine that have the letters of class names, in every script."""

import contextlib
import functools
import warnings

import matplotlib
from matplotlib import font_manager

_NONE = "Last Resort"  # a font of boxes, for all there is


@contextlib.contextmanager
def for_names(names):
    """Draw meanwhile with fonts that have the letters of names, as far as this machine has any.

    Args:
        names: texts that will be drawn.

    Example:
        with fonts.for_names(["siskin", "写真"]):
            assert fonts.lacking(["siskin"]) == []
    """
    first = matplotlib.rcParams["font.family"]
    families, _ = _fallbacks("".join(sorted(set("".join(names)))), tuple(first))
    with matplotlib.rc_context({"font.family": [*first, *families]}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def lacking(names):
    """Return a line on the letters that no font here has; an empty list where there are none.

    Args:
        names: texts that are drawn.

    Example:
        assert fonts.lacking(["siskin"]) == []
    """
    first = tuple(matplotlib.rcParams["font.family"])
    _, letters = _fallbacks("".join(sorted(set("".join(names)))), first)
    if not letters:
        return []
    return [
        f"No font here has {letters[:10]}{'…' if len(letters) > 10 else ''}: boxes stand for them "
        "in pictures. A font for all scripts, such as Noto (Debian: fonts-noto-cjk), mends it"
    ]


@functools.lru_cache
def _fallbacks(letters, first):
    """Return families beside `first` that have the letters it lacks, and letters that none has."""
    path = font_manager.findfont(font_manager.FontProperties(family=list(first)))
    missing = {letter for letter in letters if ord(letter) > 32} - _letters(path)
    families = []
    for entry in font_manager.fontManager.ttflist:
        if not missing:
            break
        if entry.name.startswith(_NONE) or entry.name in families:
            continue
        if found := missing & _letters(entry.fname):
            families.append(entry.name)
            missing -= found
    return tuple(families), "".join(sorted(missing))


@functools.lru_cache
def _letters(path):
    return set(map(chr, font_manager.get_font(path).get_charmap()))
