"""Cuts the mathematics font out of STIX Two Math; run by hand, its output is committed.

    pip install fonttools brotli
    python tools/effnet_book/math_font.py stix-two-math-latin-400-normal.woff2

The source is STIX Two Math (SIL Open Font License 1.1), for instance the file of the
npm package ``@fontsource/stix-two-math``. What stays: every character that
``mathml.py`` can write, with the larger variants of brackets, roots, braces and
operators that the font's MATH table names. The licence lies beside the font.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from effnet_book import mathml  # noqa: E402

TARGET = Path(__file__).resolve().parents[2] / "_static" / "fonts" / "stix-two-math-book.woff2"
# The characters that the font was cut for: a test compares them with the tables' own.
HELD = Path(__file__).with_name("math_font.txt")


def characters() -> set[int]:
    """Every code point that a formula of the book can hold."""
    text = "".join(chr(code) for code in range(0x20, 0x7F)) + "\u00a0\u2009\u2061¯ˆ˜‾′″‴−"
    text += "\u0302\u0303\u0304\u0305\u20d7\u0307\u0308√⎴⎵"
    tables = (mathml.GREEK, mathml.CAPITALS, mathml.LETTERS, mathml.SYMBOLS, mathml.BIG,
              mathml.INTEGRALS, mathml.CHARACTERS, mathml.OPENING, mathml.CLOSING,
              mathml.EITHER, mathml.ACCENTS, mathml.BRACES)  # fmt: skip
    text += "".join("".join(table.values()) for table in tables)
    codes = {ord(letter) for letter in text}
    # What a browser makes of a one-letter <mi>: the italic alphabets, ℎ being elsewhere.
    codes |= set(range(0x1D434, 0x1D468)) - {0x1D455} | set(range(0x1D6E2, 0x1D71C)) | {0x210E}
    for variant, letters in (
        ("bold", "AZaz09ΑΩαω"),
        ("bold-italic", "AZazαω"),
        ("double-struck", "AZ01"),
        ("script", "AZ"),
    ):
        for first, last in zip(letters[::2], letters[1::2]):
            for code in range(ord(first), ord(last) + 1):
                codes.add(ord(mathml._letters(chr(code), variant)))
    return codes


def main(source: str) -> None:
    from fontTools import subset

    options = subset.Options()
    options.flavor = "woff2"
    # ssty: smaller forms for scripts; the rest is needless in a formula.
    options.layout_features = ["ssty", "flac", "dtls"]
    options.hinting = False
    options.desubroutinize = True
    options.drop_tables += ["DSIG"]
    font = subset.load_font(source, options)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=characters())
    cutter.subset(font)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    subset.save_font(font, str(TARGET), options)
    HELD.write_text(" ".join(f"{code:X}" for code in sorted(characters())) + "\n")
    print(TARGET, TARGET.stat().st_size, "bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
