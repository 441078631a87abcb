"""The rows to measure: name → the preset (`edge` unless named) and its arguments that differ."""

# Looks placed by the class-activation map of a larger glance, which the encoder sees as well.
_CAM = {"localizer": "cam", "look_weight": 2.0, "look_loss_weight": 2.0}

ROWS = {
    # The plain backbone: at the crop's size, at the cost of the default (rounded up), at full size.
    "plain_224": {"looks": 0, "image_size": 224},
    "plain_288": {"looks": 0, "image_size": 288},
    "plain_320": {"looks": 0, "image_size": 320},
    "plain_352": {"looks": 0, "image_size": 352},
    "plain_448": {"looks": 0, "image_size": 448},
    # The default, and one change each.
    "edge": {},
    "units_256": {"units": 256},
    "four_steps": {"steps": 4},
    "ten_steps": {"steps": 10},
    "no_skip": {"linear_vote": False},
    "separate_encoders": {"shared_encoder": False},
    # Where it looks: without the look inside the glance's box, after two of them, and by others.
    "no_refinement": {"refinements": 0},
    "two_refinements": {"refinements": 2},
    "cam": _CAM,
    "center": _CAM | {"localizer": "center"},
    "random": _CAM | {"localizer": "random"},
    # Other economies: the size of the glance, the size of the crop, the number of looks.
    "glance_160": {"glance_size": 160},
    "patch_160": {"patch_size": 160},
    "three_looks": {"looks": 3},
    "two_looks_160": {"looks": 2, "patch_size": 160},
}
