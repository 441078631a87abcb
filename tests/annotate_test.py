"""The page on which boxes are drawn, in a real browser."""

import http.client
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import command, tensorflow_only
from odd_photos import picture, turned
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from rra_keras import annotate, boxes
from rra_keras.data.boxes import read_boxes, sizes_in

pytestmark = tensorflow_only("a page, the same whatever Keras runs on")
SIZES = {"a/0.jpg": (640, 480), "a/1.jpg": (300, 900), "b/2.jpg": (4000, 3000), "b/3.jpg": (90, 60)}
ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path):
    for name, size in SIZES.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # The second lies on its side: 300 × 900 as it is shown.
        image = picture(size).transpose(Image.Transpose.ROTATE_90) if "1" in name else picture(size)
        image.save(path, exif=turned(6 if "1" in name else 1))
    return tmp_path / "photos"


@pytest.fixture
def table(tmp_path):
    return tmp_path / "boxes.csv"


@pytest.fixture
def served(folder, table):
    """Annotations, the server's port and the address of its page."""
    annotations = annotate.Annotations(
        str(folder),
        list(SIZES),
        [None, [0.25, 0.25, 0.5, 0.75], None, None],
        {},
        lambda drawn: boxes.write_drawn(table, drawn),
    )
    server, address = annotate.make_server(annotations)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield annotations, server.server_port, address
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium found: apt-get install chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path)
        yield launched
        launched.close()


def open_page(browser, address, width=1280, height=800):
    page = browser.new_page(viewport={"width": width, "height": height}, bypass_csp=True)
    page.goto(address)
    expect(page.locator("#photo")).to_have_js_property("complete", True)
    page.wait_for_function("document.querySelector('#photo').style.width")
    return page


def drag(page, y0, x0, y1, x1, shift=False):
    """Drag from one corner to the other, in shares of the photo as it is shown."""
    frame = page.locator("#photo").bounding_box()

    def at(y, x):
        return frame["x"] + x * frame["width"], frame["y"] + y * frame["height"]

    if shift:
        page.keyboard.down("Shift")
    page.mouse.move(*at(y0, x0))
    page.mouse.down()
    page.mouse.move(*at((y0 + y1) / 2, (x0 + x1) / 2))
    page.mouse.move(*at(y1, x1))
    page.mouse.up()
    if shift:
        page.keyboard.up("Shift")


def count(page, number):
    expect(page.locator("#count")).to_have_text(f"{number} of 4 done")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 700)])
def test_boxes_are_drawn_kept_and_undone(browser, served, folder, table, width, height):
    annotations, _, address = served
    page = open_page(browser, address, width, height)
    frame = page.locator("#photo").bounding_box()
    assert frame["width"] <= width
    assert frame["height"] > 0.3 * height or frame["width"] > 0.8 * width  # as large as it goes
    drag(page, 0.2, 0.1, 0.6, 0.5)
    count(page, 1)
    expect(page.locator(".box.suggested")).to_have_count(1)
    page.keyboard.press("Enter")  # the second is kept as suggested
    count(page, 2)
    page.wait_for_function("document.querySelector('#photo').naturalWidth === 2048")
    drag(page, 0.9, 0.9, 0.1, 0.2)  # backwards
    count(page, 3)
    page.keyboard.press("z")
    count(page, 2)
    page.wait_for_function("document.querySelector('#photo').naturalWidth === 2048")
    drag(page, 0.1, 0.2, 0.3, 0.4, shift=True)
    drag(page, 0.5, 0.5, 0.9, 0.7, shift=True)
    drag(page, 0.0, 0.0, 0.1, 0.1, shift=True)
    page.keyboard.press("z")  # the last of three
    page.keyboard.press("Enter")
    count(page, 3)
    page.keyboard.press("n")
    count(page, 4)
    expect(page.locator("#done")).to_be_visible()
    page.close()

    found = read_boxes(table, list(SIZES), sizes_in(folder))
    assert found.known.tolist() == [True, True, True, False]
    assert found.empty.tolist() == [False, False, False, True]
    near = 2.0 / min(frame["width"], frame["height"])  # a pixel of the screen
    np.testing.assert_allclose(found.objects[0, 0], [0.2, 0.1, 0.6, 0.5], atol=near)
    np.testing.assert_allclose(found.objects[1, 0], [0.25, 0.25, 0.5, 0.75])
    expected = [[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.9, 0.7]]
    np.testing.assert_allclose(found.objects[2], expected, atol=2 * near)
    again = boxes.read_drawn(table)
    assert again.keys() == annotations.drawn.keys()
    for name, drawn in annotations.drawn.items():
        np.testing.assert_allclose(again[name], drawn, atol=1e-6)


def test_a_reload_goes_on_where_it_was(browser, served):
    _, _, address = served
    page = open_page(browser, address)
    drag(page, 0.2, 0.1, 0.6, 0.5)
    count(page, 1)
    page.reload()
    count(page, 1)
    expect(page.locator("#name")).to_have_text("a/1.jpg")
    page.keyboard.press("z")
    count(page, 0)
    expect(page.locator("#name")).to_have_text("a/0.jpg")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#name")).to_have_text("a/1.jpg")
    page.close()


def test_a_slip_is_no_box(browser, served):
    page = open_page(browser, served[2])
    drag(page, 0.5, 0.5, 0.501, 0.501)
    count(page, 0)
    page.close()


def test_a_photo_on_its_side_is_shown_upright(browser, served):
    page = open_page(browser, served[2])
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('#photo').naturalHeight === 900")
    frame = page.locator("#photo").bounding_box()
    assert frame["height"] == pytest.approx(3 * frame["width"], rel=0.02)
    page.close()


def test_what_is_not_saved_is_said(browser, served):
    annotations, _, address = served
    page = open_page(browser, address)
    annotations.save = lambda drawn: (_ for _ in ()).throw(OSError("disk full"))
    drag(page, 0.2, 0.1, 0.6, 0.5)
    expect(page.get_by_role("alert")).to_contain_text("Not saved")
    count(page, 0)
    page.close()


def ask(port, path, method="GET", body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def test_it_answers_to_its_own_page_alone(served, folder):
    annotations, port, address = served
    (folder / "secret.jpg").write_bytes((folder / "a" / "0.jpg").read_bytes())
    token = address.split("/")[3]
    assert ask(port, f"/{token}/photos") == 200
    assert ask(port, f"/{token}/photo/0") == 200
    for path in ("/", "/photos", "/wrong/photos", f"/{token[:-1]}/photos"):
        assert ask(port, path) == 403, path
    for path in ("photo/99", "photo/-1", "photo/../secret.jpg", "../secret.jpg", "secret.jpg"):
        assert ask(port, f"/{token}/{path}") == 404, path
    assert ask(port, f"/{token}/photos", Host=f"evil.example:{port}") == 403
    assert ask(port, f"/{token}/photos", Origin="http://evil.example") == 403
    good = json.dumps({"name": "a/0.jpg", "boxes": [[0.1, 0.1, 0.2, 0.2]]})
    assert ask(port, f"/{token}/boxes", "POST", good, Origin="http://evil.example") == 403
    assert annotations.drawn == {}
    for bad in (
        good.replace("a/0.jpg", "../secret.jpg"),
        good.replace("0.2]", "7]"),
        good.replace("[0.1, 0.1, 0.2", "[0.3, 0.1, 0.2"),
        "{",
        "[]",
    ):
        assert ask(port, f"/{token}/boxes", "POST", bad) == 400, bad
    assert ask(port, f"/{token}/boxes", "POST", "x" * 70_000) == 413
    assert ask(port, f"/{token}/boxes", "POST", good) == 200
    assert annotations.drawn == {"a/0.jpg": [[0.1, 0.1, 0.2, 0.2]]}


def test_the_command_serves_until_it_is_interrupted(photos, tmp_path):
    out = tmp_path / "boxes.csv"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "rra_keras.boxes", f"--dataset=folder:{photos}"),
            *(f"--out={out}", "--photos=4", "--noopen"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        said, address = process.stdout.readline().rsplit(maxsplit=1)
        assert said == "4 photos at"
        port, token = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/(.+)/", address).groups()
        (state, *_) = annotate_state(int(port), token)
        body = json.dumps({"name": state["name"], "boxes": [[0.1, 0.1, 0.5, 0.5]]})
        assert ask(int(port), f"/{token}/boxes", "POST", body) == 200
        time.sleep(0.1)
    finally:
        process.terminate()  # as Ctrl+C; what a shell starts in the background ignores that
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"rra train --dataset=folder:{photos} --boxes={out}" in rest
    assert out.read_text() == (
        f"file,y0,x0,y1,x1\n{state['name']},0.100000,0.100000,0.500000,0.500000\n"
    )


def annotate_state(port, token):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", f"/{token}/photos")
    state = json.loads(connection.getresponse().read())
    connection.close()
    return state


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--dataset=PATH, or a run. Received neither"),
        (["--dataset=folder:nowhere"], "nowhere"),
        (["--dataset=PHOTOS", "--out=/nowhere/boxes.csv"], "`--out`"),
        (["--dataset=PHOTOS", "--out=OTHER"], "one that this command wrote"),
    ],
)
def test_bad_input_is_one_line(photos, tmp_path, arguments, said):
    other = tmp_path / "other.csv"
    other.write_text("name,age\nann,7\n")
    arguments = [
        a.replace("PHOTOS", f"folder:{photos}").replace("OTHER", str(other)) for a in arguments
    ]
    status, printed, errors = command(boxes.main, *arguments)
    assert (status, printed) == (2, "")
    assert said in errors
    assert len(errors.splitlines()) == 1
    assert other.read_text() == "name,age\nann,7\n"
