"""Write a page that runs an exported model: `rra web --model=FILE --out=SITE`.

`rra web --demo` trains and exports the default model if need be, and serves its page.

The page, the model and LiteRT.js as plain files, for any file host. The browser of whoever opens it
asks no other host for anything, and keeps the photos.
"""

import base64
import contextlib
import functools
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import zlib

from absl import flags

from rra_keras import cli

from . import classify, demo, output_folder

FLAGS = flags.FlagValues()
flags.DEFINE_string("model", None, "A .tflite file that export wrote.", flag_values=FLAGS)
flags.DEFINE_string("out", None, "New folder for the site.", flag_values=FLAGS)
flags.DEFINE_bool(
    "demo",
    False,
    "Serve the page of the model that `rra train` makes; trains and exports what is missing.",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "samples", None, "Folder of photos to try it on; none unless given.", flag_values=FLAGS
)
flags.DEFINE_bool(
    "overwrite", False, "Replace the site in --out, if there is one.", flag_values=FLAGS
)
flags.DEFINE_bool(
    "serve", False, "Serve the site on this machine until interrupted.", flag_values=FLAGS
)
flags.DEFINE_integer("port", 8000, "Port to serve it on; 0: any.", lower_bound=0, flag_values=FLAGS)

_PAGE = pathlib.Path(__file__).parent / "site"
_PACKAGES = {  # by their folder in the site: what npm calls them, and the SHA-512 of their archive
    "core": (
        "@litertjs/core@2.5.3",
        "PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
    ),
    "wasm-utils": (
        "@litertjs/wasm-utils@2.5.3",
        "4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
    ),
}
_NEEDED = (".js", ".wasm", "package.json")  # of them; the last names their license
_SAMPLES = 8
_SAMPLE_SIDE = 1280  # pixels


def build(model, site, samples=None):
    """Write a site.

    Args:
        model: a `.tflite` file that `rra export` wrote.
        site: a new folder, or an empty one.
        samples: a folder of photos to try it on. The first eight by name are taken, scaled down
            and without their metadata; their names, without `_`, are shown.

    Raises:
        FileNotFoundError: if there is no such model or folder, or no npm to fetch LiteRT.js.
        OSError: if npm fails.
        ValueError: if it is no such model, no photo is in the folder, or the package has
            another hash than expected.
    """
    classifier = classify.Classifier(model)  # it refuses other files and damaged ones
    site = pathlib.Path(site)
    shutil.copytree(_PAGE, site, dirs_exist_ok=True)
    content = pathlib.Path(model).read_bytes()
    file = f"model-{zlib.crc32(content):08x}.tflite"  # no cache takes it for another
    (site / file).write_bytes(content)
    about = {
        "file": file,
        "image_size": classifier.image_size,
        "refinements": classifier.refinements,
        "attention_temperature": classifier.attention_temperature,
        "sure_from": classifier.sure_from,
        "temperature": classifier.temperature,
        "sizes": classifier.sizes,
        "labels": classifier.labels,
        "known_from": classifier.known_from,
        "thresholds": classifier.thresholds,
        "samples": _write_samples(samples, site / "samples") if samples else [],
    }
    (site / "model.json").write_text(json.dumps(about, ensure_ascii=False), "utf-8")
    for folder, (package, digest) in _PACKAGES.items():
        _fetch_package(package, digest, site / "litert" / folder)


def _write_samples(source, folder):
    source = pathlib.Path(source)
    if not source.is_dir():
        raise FileNotFoundError(f"Expected a folder of photos. Received: {source}, no folder")
    folder.mkdir()
    samples = []
    for path in sorted(source.iterdir()):
        try:
            image = classify.read_image(path)
        except ValueError:  # a folder, or no image
            continue
        image.thumbnail((_SAMPLE_SIDE, _SAMPLE_SIDE))
        image.save(folder / f"{len(samples)}.jpg", quality=90)
        name = path.stem.replace("_", " ")
        samples.append({"file": f"samples/{len(samples)}.jpg", "name": name})
        if len(samples) == _SAMPLES:
            break
    if not samples:
        raise ValueError(f"Expected a folder of photos. Received: {source}, without any")
    return samples


def _fetch_package(package, digest, folder):
    """Fetch an npm package and copy the files that the page needs into a new folder."""
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError(
            f"Expected npm (https://nodejs.org) to fetch {package}. Received: no npm on the PATH"
        )
    with tempfile.TemporaryDirectory() as fetched:
        command = [npm, "pack", package, "--prefer-offline", "--ignore-scripts", "--loglevel=error"]
        done = subprocess.run(command, cwd=fetched, capture_output=True, text=True)
        archives = list(pathlib.Path(fetched).glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            reason = next(filter(None, done.stderr.splitlines()), "nothing")
            raise OSError(f"Expected npm to fetch {package}. Received: {reason}")
        found = base64.b64encode(hashlib.sha512(archives[0].read_bytes()).digest()).decode()
        if found != digest:
            raise ValueError(f"Expected {package} with SHA-512 {digest}. Received: {found}")
        with tarfile.open(archives[0]) as archive:
            archive.extractall(fetched, filter="data")
        package = pathlib.Path(fetched, "package")
        for path in package.rglob("*"):
            if path.name.endswith(_NEEDED):
                target = folder / path.relative_to(package)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)  # without its mode, which may bar a web server


class _Handler(http.server.SimpleHTTPRequestHandler):
    # Not the machine's own table, which may call a module plain text.
    extensions_map = {  # noqa: RUF012
        "": "application/octet-stream",
        ".css": "text/css",
        ".html": "text/html",
        ".jpg": "image/jpeg",
        ".js": "text/javascript",
        ".json": "application/json",
        ".wasm": "application/wasm",
    }

    def end_headers(self):
        # Only isolated pages may share memory among threads.
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *_):
        pass


def server(site, port=0):
    """Return an HTTP server of a site for this machine only, at `port` (0: any that is free).

    Its `server_port` says which; `serve_forever` starts it.

    Raises:
        ValueError: if the port is in use.
    """
    handler = functools.partial(_Handler, directory=os.fspath(site))
    try:
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise ValueError(
            f"Invalid value for `--port`. Expected a free port. Received: {port} ({error.strerror})"
        ) from None


def main(argv):
    """Write a site, and serve it if asked to; return the exit status."""
    cli.parse(FLAGS, argv, __doc__)
    args = FLAGS
    with cli.bad_input_exits():
        model, samples, served = args.model, args.samples, None
        if args.demo:
            model = model or demo.default_export()
        for name, value in (("model", model), ("out", args.out or args.demo)):
            if not value:
                raise ValueError(
                    f"Invalid value for `--{name}`. Expected a path, or --demo. Received none"
                )
        out = pathlib.Path(args.out or pathlib.Path(model).with_name("site"))
        marks = ["model.json", "litert"]
        output_folder.check_available(out, "a site", marks, args.overwrite or args.demo)
        if args.serve or args.demo:
            served = server(out, args.port)
        with output_folder.scratch_beside(out) as scratch:
            if args.demo and not samples:
                samples = scratch / "samples"
                demo.draw_samples(samples)
            build(model, scratch / "new", samples)
            output_folder.replace_folder(scratch / "new", out)
    print(f"Written: {out}")
    if served:
        print(f"serving it on http://localhost:{served.server_port}; Ctrl+C stops", flush=True)
        with served, contextlib.suppress(KeyboardInterrupt):
            served.serve_forever()
    return 0


if __name__ == "__main__":
    classify.hush_native_log()
    cli.run(main)
