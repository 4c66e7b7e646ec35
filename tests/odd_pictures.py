"""Picture files of every kind and depth, written byte by byte where Pillow cannot write them.

``ODD`` has for each name the file's bytes and the first row that a reader must find in it, as RGB, or
the words in which the file is refused. Each picture has two equal rows.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image

WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (255, 0, 0)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(color: int, depth: int, row: list[tuple], *extra: bytes) -> bytes:
    """A PNG of two equal rows of samples, and chunks before its pixels."""
    bits = "".join(format(value, f"0{depth}b") for pixel in row for value in pixel)
    bits += "0" * (-len(bits) % 8)
    line = b"\0" + bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    header = struct.pack(">IIBBBBB", len(row), 2, depth, color, 0, 0, 0)
    body = chunk(b"IHDR", header) + b"".join(extra) + chunk(b"IDAT", zlib.compress(line * 2)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def trns(*values: int) -> bytes:
    return chunk(b"tRNS", struct.pack(f">{len(values)}H", *values))


def tiff(bits: int, line: bytes, order: str = "<", white_is_zero: bool = False, kind: int = 1, turn: int = 1) -> bytes:
    """A grey TIFF, 4 × 2; ``kind`` 1 is unsigned, 2 signed, 3 floating point."""
    tags = {256: 4, 257: 2, 258: bits, 259: 1, 262: int(not white_is_zero), 273: 8 + 2 + 11 * 12 + 4, 274: turn,
            277: 1, 278: 2, 279: 2 * len(line), 339: kind}  # fmt: skip
    entries = b"".join(struct.pack(order + "HHIHH", tag, 3, 1, value, 0) for tag, value in sorted(tags.items()))
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "IH", 8, len(tags))
    return start + entries + bytes(4) + line * 2


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def row_of(mode: str, *pixels) -> Image.Image:
    image = Image.new(mode, (len(pixels), 2))
    for x, pixel in enumerate(pixels):
        for y in (0, 1):
            image.putpixel((x, y), pixel)
    return image


GREY = (0, 257 * 3, 257 * 100, 65535)  # of 16 bits
GREY_ROW = [(v // 257,) * 3 for v in GREY]
INVERTED = [(255 - v // 257,) * 3 for v in GREY]

ODD: dict[str, tuple[bytes, list[tuple] | str]] = {
    "plain.png": (png(2, 8, [RED, BLACK, WHITE]), [RED, BLACK, WHITE]),
    # what is transparent lies on white, whatever color is hidden there
    "rgba.png": (png(6, 8, [(0, 0, 0, 0), (0, 0, 0, 255), (0, 0, 0, 51)]), [WHITE, BLACK, (204,) * 3]),
    "rgba16.png": (png(6, 16, [(0, 0, 0, 0), (65535, 0, 0, 65535)]), [WHITE, RED]),
    "la.png": (png(4, 8, [(0, 0), (100, 255)]), [WHITE, (100,) * 3]),
    "la16.png": (png(4, 16, [(0, 0), (25700, 65535)]), [WHITE, (100,) * 3]),
    "rgb.png": (png(2, 8, [RED, BLACK], trns(*BLACK)), [RED, WHITE]),
    "rgb16.png": (png(2, 16, [(65535, 0, 0), (25700, 0, 0)]), [RED, (100, 0, 0)]),
    "rgb16-transparent.png": (png(2, 16, [(65535, 0, 0), (25700, 0, 0)], trns(25700, 0, 0)), [RED, WHITE]),
    "palette.png": (png(3, 8, [(0,), (1,)], chunk(b"PLTE", bytes(RED + BLACK))), [RED, BLACK]),
    "palette-one.png": (png(3, 8, [(0,), (1,)], chunk(b"PLTE", bytes(RED + BLACK)), chunk(b"tRNS", b"\xff\0")), [RED, WHITE]),
    "palette-some.png": (
        png(3, 8, [(0,), (1,), (2,)], chunk(b"PLTE", bytes(RED + BLACK + BLACK)), chunk(b"tRNS", b"\xff\x33\0")),
        [RED, (204,) * 3, WHITE],
    ),
    "hidden.gif": (saved(row_of("P", 0, 1), "GIF", transparency=1, optimize=False), [BLACK, WHITE]),
    "rgba.webp": (saved(row_of("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)), "WEBP", lossless=True, exact=True), [WHITE, BLACK]),
    "rgba.tiff": (saved(row_of("RGBA", (0, 0, 0, 0), (*RED, 255)), "TIFF"), [WHITE, RED]),
    # grey of every depth, with and without a transparent level
    **{
        f"grey{depth}.png": (png(0, depth, [(v,) for v in levels]), [(round(v * 255 / top),) * 3 for v in levels])
        for depth in (1, 2, 4, 8, 16)
        for top in [2**depth - 1]
        for levels in [(0, top // 3 if depth > 1 else 1, top)]
    },
    **{
        f"grey{depth}-transparent{level}.png": (
            png(0, depth, [(v,) for v in levels], trns(level)),
            [WHITE if v == level else (round(v * 255 / top),) * 3 for v in levels],
        )
        for depth in (1, 2, 4, 8, 16)
        for top in [2**depth - 1]
        for levels in [(0, top // 3 if depth > 1 else 1, top)]
        for level in levels
    },
    "dark16.png": (png(0, 16, [(0,), (200,)]), [BLACK, (1,) * 3]),  # 16 bits, though none is used above 8
    "dark16.pgm": (b"P5 2 2 65535\n" + struct.pack(">2H", 0, 200) * 2, [BLACK, (1,) * 3]),
    "ten.pgm": (b"P5 2 2 1023\n" + struct.pack(">2H", 0, 1023) * 2, [BLACK, WHITE]),
    "16.tiff": (tiff(16, struct.pack("<4H", *GREY)), GREY_ROW),
    "16-big-endian.tiff": (tiff(16, struct.pack(">4H", *GREY), ">"), GREY_ROW),
    "16-white-is-zero.tiff": (tiff(16, struct.pack("<4H", *GREY), white_is_zero=True), INVERTED),
    "12.tiff": (tiff(12, bytes.fromhex("000 555 aaa fff".replace(" ", ""))), [(v,) * 3 for v in (0, 85, 170, 255)]),
    "8-white-is-zero.tiff": (tiff(8, bytes((0, 3, 100, 255)), white_is_zero=True), INVERTED),
    "32.tiff": (tiff(32, struct.pack("<4I", *GREY)), GREY_ROW),
    "32-bytes.tiff": (tiff(32, struct.pack("<4I", 0, 3, 100, 255)), GREY_ROW),
    "32-big.tiff": (tiff(32, struct.pack("<4I", 0, 1, 2, 70000)), "its pixels go from 0 to 70000, where 0 to 65535 are expected"),
    "signed.tiff": (tiff(16, struct.pack("<4h", 0, -1, 2, 3), kind=2), "its pixels go from -1 to 3, where 0 to 65535"),
    "float.tiff": (tiff(32, struct.pack("<4f", 0, 0.5, 1, 1), kind=3), "floating-point numbers, and nothing says which is white"),
    "float.pfm": (b"Pf 2 2 -1.0\n" + struct.pack("<4f", 0, 1, 0, 1), "floating-point numbers, and nothing says which is white"),
    # other color spaces
    "cmyk.tiff": (saved(row_of("CMYK", (0, 255, 255, 0), (0, 0, 0, 255)), "TIFF"), [RED, BLACK]),
    "ycbcr.tiff": (saved(row_of("YCbCr", (255, 128, 128), (0, 128, 128)), "TIFF"), [WHITE, BLACK]),
    # of several frames the first
    "frames.gif": (saved(row_of("RGB", RED, BLACK), "GIF", save_all=True, append_images=[row_of("RGB", BLACK, RED)]), [RED, BLACK]),
    "frames.tiff": (saved(row_of("RGB", RED, BLACK), "TIFF", save_all=True, append_images=[row_of("L", 0)]), [RED, BLACK]),
    "frames.png": (saved(row_of("RGB", RED, BLACK), "PNG", save_all=True, append_images=[row_of("RGB", BLACK, RED)]), [RED, BLACK]),
    # what is refused
    "empty.png": (b"", "is not an image that Pillow can read"),
    "text.jpg": (b"no picture", "is not an image that Pillow can read"),
    "program.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\n", "a program that draws, in PostScript"),
    "cut.png": (saved(Image.effect_noise((40, 40), 90), "PNG")[:300], "truncated"),
}

GOOD = [name for name, (_, expected) in ODD.items() if not isinstance(expected, str)]
REFUSED = [name for name in ODD if name not in GOOD]


def write(name: str, folder):
    """The path of the odd file in ``folder``, written."""
    (folder / name).write_bytes(ODD[name][0])
    return folder / name


def first_row(image: Image.Image) -> list[tuple]:
    return [tuple(pixel) for pixel in np.array(image)[0].tolist()]
