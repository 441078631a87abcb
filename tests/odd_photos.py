"""Odd photos, as cameras, phones and programs write them; and files that are none."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

TURNED = 6  # EXIF orientation of a photo that lies on its side
REFUSED = ("empty.jpg", "list.jpg", "cut.jpg", "cut.png", "cut.webp", "phone.heic", "camera.cr2")
REFUSED += ("scan.tif", "bomb.png", "zeros.png", "film.mp4", "page.pdf")


def picture(size=(60, 40)):
    """Smooth colors, no two sides alike."""
    coarse = np.random.default_rng(0).integers(0, 256, (5, 6, 3), "uint8")
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind, content):
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def tiff(*entries, extra=b""):
    """A little-endian EXIF directory of (tag, type, count, four bytes)."""
    packed = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4) + extra


def with_exif(jpeg, content):
    """Put EXIF bytes into a JPEG, whatever they are."""
    content = b"Exif\0\0" + content
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + jpeg[2:]


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def photos():
    """Return name → bytes of photos that are read."""
    photo = picture()
    jpeg = encoded(photo, "JPEG", quality=95)
    lies = (0x112, 3, 1, struct.pack("<HH", TURNED, 0))
    alpha = photo.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(photo.size))
    gray = np.asarray(photo.convert("L"))
    png = encoded(photo, "PNG")
    end = png.index(b"IEND") - 4
    palette = photo.quantize(16)
    found = {
        "gray.jpg": encoded(photo.convert("L"), "JPEG", quality=95),
        "progressive.jpg": encoded(photo, "JPEG", quality=95, progressive=True),
        "cmyk.jpg": encoded(photo.convert("CMYK"), "JPEG", quality=95),
        "phone.mpo": encoded(photo, "MPO", quality=95, save_all=True, append_images=[photo]),
        "no_ending": jpeg,
        "in fact a png.jpg": png,
        "Größe 写真 صورة.jpg": jpeg,
        "alpha.png": encoded(alpha, "PNG"),
        "palette.png": encoded(palette, "PNG"),
        "palette_transparent.png": encoded(palette, "PNG", transparency=3),
        "gray_alpha.png": encoded(alpha.convert("LA"), "PNG"),
        "gray16.png": encoded(Image.fromarray(gray.astype("uint16") * 257), "PNG"),
        "bits.png": encoded(photo.convert("1"), "PNG"),
        "animated.gif": encoded(
            palette, "GIF", save_all=True, append_images=[palette.rotate(180)], duration=100
        ),
        "palette.bmp": encoded(palette, "BMP"),
        "plain.bmp": encoded(photo, "BMP"),
        "alpha.webp": encoded(alpha, "WEBP", lossless=True),
        "turned.webp": encoded(photo, "WEBP", lossless=True, exif=turned(TURNED)),
        "turned.png": encoded(photo, "PNG", exif=turned(TURNED)),
        "turned_late.png": png[:end] + chunk(b"eXIf", turned(TURNED).tobytes()[6:]) + png[end:],
        "plain.avif": encoded(photo, "AVIF", quality=95),
        "turned.avif": encoded(photo, "AVIF", quality=95, exif=turned(TURNED)),
    }
    for orientation in range(1, 9):
        found[f"orientation_{orientation}.jpg"] = encoded(
            photo, "JPEG", quality=95, exif=turned(orientation)
        )
    for orientation in (2, 3, 5, 7, 8):
        found[f"turned_by_{orientation}.webp"] = encoded(
            photo, "WEBP", lossless=True, exif=turned(orientation)
        )
    behind = struct.pack("<I", 8 + 2 + 12 * 2 + 4)
    odd = {
        "signed_resolution": tiff(lies, (0x11A, 10, 1, behind), extra=struct.pack("<ii", -72, 1)),
        "two_resolutions": tiff(
            lies, (0x11A, 5, 2, behind), extra=struct.pack("<IIII", 72, 1, 72, 1)
        ),
        "text_for_a_number": tiff(lies, (0x128, 2, 4, b"inch")),
        "far_offset": tiff(lies, (0x8825, 4, 1, struct.pack("<I", 9000))),
        "itself": tiff(lies, (0x8769, 4, 1, struct.pack("<I", 8))),
        "unknown_type": tiff(lies, (0x9999, 99, 1, bytes(4))),
        "orientation_of_nine": tiff((0x112, 3, 1, struct.pack("<HH", 9, 0))),
        "empty": b"",
        "garbage": b"\x12\x34" * 20,
    }
    return found | {f"exif_{name}.jpg": with_exif(jpeg, exif) for name, exif in odd.items()}


def others():
    """Return name → bytes of files that are refused."""
    photo = picture((200, 150))
    jpeg, png = encoded(photo, "JPEG"), encoded(photo, "PNG")
    header = chunk(b"IHDR", struct.pack(">2I5B", 50_000, 50_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000)))
    webp = encoded(photo, "WEBP", lossless=True)
    contents = {
        "empty.jpg": b"",
        "list.jpg": b"a shopping list",
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "cut.png": png[: len(png) // 2],
        "cut.webp": webp[: len(webp) // 2],
        "phone.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500),
        "camera.cr2": b"II*\0\x10\0\0\0CR\2\0" + bytes(500),
        "scan.tif": encoded(photo, "TIFF"),
        "bomb.png": bomb + chunk(b"IEND", b""),
        "zeros.png": png[: len(png) // 2] + bytes(len(png) // 2),
        "film.mp4": b"\0\0\0\x20ftypisom" + bytes(500),
        "page.pdf": b"%PDF-1.7" + bytes(500),
    }
    return {name: contents[name] for name in REFUSED}
