"""Where the object is, found without a box label: by the training photos, before training."""
