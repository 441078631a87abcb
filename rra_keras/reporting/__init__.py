"""A run in figures and pictures, on one page."""
