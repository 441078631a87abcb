import numpy as np
import pytest

from rra_keras.explain.boxes import read_boxes


def write(folder, text):
    path = folder / "boxes.csv"
    path.write_text(text, "utf-8")
    return path


def test_boxes_are_matched_by_file_name(tmp_path):
    path = write(
        tmp_path,
        "class,file,y0,x0,y1,x1\nred,red/1.png,0.1,0.2,0.5,0.6\nred,red/9.png,0,0,1,1\n",
    )
    found = read_boxes(path, ["red/0.png", "red/1.png"])
    np.testing.assert_allclose(found.objects, [[np.nan] * 4, [0.1, 0.2, 0.5, 0.6]])
    assert found.parts is None
    np.testing.assert_allclose(found[[1]].objects, [[0.1, 0.2, 0.5, 0.6]])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("file,y0,x0,y1\na,0,0,1\n", "without x1"),
        ("", "without file"),
        ("file,y0,x0,y1,x1\na,0,0,1\n", "line 2"),
        ("file,y0,x0,y1,x1\na,0,0,1,wide\n", "0, 0, 1, wide"),
        ("file,y0,x0,y1,x1\na,0.5,0,0.5,1\n", "y0 < y1"),
        ("file,y0,x0,y1,x1\na,0,0,1,448\n", "x1 <= 1"),
        ("file,y0,x0,y1,x1\na,0,0,1,nan\n", "x1 <= 1"),
        ("file,y0,x0,y1,x1\na,0,0,1,1\na,0,0,1,1\n", "line 3"),
        ("file,y0,x0,y1,x1\nb,0,0,1,1\n", "'a'"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(tmp_path, text, named):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match="--boxes") as caught:
        read_boxes(path, ["a"])
    assert named in str(caught.value)


def test_a_table_in_another_encoding_is_named(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_bytes(b"file,y0,x0,y1,x1\n\xff\xfe,0,0,1,1\n")
    with pytest.raises(ValueError, match="UTF-8"):
        read_boxes(path, ["a"])
