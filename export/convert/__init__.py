"""From a Keras model to SavedModel and TFLite files."""
