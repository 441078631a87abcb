"""A report as one page of HTML that asks for nothing from outside."""

import base64
import io
import pathlib

import jinja2
import numpy as np
from PIL import Image

from rra_keras.reporting import charts

_TEMPLATE = "page.html.jinja"


def render(figures, strips, pairs, doubted):
    """Return the page.

    Args:
        figures: what `report.json` holds.
        strips: a dict from `"spread"` and `"errors"` to lists of dicts: `name` of the image and
            its strip, `wide` and `narrow`, as image bytes.
        pairs: a list of dicts, one a pair of classes: `a`, `b`, `a_as_b`, `b_as_a` and `photos`,
            a list of dicts with a `caption` and an `image`, bytes.
        doubted: the images of `figures["label_issues"]["first"]`, bytes.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rra_keras.reporting", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "percent": _percent,
        "number": _number,
        "uri": _uri,
        "span": _span,
    }
    drawn = {"reliability": charts.reliability(figures["calibration"])}
    if figures["training"]["history"]:
        drawn["training"] = charts.training(figures["training"]["history"])
    if figures["by_fixation"] and len(figures["by_fixation"]["curve"]) > 1:
        drawn["fixations"] = charts.fixations(figures["by_fixation"]["curve"])
    if figures["faithfulness"]:
        drawn["faithfulness"] = charts.faithfulness(figures["faithfulness"]["maps"])
    classes = figures["classes"]
    # Classes without an image have no recall, and come last.
    least_first = sorted(classes, key=lambda row: (row["recall"] is None, row["recall"]))
    return environment.get_template(_TEMPLATE).render(
        **figures,
        name=pathlib.PurePath(figures["run"]).name,
        least_first=least_first,
        strips=strips,
        pairs=pairs,
        doubted=doubted,
        charts=drawn,
    )


def webp(pixels, aspect, side):
    """Return a photo `(S, S, 3)`, RGB 0…255, as WebP bytes.

    Args:
        pixels: the photo, squeezed into a square.
        aspect: its own width by its height, which is given back to it.
        side: its longer side then, pixels.
    """
    image = Image.fromarray(np.clip(pixels, 0, 255).astype("uint8"))
    size = (side * min(aspect, 1), side * min(1 / aspect, 1))
    image = image.resize([max(1, round(length)) for length in size])
    file = io.BytesIO()
    image.save(file, "webp", quality=80)
    return file.getvalue()


def _percent(value, digits=1):
    return "–" if value is None else f"{100 * value:.{digits}f}\u202f%"


def _number(value, digits=3):
    return "–" if value is None else f"{value:.{digits}f}"


def _span(interval, digits=3):
    if None in interval:
        return "–"
    ends = (round(end, digits) + 0.0 for end in interval)  # and no negative zero
    return " to ".join(f"{end:+.{digits}f}".replace("-", "−") for end in ends)


def _uri(data):
    kind = "svg+xml" if data.lstrip().startswith(b"<") else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
