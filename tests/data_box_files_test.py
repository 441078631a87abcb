"""Box files as tools write them, one fixture of each kind, and what is wrong with some."""

import json
import re

import numpy as np
import pytest
from conftest import tensorflow_only
from odd_photos import picture, turned
from PIL import Image, ImageOps

from rra_keras.data import box_files
from rra_keras.data.boxes import Turn, read_boxes, sizes_in

pytestmark = tensorflow_only("NumPy and text, the same whatever Keras runs on")
NAMES = ["red/001.jpg", "red/002.jpg", "blue/001.jpg", "blue/Größe 3.png"]
BOX = [0.1, 0.2, 0.5, 0.7]  # of a photo of 100 × 200: y 10…50, x 40…140
SIZE = (100, 200)


def upright(name):
    return SIZE, None


def lying(name):
    """Stored as 200 × 100, and turned by 90 degrees to be upright."""
    return SIZE, Turn(6)


def voc(name="002.jpg", size=(200, 100), values=(40, 10, 140, 50), label="red", **more):
    width, height = size
    bounds = "".join(
        f"<{key}>{value}</{key}>"
        for key, value in zip(("xmin", "ymin", "xmax", "ymax"), values, strict=True)
    )
    extra = "".join(f"<{key}>{value}</{key}>" for key, value in more.items())
    return (
        f"<annotation>{extra}<filename>{name}</filename><size><width>{width}</width>"
        f"<height>{height}</height><depth>3</depth></size><object><name>{label}</name>"
        f"<bndbox>{bounds}</bndbox></object></annotation>"
    )


def coco(name="red/002.jpg", box=(40, 10, 100, 40), size=(200, 100), **annotation):
    annotation = {"id": 9, "image_id": 70, "category_id": 5, "bbox": list(box)} | annotation
    return {
        "images": [
            {"id": 7, "file_name": "gone.jpg", "height": 10, "width": 10},
            {"id": 70, "file_name": name, "height": size[1], "width": size[0]},
        ],
        "annotations": [annotation],
        "categories": [{"id": 5, "name": "red"}],
    }


def label_studio(upload="3f2a1b0c-002.jpg", rotation=0, **task):
    value = {"x": 20.0, "y": 10.0, "width": 50.0, "height": 40.0, "rotation": rotation}
    value["rectanglelabels"] = ["red"]
    region = {"type": "rectanglelabels", "value": value}
    region |= {"original_width": 200, "original_height": 100}
    bad = {"result": [{"value": value | {"x": 0.0}}], "was_cancelled": True}
    first = {"result": [{"value": value | {"x": 40.0}}], "was_cancelled": False}
    done = [first, {"result": [region], "was_cancelled": False}, bad]
    return [{"data": {"image": f"/data/upload/1/{upload}"}, "annotations": done} | task]


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return folder


FILES = {
    "table": ({"b.csv": "file,y0,x0,y1,x1\nred/002.jpg,0.1,0.2,0.5,0.7\n"}, "b.csv"),
    "table of a spreadsheet": (
        {"b.csv": "\ufefffile;label;y0;x0;y1;x1\nred/002.jpg;red;0.1;0.2;0.5;0.7\n"},
        "b.csv",
    ),
    "table in pixels": ({"b.csv": "file,y0,x0,y1,x1\nred/002.jpg,10,40,50,140\n"}, "b.csv"),
    "coco": ({"b.json": coco()}, "b.json"),
    "coco, another machine": (
        {"b.json": coco(r"C:\Users\ann\..\photos\red\002.JPG")},
        "b.json",
    ),
    "coco, bare name": ({"b.json": coco("002.jpg")}, "b.json"),
    "coco, address": (
        {"b.json": coco("https://host/data/local-files/?d=photos%2Fred%2F002.jpg")},
        "b.json",
    ),
    "coco, uploaded": ({"b.json": coco("0a1b2c3d-002.jpg")}, "b.json"),
    "coco, outline": (
        {
            "b.json": coco(
                box=(), segmentation=[[40, 10, 140, 10, 140, 50], [60, 20, 70, 20, 70, 30]]
            )
        },
        "b.json",
    ),
    "coco, smaller photo": ({"b.json": coco(box=(20, 5, 50, 20), size=(100, 50))}, "b.json"),
    "voc": ({"xml/002.xml": voc()}, "xml"),
    "voc, stale names": (
        {"xml/red/002.xml": voc("IMG_0001.jpg", path="/home/bo/old/IMG_0001.jpg")},
        "xml",
    ),
    "voc, names alone": ({"xml/first.xml": voc("002.jpg", folder="red")}, "xml"),
    "voc, decimals": ({"xml/002.xml": voc(values=("40.0", "10.0", "140.0", "50.0"))}, "xml"),
    "voc, one file": ({"002.xml": voc()}, "002.xml"),
    "yolo": (
        {
            "labels/red/002.txt": "3 0.45 0.3 0.5 0.4\n",
            "labels/classes.txt": "red\nblue\n",
            "data.yaml": "names: [red]\n",
        },
        "labels",
    ),
    "yolo by its yaml": (
        {"labels/002.txt": "3 0.45 0.3 0.5 0.4 0.93\n", "data.yaml": "names: [red]\n"},
        "data.yaml",
    ),
    "yolo, polygon": (
        {"labels/002.txt": "0 0.2 0.1 0.7 0.1 0.7 0.5 0.3 0.4\n"},
        "labels",
    ),
    "label studio": ({"b.json": label_studio()}, "b.json"),
    "label studio, local files": (
        {"b.json": label_studio(data={"image": "/data/local-files/?d=x/red/002.jpg"})},
        "b.json",
    ),
    "cub": (
        {
            "images.txt": "1 red/001.jpg\n2 red/002.jpg\n",
            "bounding_boxes.txt": "2 40.0 10.0 100.0 40.0\n",
        },
        "bounding_boxes.txt",
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_box_is_read_out_of_what_tools_write(tmp_path, kind):
    files, name = FILES[kind]
    found = read_boxes(write(tmp_path, files) / name, NAMES, upright)
    assert found.known.tolist() == [False, True, False, False]
    np.testing.assert_allclose(found.objects[1], [BOX], atol=1e-6)
    assert not found.empty.any()


def test_several_boxes_none_and_no_word(tmp_path):
    labels = {"001.txt": "", "002.txt": "0 0.5 0.5 0.2 0.2\n1 0.2 0.2 0.1 0.1\n"}
    found = read_boxes(
        write(tmp_path / "red", labels), ["x/001.jpg", "x/002.png", "3.jpg"], upright
    )
    assert found.objects.shape == (3, 2, 4)
    assert found.known.tolist() == [False, True, False]
    assert found.empty.tolist() == [True, False, False]
    np.testing.assert_allclose(found.largest[1], [0.4, 0.4, 0.6, 0.6])
    np.testing.assert_allclose(found[[1, 2]].objects[0, 1], [0.15, 0.15, 0.25, 0.25])


def test_a_photo_that_nobody_annotated_says_nothing(tmp_path):
    tasks = label_studio() + label_studio("00000000-001.jpg", annotations=[])
    found = read_boxes(
        write(tmp_path, {"b.json": tasks}) / "b.json", ["001.jpg", "002.jpg"], upright
    )
    assert found.known.tolist() == [False, True]
    assert found.empty.tolist() == [False, False]


def test_a_box_turned_by_a_few_degrees(tmp_path):
    path = write(tmp_path, {"b.json": label_studio(rotation=10)}) / "b.json"
    (box,) = read_boxes(path, ["002.jpg"], upright).objects[0]
    sin, cos = np.sin(np.pi / 18), np.cos(np.pi / 18)
    pixels = [10, 40 - 40 * sin, 10 + 100 * sin + 40 * cos, 40 + 100 * cos]
    np.testing.assert_allclose(box * [100, 200, 100, 200], pixels, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "box", "more"),
    [
        ((200, 100), (40, 10, 100, 40), {}),  # drawn on the upright photo
        ((100, 200), (10, 60, 40, 100), {}),  # on the stored one, which lies on its side
        ((100, 200), (20, 20, 50, 80), {"info": {"contributor": "Label Studio"}}),
    ],
)
def test_the_stated_size_tells_which_way_up_boxes_were_drawn(tmp_path, size, box, more):
    path = write(tmp_path, {"b.json": coco(box=box, size=size) | more}) / "b.json"
    np.testing.assert_allclose(read_boxes(path, NAMES, lying).objects[1], [BOX], atol=1e-6)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_box_turns_as_its_photo_does(tmp_path, orientation):
    photo = picture((60, 40))
    stored_box = np.array([0.25, 0.5, 0.5, 0.9])
    mark = np.zeros((40, 60), "uint8")
    mark[10:20, 30:54] = 255
    photo.save(tmp_path / "a.jpg", exif=turned(orientation))
    size, turn = sizes_in(tmp_path)("a.jpg")
    shown = Image.fromarray(mark)
    shown.getexif()[0x0112] = orientation
    shown = np.asarray(ImageOps.exif_transpose(shown))
    assert shown.shape == size
    rows, columns = np.nonzero(shown)
    bounds = np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])
    np.testing.assert_allclose(turn(stored_box) * [*size, *size], bounds, atol=1e-6)


def test_what_cannot_be_used_is_counted_by_reason(tmp_path):
    table = (
        "file,y0,x0,y1,x1,label\nred/001.jpg,0.1,0.2,0.5,0.7,red\nred/001.jpg,0.5,0.2,0.1,0.7,red\n"
        "red/002.jpg,0.1,0.2,0.1,0.7,red\nblue/001.jpg,0.1,0.2,1.5,0.7,blue\n"
        "blue/Größe 3.png,0.1,0.2,0.5,0.7,red\ngone.jpg,0.1,0.2,0.5,0.7,red\n"
    )
    path = write(tmp_path, {"b.csv": table}) / "b.csv"
    labels = ["red", "red", "blue", "blue"]
    found = read_boxes(path, NAMES, upright, labels)
    assert found.known.tolist() == [True, False, False, False]
    said = "\n".join(found.notes)
    for reason in ("turned over: 1", "without an area: 1", "outside of the photo: 1"):
        assert f"boxes left out, {reason}, e.g. {path}, line" in said
    assert "of another class: 1" in said
    assert "boxes of 1 photos that are not there, e.g. gone.jpg" in said


def test_a_box_a_little_beyond_the_photo_is_clipped(tmp_path):
    path = write(tmp_path, {"l/002.txt": "0 0.5 0.5 1.004 0.2\n"}) / "l"
    (box,) = read_boxes(path, ["002.jpg"], upright).objects[0]
    np.testing.assert_allclose(box, [0.4, 0.0, 0.6, 1.0])


@pytest.mark.parametrize(
    ("files", "name", "said"),
    [
        ({"b.json": coco("001.jpg")}, "b.json", "fits blue/001.jpg and red/001.jpg"),
        ({"b.json": coco("x.jpg")}, "b.json", r"red/001.jpg. Received: .*none of these, but x.jpg"),
        ({"b.json": coco(size=(200, 180))}, "b.json", "other proportions, for red/002.jpg"),
        ({"b.json": '{"images": ['}, "b.json", "Expected a whole file"),
        ({"b.json": {"images": [{"id": 1}]}}, "b.json", "without any|something is missing"),
        ({"b.json": {"images": []}}, "b.json", "without any"),
        ({"b.xls": "x"}, "b.xls", "Expected a CSV table .*another format"),
        ({"b/readme.md": "x"}, "b", "another format"),
        ({"x/002.xml": voc()[:80]}, "x", "Expected a whole file"),
        ({"x/002.xml": voc(values=(40, 10, "wide", 50))}, "x", "four numbers in .*wide"),
        ({"x/a/002.xml": voc(), "x/b/002.xml": voc()}, "x", "one file for each photo"),
        ({"l/002.txt": "0 0.5 0.5\n"}, "l", "a class and four numbers in .*line 1"),
        ({"b.csv": "file,y0,x0,y1\n"}, "b.csv", "without x1"),
        (
            {"b.csv": "file,y0,x0,y1,x1\nred/002.jpg,0,0,1,nan\n"},
            "b.csv",
            "four numbers in .*line 2",
        ),
        ({"b.csv": "file,y0,x0,y1,x1\nred/002.jpg,0.5,0,0.5,1\n"}, "b.csv", "1 without an area"),
    ],
)
def test_a_box_file_that_cannot_be_used_is_one_line(tmp_path, files, name, said):
    with pytest.raises(ValueError, match=r"Invalid value for `boxes`\. Expected") as caught:
        read_boxes(write(tmp_path, files) / name, NAMES, upright)
    assert len(str(caught.value).splitlines()) == 1
    assert re.search(said, str(caught.value)), str(caught.value)


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError, match="not found"):
        box_files.read("nowhere.json")


def test_xml_is_no_way_into_the_machine(tmp_path):
    bomb = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotation>&b;</annotation>'
    with pytest.raises(ValueError, match="Invalid value for `boxes`"):
        read_boxes(write(tmp_path, {"x/002.xml": bomb}) / "x", NAMES, upright)
