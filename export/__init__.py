"""From a trained run to files that run on a device, and the proof that they do."""
