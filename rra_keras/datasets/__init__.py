"""Data sets of this package, built by TensorFlow Datasets."""
