"""What the model saw."""
