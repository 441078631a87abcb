"""The rows to measure: name → the arguments of the preset `edge` that differ."""


def _plain(side):
    return {"localizer": None, "image_size": side}


ROWS = {
    # The plain backbone: at the crop's size, at the cost of the default (rounded up), at full size.
    "plain_224": _plain(224),
    "plain_288": _plain(288),
    "plain_320": _plain(320),
    "plain_352": _plain(352),
    "plain_448": _plain(448),
    "plain_480": _plain(480),
    # The default, and one change each.
    "edge": {},
    "one_fixation": {"max_fixations": 1},
    "no_refinement": {"max_refinements": 0},
    "two_refinements": {"max_refinements": 2},
    "glance_128": {"glance_size": 128},
    "glance_160": {"glance_size": 160},
    "glance_192": {"glance_size": 192},
}
