"""Named data sets that this package knows more of than their name."""

# Splits as published; those of other sets are read from the set once it is prepared.
SPLITS = {
    "caltech_birds2011": ("train", "test"),
    "stanford_dogs": ("train", "test"),
    "cars196": ("train", "test"),
    "oxford_flowers102": ("train", "validation", "test"),
    "oxford_iiit_pet": ("train", "test"),
    "food101": ("train", "validation"),
    "fgvc_aircraft": ("train", "validation", "test"),
}
OWN = ("synthetic_birds", "fgvc_aircraft")  # packages here, whose import registers a builder
