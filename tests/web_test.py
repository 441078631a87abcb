"""The page that runs an exported model in the browser, in a real one."""

import base64
import http.server
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.parse
import urllib.request

import numpy as np
import odd_photos
import pytest
from conftest import tensorflow_only
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from export import classify, demo, web
from export.classify import Classifier
from export.convert import tflite
from export.write import metadata

pytestmark = tensorflow_only("export")
ROOT = pathlib.Path(__file__).parents[1]
LABELS = ["blue_one", "green", "red"]
SOFTWARE_GPU = (
    "--enable-unsafe-webgpu",
    "--enable-features=Vulkan,WebGPU",
    "--use-webgpu-adapter=swiftshader",
)
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
DONE = "main[aria-busy=false]"
SWITCH = "Run on the {} instead"

expect.set_options(timeout=120_000)  # milliseconds: the GPU is a slow one


def write_model(content, path, model, **more):
    path.write_bytes(tflite.attach(content, LABELS, metadata(model) | more))
    return path


@pytest.fixture(scope="module")
def model(tflite_contents, distinct, tmp_path_factory):
    """A model file of a classifier with three fixations, to which every photo is known."""
    path = tmp_path_factory.mktemp("model") / "model.tflite"
    return write_model(tflite_contents["fp32"], path, distinct, known_from=None)


@pytest.fixture(scope="module", autouse=True)
def npm():
    if shutil.which("npm") is None:
        pytest.skip("no npm found, which fetches LiteRT.js: apt-get install npm")


@pytest.fixture(scope="module")
def serve():
    """Serve a site until the module's end; returns its address."""
    servers = []

    def start(site):
        servers.append(web.server(site))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://localhost:{servers[-1].server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def site(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("web") / "site"
    web.build(model, folder)
    return folder


@pytest.fixture(scope="module")
def address(site, serve):
    return serve(site)


@pytest.fixture(scope="module")
def browser():
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium found: apt-get install chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=[*SOFTWARE_GPU, *CAMERA])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def asked():
    """What the page asked for, address by address."""
    return []


@pytest.fixture(scope="module")
def page(browser, address, asked):
    """The page in a browser with a GPU."""
    opened = browser.new_page(reduced_motion="reduce")
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(address)
    expect(opened.locator(DONE)).to_be_visible()
    return opened


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    """Three photos: upright, turned by EXIF, and larger than what is decoded at once."""
    folder = tmp_path_factory.mktemp("shots")
    rng = np.random.default_rng(0)
    sizes = {"upright.png": (120, 90), "turned.jpg": (260, 200), "large.jpg": (900, 1300)}
    for color, (name, (width, height)) in enumerate(sizes.items()):
        coarse = rng.integers(0, 100, (9, 12, 3)).astype("uint8")
        image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        patch = np.zeros(3, "uint8")
        patch[color] = 255
        image.paste(tuple(map(int, patch)), (width // 8, height // 2, width // 2, height - 5))
        exif = Image.Exif()
        exif[0x0112] = 6 if name == "turned.jpg" else 1
        image.save(folder / name, exif=exif, **({"quality": 92} if "jpg" in name else {}))
    return sorted(folder.iterdir())


def read(page):
    """What the page shows: probabilities by label, boxes that were read `(K, 4)`, their weights."""
    rows = [row.split("\n") for row in page.locator("#top li").all_inner_texts()]
    values = page.locator("#top data").evaluate_all("all => all.map((one) => Number(one.value))")
    edges = "all => all.map(({style}) => [style.top, style.left, style.bottom, style.right])"
    insets = page.locator("#boxes > .read").evaluate_all(edges)
    sides = [[float(side.removesuffix("%")) / 100 for side in inset] for inset in insets]
    shares = [text.removeprefix("weight ") for text in page.locator(".caption").all_inner_texts()]
    weights = [float(share.removesuffix(" %")) / 100 for share in shares] or [1.0] * len(sides)
    boxes = [[top, left, 1 - bottom, 1 - right] for top, left, bottom, right in sides]
    names = [row[0] for row in rows]
    return dict(zip(names, values, strict=True)), np.array(boxes), np.array(weights)


def show(page, file, mode="sure"):
    if mode:
        page.locator(f"[value={mode}]").check(force=True)
    page.locator("#file").set_input_files(file)
    expect(page.locator(f"{DONE} #steps li").first).to_be_visible()


def use(page, accelerator):
    """Switch the page to an accelerator, unless it is there."""
    button = page.get_by_role("button", name=SWITCH.format(accelerator))
    if button.count():
        button.click()
        other = {"CPU": "GPU", "GPU": "CPU"}[accelerator]
        expect(page.get_by_role("button", name=SWITCH.format(other))).to_be_visible()
        expect(page.locator(DONE)).to_be_visible()
    expect(page.locator("#status")).to_contain_text(f"on the {accelerator}")


@pytest.mark.parametrize("accelerator", ["GPU", "CPU"])
def test_the_page_says_what_python_says(page, model, shots, accelerator):
    use(page, accelerator)
    classifier = Classifier(model)
    top = []
    for shot in shots:
        for mode, fixations in (("sure", None), ("first", 1)):
            result = classifier.classify(shot, fixations)
            show(page, shot, mode)
            probabilities, boxes, weights = read(page)
            expected = [label.replace("_", " ") for label in result.labels]
            assert list(probabilities) == expected
            values = list(probabilities.values())
            np.testing.assert_allclose(values, result.probabilities, atol=1e-2)
            np.testing.assert_allclose(weights, result.weights, atol=2e-2)
            # Between two lines of the grid, rounding decides: then an edge is a line further.
            np.testing.assert_allclose(boxes, result.boxes, atol=1 / 32 + 1e-3)
            top.append(probabilities["red"])
            tiles = page.locator("#steps figcaption").all_inner_texts()
            steps = [" · ".join(tile.split(" · ")[:2]) for tile in tiles[1:]]
            assert steps.count("1 · Refine") == result.refinements[0]
            reads = [f"{k + 1} · Read" for k in range(len(result.boxes))]
            assert [step for step in steps if "Read" in step] == reads
            assert all(re.search(r" · \d+(\.\d)? ms$", tile) for tile in tiles)
            said = page.locator("#time").inner_text()
            assert re.fullmatch(rf"{len(result.boxes)} places? read, \d+(\.\d)? ms", said)
    assert np.ptp(top) > 0.1  # the photos do not look alike to the model


def test_the_page_says_each_label_above_its_threshold(
    browser, serve, tflite_contents, distinct, shots, tmp_path
):
    few, none, told = [0.3, 0.5, 0.6], [1.0, 1.0, 1.0], 0
    for name, thresholds in (("few", few), ("none", none)):
        about = {"known_from": None, "sure_from": None, "thresholds": thresholds}
        path = write_model(tflite_contents["fp32"], tmp_path / f"{name}.tflite", distinct, **about)
        web.build(path, tmp_path / name)
        opened = browser.new_page(reduced_motion="reduce")
        opened.goto(serve(tmp_path / name))
        expect(opened.locator(DONE)).to_be_visible()
        use(opened, "CPU")
        classifier = Classifier(path)
        for shot in shots:
            result = classifier.classify(shot)
            show(opened, shot)
            if not result.said:
                assert name == "none" or max(result.probabilities) < 0.7
                assert opened.locator("#none").inner_text() == "None of these"
                assert "each class is below its threshold" in opened.locator("#score").inner_text()
                assert opened.locator("#top").is_hidden()
                continue
            told += 1
            probabilities, boxes, _ = read(opened)
            said = {label.replace("_", " "): share for label, share in result.said}
            assert probabilities == pytest.approx(said, abs=1e-2)
            assert list(probabilities) == list(said)
            assert len(boxes) == len(result.boxes)
            assert opened.locator("#summary").text_content() == ", ".join(said)
        opened.close()
    assert told  # some photo has a label


@pytest.mark.parametrize("size", [(301, 200), (150, 600), (64, 64), (40, 50), (1, 300)])
def test_resizes_shrinks_and_cuts_as_python_does(page, size):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3)).astype("uint8"))
    file = io.BytesIO()
    image.save(file, "PNG")
    box = [0.1, 0.25, 0.6, 1.0]
    resized, *others = page.evaluate(
        """async ([url, box]) => {
            const {resize, shrink, zoomCrop} = await import("./resize.js");
            const photo = await createImageBitmap(await (await fetch(url)).blob());
            const pixels = resize(photo, 64);
            const results = [pixels, shrink(pixels, 64, 28)];
            results.push(zoomCrop(pixels, 64, box, [9, 14]), zoomCrop(pixels, 64, box, [40, 32]));
            return results.map((each) => Array.from(each));
        }""",
        ["data:image/png;base64," + base64.b64encode(file.getvalue()).decode(), box],
    )
    pixels = np.reshape(resized, (64, 64, 3)).astype("float32")
    difference = np.abs(pixels - classify.resize(image, 64))
    assert difference.max() <= 1.0
    assert difference.mean() < 0.2  # which axis Pillow rounds first depends on the shape
    expected = [classify.shrink(pixels, (28, 28))]
    expected += [classify.zoom_crop(pixels, box, shape) for shape in ((9, 14), (40, 32))]
    for values, by_python in zip(others, expected, strict=True):
        np.testing.assert_allclose(np.reshape(values, by_python.shape), by_python, atol=0.01)


def test_the_browser_reads_what_training_reads(page, tmp_path):
    """Or refuses it: which formats it knows is the browser's."""
    wrong = {}
    for name, content in (odd_photos.photos() | odd_photos.others()).items():
        url = "data:application/octet-stream;base64," + base64.b64encode(content).decode()
        pixels = page.evaluate(
            """async (url) => {
                const {open} = await import("./open.js");
                const {resize} = await import("./resize.js");
                const photo = await open(await (await fetch(url)).blob()).catch(() => null);
                return photo && Array.from(resize(photo, 32));
            }""",
            url,
        )
        if name in odd_photos.REFUSED or pixels is None:
            if (pixels is None) != (name in odd_photos.REFUSED):
                wrong[name] = "read" if pixels else "refused"
            continue
        (tmp_path / name).write_bytes(content)
        expected = classify.resize(classify.read_image(tmp_path / name), 32).astype("float32")
        difference = np.abs(np.reshape(pixels, (32, 32, 3)) - expected).mean()
        if difference > 3:
            wrong[name] = difference
    assert wrong == {}


def test_a_dropped_and_a_pasted_photo_are_looked_at(page, shots):
    url = "data:image/png;base64," + base64.b64encode(shots[2].read_bytes()).decode()
    assert shots[2].suffix == ".png"
    for event, holder in (("drop", "dataTransfer"), ("paste", "clipboardData")):
        page.evaluate("document.querySelector('#steps').replaceChildren()")
        page.evaluate(
            """async ([url, event, holder]) => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([await (await fetch(url)).blob()], "photo.png"));
                const happened = new Event(event, {bubbles: true, cancelable: true});
                Object.defineProperty(happened, holder, {value: transfer});
                document.body.dispatchEvent(happened);
            }""",
            [url, event, holder],
        )
        expect(page.locator(f"{DONE} #steps li").first).to_be_visible()


def test_the_keyboard_is_enough(page, shots):
    show(page, shots[0])
    page.locator("[value=sure]").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("[value=first]")).to_be_checked()
    expect(page.locator(f"{DONE} #boxes .read")).to_have_count(1)
    page.keyboard.press("ArrowRight")
    expect(page.locator("[value=sure]")).to_be_checked()
    expect(page.locator(f"{DONE} #boxes .read.most")).to_have_count(1)


def test_other_files_are_refused_in_words(page, shots, tmp_path):
    text = tmp_path / "list.jpg"
    text.write_text("a shopping list")
    page.locator("#file").set_input_files(text)
    expect(page.get_by_role("alert")).to_contain_text("not an image")
    show(page, shots[0])
    expect(page.get_by_role("alert")).to_be_empty()


COUNT = """async () => {
    const {CompiledModel} = await import("@litertjs/core");
    const run = CompiledModel.prototype.run;
    window.runs = {now: 0, most: 0, tensors: []};
    CompiledModel.prototype.run = async function (signature, inputs) {
        runs.most = Math.max(runs.most, ++runs.now);
        try {
            const outputs = await run.call(this, signature, inputs);
            runs.tensors.push(...Object.values(inputs), ...Object.values(outputs));
            return outputs;
        } finally {
            runs.now--;
        }
    };
}"""


def test_the_camera_has_one_frame_in_flight_and_frees_what_it_made(page):
    use(page, "CPU")
    page.evaluate(COUNT)
    camera = page.locator("#camera")
    camera.click()
    expect(camera).to_have_attribute("aria-pressed", "true")
    for _ in range(200):
        page.wait_for_timeout(100)
        if page.evaluate("runs.tensors.length") >= 5 * 12:
            break
    camera.click()
    expect(camera).to_have_attribute("aria-pressed", "false")
    page.wait_for_timeout(300)
    assert page.evaluate("runs.tensors.length") >= 5 * 12
    assert page.evaluate("runs.most") == 1
    assert page.evaluate("runs.tensors.every((tensor) => tensor.deleted)")
    assert len(read(page)[1]) >= 1


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_and_follows_dark_mode(page, shots, tmp_path, width):
    before = page.viewport_size
    page.set_viewport_size({"width": width, "height": 844})
    show(page, shots[1])
    backgrounds = {}
    for scheme in ("dark", "light"):  # as it was in the end
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        file = tmp_path / f"{scheme}.png"
        page.screenshot(path=file, full_page=True)
        with Image.open(file) as taken:
            assert taken.width == width  # nothing sticks out at the right
            backgrounds[scheme] = sum(taken.convert("RGB").getpixel((2, 2))) / 3
            assert len(taken.convert("RGB").getcolors(1 << 24)) > 100
    page.set_viewport_size(before)
    assert backgrounds["light"] > 200
    assert backgrounds["dark"] < 60


def test_a_browser_without_webgpu_is_told_and_served(browser, address, shots):
    opened = browser.new_page(reduced_motion="reduce")
    opened.add_init_script("Object.defineProperty(Navigator.prototype, 'gpu', {value: undefined})")
    opened.goto(address)
    expect(opened.locator("#notice")).to_contain_text("offers no WebGPU: it runs on the CPU")
    show(opened, shots[0])
    assert len(read(opened)[0]) == 3
    opened.close()


def test_a_model_that_is_missing_is_told(browser, address):
    opened = browser.new_page()
    opened.route("**/*.tflite", lambda route: route.fulfill(status=404))
    opened.goto(address)
    expect(opened.get_by_role("alert")).to_contain_text("The model could not be loaded: model-")
    opened.close()


def test_the_plain_backbone_reads_the_whole_photo(browser, plain, serve, shots, tmp_path):
    path = write_model(plain[1], tmp_path / "plain.tflite", plain[0])
    web.build(path, tmp_path / "site", samples=shots[0].parent)
    opened = browser.new_page(reduced_motion="reduce")
    opened.goto(serve(tmp_path / "site"))
    expect(opened.get_by_role("button", name="Sample: ")).to_have_count(3)
    expect(opened.locator(f"{DONE} #top li")).to_have_count(3)  # the first sample, unasked
    expect(opened.locator("#modes")).to_be_hidden()
    expected = Classifier(path).classify(tmp_path / "site" / "samples" / "0.jpg")
    values = list(read(opened)[0].values())
    np.testing.assert_allclose(values, expected.probabilities, atol=1e-2)
    opened.close()


def test_a_photo_of_none_of_the_classes_is_given_no_name(browser, plain, serve, shots, tmp_path):
    path = write_model(plain[1], tmp_path / "plain.tflite", plain[0])
    scores = [Classifier(path).classify(shot).score for shot in shots]
    known_from = float(np.mean([min(scores), max(scores)]))
    write_model(plain[1], path, plain[0], known_from=known_from)
    web.build(path, tmp_path / "site")
    opened = browser.new_page(reduced_motion="reduce")
    opened.goto(serve(tmp_path / "site"))
    expect(opened.locator(DONE)).to_be_visible()
    for index, known in ((np.argmin(scores), False), (np.argmax(scores), True)):
        show(opened, shots[index])
        expect(opened.locator("#none")).to_be_visible(visible=not known)
        expect(opened.locator("#top")).to_be_visible(visible=known)
        said = opened.locator("#score").inner_text()
        if known:
            assert said == ""
        else:
            expect(opened.locator("#none")).to_have_text("None of these")
            expect(opened.locator("#summary")).to_have_text("None of these")
            score, least = map(float, re.findall(r"-?[\d.]+", said))
            assert (score, least) == pytest.approx((scores[index], known_from), abs=0.011)
    opened.close()


def test_no_other_host_is_asked(page, asked):
    hosts = {urllib.parse.urlsplit(url).netloc for url in asked if not url.startswith("data:")}
    assert hosts == {urllib.parse.urlsplit(page.url).netloc}
    assert any(url.endswith(".wasm") for url in asked)


def test_samples_are_small_and_without_metadata(model, tmp_path, monkeypatch):
    monkeypatch.setattr(web, "_PACKAGES", {})
    folder = tmp_path / "samples"
    folder.mkdir()
    (folder / "a.txt").write_text("a shopping list")
    with pytest.raises(ValueError, match="without any"):
        web.build(model, tmp_path / "none", folder)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (3000, 1500)).save(folder / "great_auk.jpg", exif=exif)
    web.build(model, tmp_path / "site", folder)
    assert '"name": "great auk"' in (tmp_path / "site" / "model.json").read_text()
    with Image.open(tmp_path / "site" / "samples" / "0.jpg") as sample:
        assert sample.size == (640, 1280)
        assert not sample.getexif()


def test_what_is_missing_or_wrong_is_one_line(model, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"Expected a \.tflite file"):
        web.build(__file__, tmp_path / "none")
    package, _ = web._PACKAGES["wasm-utils"]
    monkeypatch.setattr(web, "_PACKAGES", {"wasm-utils": (package, "another")})
    with pytest.raises(ValueError, match="with SHA-512 another"):
        web.build(model, tmp_path / "wrong")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match="Expected npm"):
        web.build(model, tmp_path / "missing")


def test_the_command_serves_until_it_is_interrupted(model, tmp_path):
    out = tmp_path / "out"
    arguments = [f"--model={model}", f"--out={out}"]
    as_from_a_terminal = (  # what a shell starts in the background ignores SIGINT
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from export import web\n"
        "web._PACKAGES.clear()\n"
        "sys.exit(web.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", as_from_a_terminal, *arguments, "--serve", "--port=0"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout.readline().startswith("Written: ")
        address = re.search(r"http://\S+(?=;)", process.stdout.readline())[0]
        with urllib.request.urlopen(address) as answer:
            assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        with urllib.request.urlopen(f"{address}/app.js") as answer:
            assert answer.headers["Content-Type"] == "text/javascript"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_the_demo_trains_and_exports_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = []

    def run(command):
        commands.append(command[3:5])
        return subprocess.CompletedProcess(command, len(commands) == 2)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(OSError, match=r"Expected `rra export .*` to succeed"):
        demo.default_export()
    assert [command[0] for command in commands] == ["train", "export"]
    file = demo.default_export()
    assert file.name == "model_fp16.tflite"
    (file.parents[1] / "export").mkdir(parents=True)
    for made in (file, file.parents[1] / "metrics.json"):
        made.write_text("")
    assert demo.default_export() == file
    assert len(commands) == 4


def test_the_demo_has_photos_of_birds(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(web, "_PACKAGES", {})
    monkeypatch.setattr(http.server.ThreadingHTTPServer, "serve_forever", lambda self: None)
    file = shutil.copy(model, tmp_path / "model.tflite")
    assert web.main(["--demo", f"--model={file}", "--port=0"]) == 0
    about = json.loads((tmp_path / "site" / "model.json").read_text())
    assert len(about["samples"]) == 8
    assert "quarry siskin" in [sample["name"] for sample in about["samples"]]
    assert "serving it on http://localhost:" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.tflite", "site"]


def test_the_command_needs_a_model_and_a_folder(model, capsys):
    for arguments, name in (([], "model"), ([f"--model={model}"], "out")):
        with pytest.raises(SystemExit) as stopped:
            web.main(arguments)
        assert stopped.value.code == 2
        assert f"`--{name}`. Expected a path" in capsys.readouterr().err.splitlines()[-1]


def test_the_command_replaces_a_site_only_if_told_to(model, site, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(site, out)
    arguments = [f"--model={model}", f"--out={out}"]
    with pytest.raises(SystemExit) as stopped:
        web.main(arguments)
    assert stopped.value.code == 2
    assert "--overwrite" in capsys.readouterr().err.splitlines()[-1]
    (out / "index.html").write_text("old")
    assert web.main([*arguments, "--overwrite"]) == 0
    assert capsys.readouterr().out == f"Written: {out}\n"
    files = [sorted(p.relative_to(top) for p in top.rglob("*")) for top in (site, out)]
    assert files[0] == files[1]
    assert (out / "index.html").read_bytes() == (site / "index.html").read_bytes()
    assert list(tmp_path.iterdir()) == [out]
