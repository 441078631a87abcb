"""Serves one page, to whoever has its address, that shows photos and takes their boxes."""

import dataclasses
import http.server
import io
import json
import pathlib
import secrets
import threading

import numpy as np

from rra_keras.data import decode

_PAGE = pathlib.Path(__file__).with_name("page.html")
_SIDE = 2048  # pixels of the longer side of what the page shows, at most
_LARGEST = 1 << 16  # bytes of what the page sends
_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'"
)


@dataclasses.dataclass
class Annotations:
    """Photos, what was suggested for them, and what somebody drew.

    Attributes:
        folder: what names are relative to.
        names: of the photos, in the order in which they are shown.
        suggested: for each photo a box `y0 x0 y1 x1` in [0, 1], or `None`.
        drawn: name → list of boxes; empty for "no object here".
        save: called with `drawn` after each change; it writes the file whole.

    Example:
        from rra_keras import annotate

        drawn = annotate.Annotations(photos, ["red/g0_0.png"], [None], {}, print)
        drawn.put("red/g0_0.png", [[0.1, 0.2, 0.5, 0.9]])
    """

    folder: str
    names: list
    suggested: list
    drawn: dict
    save: object

    def __post_init__(self):
        self._lock = threading.Lock()

    def put(self, name, boxes):
        """Keep the boxes of a photo; `None` takes back what was said of it.

        Raises:
            ValueError: if the photo is none of these, or a box is none.
        """
        if name not in self.names:
            raise ValueError(f"Expected one of the photos. Received: {name!r}")
        if boxes is not None:
            array = np.array(boxes, float).reshape(-1, 4) if boxes else np.zeros((0, 4))
            good = (array >= 0).all() and (array <= 1).all()
            if not (good and (array[:, 2:] > array[:, :2]).all()):
                raise ValueError(f"Expected y0 x0 y1 x1 in [0, 1]. Received: {boxes!r}")
        with self._lock:
            if boxes is None:
                self.drawn.pop(name, None)
            else:
                self.drawn[name] = array.tolist()
            self.save(self.drawn)

    def state(self):
        """Return what the page begins with, as it is sent."""
        return [
            {"name": name, "suggested": box, "drawn": self.drawn.get(name)}
            for name, box in zip(self.names, self.suggested, strict=True)
        ]

    def photo(self, number):
        """Return a photo as a JPEG, upright, at most `_SIDE` pixels wide and high."""
        from PIL import Image

        path = f"{self.folder}/{self.names[number]}"
        image = Image.fromarray(decode.read_image(path).numpy())
        image.thumbnail((_SIDE, _SIDE))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=90)
        return file.getvalue()


def make_server(annotations, port=0):
    """Return a server for this machine only, and the address of its page.

    The address holds a token: without it nothing is served or taken. A request of another host
    name or origin is refused, so no page of the web can send one.

    Args:
        annotations: `Annotations`.
        port: to listen on; 0 for any.

    Returns:
        An `http.server.ThreadingHTTPServer`, whose `serve_forever` is to be called, and the
        address.

    Example:
        from rra_keras import annotate

        drawn = annotate.Annotations(photos, ["red/g0_0.png"], [None], {}, print)
        server, address = annotate.make_server(drawn)
        server.server_close()
    """
    token = secrets.token_urlsafe(24)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    server.daemon_threads = True
    server.annotations, server.token = annotations, token
    server.hosts = {f"{name}:{server.server_port}" for name in ("127.0.0.1", "localhost")}
    return server, f"http://127.0.0.1:{server.server_port}/{token}/"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        what = self._asked()
        if what == "":
            self._send(_PAGE.read_bytes(), "text/html; charset=utf-8")
        elif what == "photos":
            state = json.dumps(self.server.annotations.state(), ensure_ascii=False)
            self._send(state.encode("utf-8", "surrogateescape"), "application/json")
        elif what and what.startswith("photo/") and what[6:].isdecimal():
            number = int(what[6:])
            if number < len(self.server.annotations.names):
                self._send(self.server.annotations.photo(number), "image/jpeg")
            else:
                self.send_error(404)
        elif what is not None:
            self.send_error(404)

    def do_POST(self):
        if self._asked() != "boxes":
            return
        size = int(self.headers.get("Content-Length") or 0)
        if not 0 < size <= _LARGEST:
            self.send_error(413)
            return
        try:
            sent = json.loads(self.rfile.read(size))
            self.server.annotations.put(sent["name"], sent["boxes"])
        except (ValueError, KeyError, TypeError):
            self.send_error(400)
        except OSError as error:
            self.send_error(507, explain=str(error))
        else:
            self._send(b"{}", "application/json")

    def _asked(self):
        """What is asked for, behind the token; `None`, answered, for what may not ask."""
        origin = self.headers.get("Origin")
        known = self.headers.get("Host") in self.server.hosts
        known &= origin is None or origin.removeprefix("http://") in self.server.hosts
        token, slash, what = self.path.lstrip("/").partition("/")
        if known and slash and secrets.compare_digest(token.encode(), self.server.token.encode()):
            return what
        self.send_error(403)
        return None

    def _send(self, content, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Keep the terminal for the command."""
