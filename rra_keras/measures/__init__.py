"""What predictions, maps and boxes are worth, in NumPy only."""
