"""The rows to measure: name → the preset (`edge` unless named) and its arguments that differ."""

ROWS = {
    # The plain backbone: at the crop's size, at the cost of the default (rounded up), at full size.
    "plain_224": {"looks": 0},
    "plain_288": {"looks": 0, "image_size": 288},
    "plain_320": {"looks": 0, "image_size": 320},
    "plain_352": {"looks": 0, "image_size": 352},
    "plain_448": {"looks": 0, "image_size": 448},
    # The default, and one change each.
    "edge": {},
    "units_256": {"units": 256},
    "one_step": {"steps": 1},
    "ten_steps": {"steps": 10},
    "center_box": {"localizer": "center"},
    "separate_encoders": {"shared_encoder": False},
    "no_skip": {"linear_vote": False},
    "lambda_1": {"look_weight": 1.0, "look_loss_weight": 1.0},
    "box_gradient": {"look_weight": 1.0, "look_loss_weight": 1.0, "box_gradient": 0.01},
    # A localizer that learns the object's frame from the training photos.
    "box": {"localizer": "box"},
    # For wide objects, and one change each.
    "wide": {"preset": "edge_wide"},
    "wide_units_256": {"preset": "edge_wide", "units": 256},
    "wide_no_skip": {"preset": "edge_wide", "linear_vote": False},
    "wide_attached": {"preset": "edge_wide", "detach_glance": False},
    "wide_cam": {"preset": "edge_wide", "localizer": "cam"},
    "wide_center": {"preset": "edge_wide", "localizer": "center"},
    "wide_random": {"preset": "edge_wide", "localizer": "random"},
    "wide_208": {"preset": "edge_wide", "patch_size": (208, 416), "units": 256},
    "square": {"preset": "edge_wide", "patch_size": 224},
    # Other economies: the size of the view, the size of the crop, the number of looks.
    "view_128": {"glance_size": 128},
    "view_224": {"glance_size": 224},
    "patch_160": {"patch_size": 160},
    "two_looks_160": {"looks": 2, "patch_size": 160},
    "three_looks_128": {"looks": 3, "glance_size": 128, "patch_size": 128},
}
