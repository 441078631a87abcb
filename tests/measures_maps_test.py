import numpy as np

from rra_keras.layers.zoom_crop import zoom_crop
from rra_keras.measures.boxes import areas, intersection_over_union, whole
from rra_keras.measures.maps import paste, upsample


def test_areas_and_overlaps():
    boxes = np.array([[0, 0, 0.5, 0.5], [0.5, 0, 0.2, 1]])
    np.testing.assert_allclose(areas(boxes), [0.25, 0])
    np.testing.assert_allclose(intersection_over_union(boxes[:1], whole(1)), [0.25])


def test_paste_puts_cells_where_the_box_is():
    maps = np.array([[[1.0, 3.0]]])  # one row, two columns
    pasted = paste(maps, [[0.25, 0.0, 0.75, 1.0]], 4)
    # Column centers 1/8, 3/8, 5/8, 7/8 of the box; cell centers 1/4 and 3/4 of it.
    row = [1.0, 1.5, 2.5, 3.0]
    np.testing.assert_allclose(pasted[0], [[0] * 4, row, row, [0] * 4], atol=1e-6)


def test_a_pasted_map_is_cut_out_again_by_its_box():
    rng = np.random.default_rng(0)
    maps = rng.uniform(size=(2, 5, 5)).astype("float32")
    boxes = np.array([[0.1, 0.3, 0.6, 0.8], [0.4, 0.0, 1.0, 0.6]])
    pasted = paste(maps, (boxes * 255 + 0.5) / 256, 256)
    again = np.asarray(zoom_crop(pasted[..., None], boxes.astype("float32"), (64, 64)))[..., 0]
    expected = upsample(maps, 64)
    np.testing.assert_allclose(again[:, 2:-2, 2:-2], expected[:, 2:-2, 2:-2], atol=0.06)


def test_upsampling_keeps_a_map_of_the_same_size_and_its_constant():
    maps = np.arange(9.0).reshape(1, 3, 3)
    np.testing.assert_allclose(upsample(maps, 3), maps, atol=1e-6)
    np.testing.assert_allclose(upsample(np.full((1, 2, 5), 7.0), 9), 7.0, atol=1e-6)
