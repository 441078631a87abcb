"""Planar frames, smooth outlines and colors that the drawings are made of."""

import colorsys

import numpy as np


class Frame:
    """An affine frame: `points @ matrix.T + origin`, from local units to canvas pixels.

    Args:
        matrix: `(2, 2)`, columns are the local axes in pixels.
        origin: `(2,)`, the local origin in pixels.
    """

    def __init__(self, matrix, origin):
        self.matrix = np.asarray(matrix, float)
        self.origin = np.asarray(origin, float)

    def __call__(self, points):
        return np.asarray(points, float) @ self.matrix.T + self.origin  # (N, 2)

    def child(self, origin, angle=0.0, scale=1.0):
        """A frame at `origin` of this one, turned by `angle` radians and scaled."""
        return Frame(scale * self.matrix @ rotation(angle), self(origin))


def rotation(angle):
    """The `(2, 2)` matrix that turns by `angle` radians."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def arc(center, radius, start, stop, count):
    """`(count, 2)` points on a circle, from angle `start` to `stop` in degrees."""
    angles = np.radians(np.linspace(start, stop, count))
    return np.asarray(center) + radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def smooth(points, steps=6):
    """A closed Catmull-Rom spline through `(N, 2)` points, as `(N * steps, 2)` points."""
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    weights = np.concatenate(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2],
        axis=1,
    )  # (steps, 4)
    count = len(points)
    nearby = (np.arange(count)[:, None] + [-1, 0, 1, 2]) % count  # (N, 4)
    return (0.5 * weights @ np.asarray(points, float)[nearby]).reshape(-1, 2)


def bounds(points):
    """`(left, top, right, bottom)` of `(N, 2)` points."""
    return (*np.min(points, axis=0), *np.max(points, axis=0))


def xy(points):
    """`(N, 2)` points as the flat list that Pillow draws fastest."""
    return np.asarray(points).ravel().tolist()


def hsv(hue, saturation, value):
    """An RGB color in 0…255 from hue, saturation and value in [0, 1]."""
    return 255 * np.array(colorsys.hsv_to_rgb(hue % 1, min(saturation, 1), min(value, 1)))


def rgb(color):
    """A color array in 0…255 as the tuple of ints that Pillow takes."""
    return tuple(min(255, int(channel)) for channel in color)


def mix(color, other, amount):
    """`color` moved toward `other` by `amount` in [0, 1]."""
    return np.asarray(color) + amount * (np.asarray(other) - np.asarray(color))
