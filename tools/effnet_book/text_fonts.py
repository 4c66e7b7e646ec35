"""Cuts the fonts of interface, tables and code; run by hand, its output is committed.

    pip install fonttools brotli fontpkg-inter==4.1.post1 fontpkg-jetbrains-mono==2.211
    python tools/effnet_book/text_fonts.py

The sources are Inter and JetBrains Mono as variable fonts, both under the SIL Open Font
License 1.1 without a reserved name; the licence lies beside the fonts. What stays: the
characters below, kerning, digits of one width (``tabular-nums``), and the weights from 400
to 700. A test opens the built book and fails when a page draws a character of interface,
table or code with any other font: add it below, then run this again.
"""

import os
from importlib import resources
from pathlib import Path

FONTS = Path(__file__).resolve().parents[2] / "_static" / "fonts"
ASCII = "".join(map(chr, range(0x20, 0x7F)))
SHARED = ASCII + "\u00a0§©°±²³µ·¹É×áäçéèñöü÷αβγδεηλμστφΔΣΦ–—‘’“”…←↑→↓−√∞≈≠≤≥"
#: What each file is cut from, the place on its axes, and the characters that stay.
CUTS = {
    "inter-book.woff2": ("fontpkg_inter", "Inter[opsz,wght].ttf", {"opsz": 14, "wght": (400, 700)}, SHARED + "✓✗"),
    "jetbrains-mono-book.woff2": ("fontpkg_jetbrains_mono", "JetBrainsMono[wght].ttf", {"wght": (400, 700)},
                                  SHARED + "─│└├┌┐┘┤┬┴┼█"),
}  # fmt: skip


def cut(package: str, file: str, axes: dict, characters: str, target: Path) -> None:
    from fontTools import subset, ttLib
    from fontTools.varLib.instancer import instantiateVariableFont

    font = ttLib.TTFont(str(resources.files(package).joinpath("files", file)), recalcTimestamp=False)
    absent = [letter for letter in characters if ord(letter) not in font.getBestCmap()]
    if absent:
        raise SystemExit(f"{file} has no {' '.join(absent)}")
    options = subset.Options()
    # No ligatures: code shows the characters that are typed.
    options.layout_features = ["kern", "tnum"]
    options.hinting = False
    options.drop_tables += ["DSIG"]
    cutter = subset.Subsetter(options)
    cutter.populate(text=characters)
    cutter.subset(font)
    leave_words_alone(font)
    font = instantiateVariableFont(font, axes)
    font.flavor = "woff2"
    font.save(target)


def leave_words_alone(font) -> None:
    """Let ``tabular-nums`` widen what numbers are made of, and not the hyphen of "multiply-adds"."""
    if "GSUB" not in font:
        return
    letters = {font.getBestCmap()[ord(letter)] for letter in "- "}
    for lookup in font["GSUB"].table.LookupList.Lookup:
        for table in lookup.SubTable:
            table = getattr(table, "ExtSubTable", table)
            for name in letters & getattr(table, "mapping", {}).keys():
                del table.mapping[name]


def main() -> None:
    for name, (package, file, axes, characters) in CUTS.items():
        cut(package, file, axes, characters, FONTS / name)
        print(FONTS / name, os.path.getsize(FONTS / name), "bytes")


if __name__ == "__main__":
    main()
