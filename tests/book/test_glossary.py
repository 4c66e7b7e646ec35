"""Words of the glossary, linked where they first stand. Read from the sources: no built book is needed.

Prose is what a reader meets on the way: paragraphs, lists, tables, definitions. Code, formulas, headings,
names of columns and whatever stands in a directive (the head of a chapter, questions) are no prose. The
front page is none of the chapters: it names, as their heads do, what is explained later.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = ROOT / "appendices" / "glossary.md"
#: A paragraph with so many links to the glossary needs no more; the next one then has the link.
ENOUGH = 3
#: Other words in which an entry is spoken of.
ALSO = {
    "architecture search": "neural architecture search",
    "fine-tune": "fine-tuning",
    "fine-tuned": "fine-tuning",
    "fold": "folding",
    "folded": "folding",
    "quantise": "quantisation",
    "quantised": "quantisation",
    "top-1": "top-1 accuracy",
}
#: One activation is an activation function's answer, many are a cost.
NO_SINGULAR = ("activations",)
#: Where a word stands in another sense than the glossary's: chapter, entry, words around, and which sense.
OTHER_SENSE = {
    ("06", "warm-up", "Warm-up: the first runs choose algorithms"): "runs that a clock does not count",
    ("09", "Lite", "TensorFlow Lite or TFLite"): "a program, not the networks",
    ("09", "warm-up", "Time with warm-up, in turns"): "runs that a clock does not count",
}
#: Entries that no chapter links, and why they stand in the glossary.
UNLINKED = {
    "deployment": "a word of other texts; chapter 9 names the steps instead",
}


class Use(NamedTuple):
    """A word of the glossary in a text."""

    line: int
    entry: str
    linked: bool
    around: str
    enough: bool


def chapters() -> dict[str, str]:
    """The sources of the chapters by number, in the order in which they are read."""
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))["parts"]
    files = [page["file"] for part in parts for page in part["chapters"]]
    paths = [ROOT / f"{file}.md" for file in files if file.startswith("chapters/")]
    return {path.name[:2]: path.read_text("utf-8") for path in paths}


@functools.cache
def entries() -> dict[str, str]:
    """Every name of the glossary with the first name of its entry."""
    body = re.search(r"```\{glossary\}\n:sorted:\n(.*?)\n```", GLOSSARY.read_text("utf-8"), re.DOTALL)[1]
    found = {}
    for entry in re.split(r"\n\s*\n", body.strip()):
        names = [line for line in entry.splitlines() if not line.startswith(" ")]
        found |= dict.fromkeys(names, names[0])
    return found


@functools.cache
def words() -> tuple[re.Pattern, list[str]]:
    """A pattern that finds the longest name, and for each of its groups the entry."""
    known = sorted((entries() | ALSO).items(), key=lambda item: -len(item[0]))
    patterns = []
    for name, _ in known:
        one = re.escape(name if name in NO_SINGULAR else name.removesuffix("s"))
        exact = re.search("[A-Z]", name[1:]) or name == "Lite"  # MACs are no macs
        patterns.append(f"({one}s?)" if exact else f"((?i:{one}s?))")
    return re.compile(rf"(?<![\w-])(?:{'|'.join(patterns)})(?!\w)"), [entry for _, entry in known]


@functools.cache
def parser():
    extensions = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["parse"]["myst_enable_extensions"]
    return create_md_parser(MdParserConfig(enable_extensions=set(extensions)), RendererHTML)


def paragraphs(source: str):
    """Each stretch of prose: its line, and its pieces of text with what they link to in the glossary."""
    before = ""
    for token in parser().parse(source):
        if token.type == "inline" and before not in ("heading_open", "th_open"):
            pieces, inside_link = [], False
            for child in token.children:
                if child.type in ("link_open", "link_close"):
                    inside_link = child.type == "link_open"
                elif child.type == "text" and not inside_link:
                    pieces.append((child.content, None))
                elif child.type == "softbreak":
                    pieces.append((" ", None))
                elif child.type == "myst_role" and child.meta["name"] == "term":
                    shown, target = re.fullmatch(r"(.*?)(?:\s*<(.*)>)?", child.content, re.DOTALL).groups()
                    pieces.append((shown, target or shown))
                elif not child.type.startswith(("em_", "strong_")):
                    pieces.append(("…", None))  # code, a formula, a reference: nothing that could be linked
            yield token.map[0] + 1, pieces
        before = token.type


def uses(source: str) -> list[Use]:
    """The words of the glossary in the prose of a page, in the order in which they stand."""
    pattern, groups = words()
    folded = {name.casefold(): entry for name, entry in entries().items()}
    found = []
    for line, pieces in paragraphs(source):
        text = "".join(piece for piece, _ in pieces)
        enough = sum(target is not None for _, target in pieces) >= ENOUGH
        spans, start = [], 0
        for piece, target in pieces:
            if target:
                assert target.casefold() in folded, f"line {line}: the glossary has no {target!r}"
                spans.append((start, start + len(piece), folded[target.casefold()], True))
            start += len(piece)
        linked = list(spans)
        for match in pattern.finditer(text):
            if not any(begin < match.end() and match.start() < end for begin, end, *_ in linked):
                spans.append((*match.span(), groups[match.lastindex - 1], False))
        for begin, end, entry, is_link in sorted(spans):
            found.append(Use(line, entry, is_link, text[max(0, begin - 40) : end + 40], enough))
    return found


def counted(chapter: str, source: str) -> list[Use]:
    """The uses that want a link: in the glossary's sense, and where a paragraph has room for one."""
    return [use for use in uses(source) if use.linked or not use.enough and not excused(chapter, use)]


def excused(chapter: str, use: Use) -> bool:
    return any(key[:2] == (chapter, use.entry) and key[2] in use.around for key in OTHER_SENSE)


def late(pages: dict[str, str]) -> list[str]:
    """For each entry whose first use in these pages is not a link: where that is."""
    firsts: dict[str, tuple[str, Use]] = {}
    for chapter, source in pages.items():
        for use in counted(chapter, source):
            firsts.setdefault(use.entry, (chapter, use))
    return [f"{entry}: chapter {chapter}, line {use.line}: … {use.around} …"
            for entry, (chapter, use) in firsts.items() if not use.linked]  # fmt: skip


def test_each_word_is_linked_where_it_first_stands_in_the_book():
    faults = late(chapters())
    assert not faults, "a link to the glossary is missing:\n" + "\n".join(faults)


@pytest.mark.parametrize("chapter", chapters())
def test_what_a_chapter_links_it_links_where_it_first_stands_there(chapter):
    source = chapters()[chapter]
    links = {use.entry for use in uses(source) if use.linked}
    faults = [fault for fault in late({chapter: source}) if fault.split(": ")[0] in links]
    assert not faults, "linked later, but not where it first stands:\n" + "\n".join(faults)


def test_each_entry_is_linked_from_some_chapter():
    linked = {use.entry for source in chapters().values() for use in uses(source) if use.linked}
    assert set(entries().values()) - linked == set(UNLINKED)


def test_what_is_excused_stands_there():
    for chapter, entry, around in OTHER_SENSE:
        said = [use for use in uses(chapters()[chapter]) if use.entry == entry and around in use.around]
        assert len(said) == 1 and not said[0].linked, f"chapter {chapter} no longer says {around!r}"
    assert set(ALSO.values()) <= set(entries().values())


# The scan itself ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "source, found",
    [
        ("A gate opens.", {"gate"}),
        ("Two *gates* open; **Gates** close.", {"gate"}),
        ("A {term}`gate`, then more gates.", set()),
        ("{term}`Each of them <gate>`, and a gate.", set()),
        ("A gate, and later a {term}`gate`.", {"gate"}),
        ("- in a list, a gate\n", {"gate"}),
        ("| step |\n|---|\n| a gate |\n", {"gate"}),
        ("Word\n: means a gate.\n", {"gate"}),
        ("A depthwise\nconvolution.", {"depthwise convolution"}),
        ("One multiply-add, one parameter.", {"multiply-adds", "parameters"}),
        ("A network that was fine-tuned.", {"fine-tuning"}),
        ("Batch norm and SE.", {"batch normalisation", "squeeze-and-excitation"}),
        ("An activation, a gateway, a delegate; se, lite.", set()),
        ("## A gate\n\n`gate`, $gate$, {ref}`the gate <x>`, [a gate](x.md)", set()),
        ("| gate |\n|---|\n| 1 |\n", set()),
        ("```{code-cell} ipython3\nprint('gate')\n```\n", set()),
        ("```{question} Which gate?\n- [ ] This gate.\n  : No gate.\n```\n", set()),
        ("```{chapter-head}\n:prerequisites: gates\n\n- open a gate\n```\n", set()),
        ("```{exercise-start} 1.1 A gate\n:label: ex-gate\n```\n", set()),
        ("{term}`Stem`, {term}`block` and {term}`head`: no room for a gate.", set()),
        ("{term}`Stem`, {term}`block`, {term}`head`, a gate.\n\nRoom for a gate.", {"gate"}),
    ],
)
def test_the_scan(source, found):
    assert {fault.split(": ")[0] for fault in late({"00": source})} == found


def test_the_scan_misses_links_that_are_taken_away():
    """All of them but those that stand under words of another kind, such as *order* for channels_last."""
    pages = chapters()
    linked = {use.entry for source in pages.values() for use in uses(source) if use.linked}
    link = re.compile(r"\{term\}`([^`<]*?)(?: *<[^`]*>)?`")
    missed = {fault.split(": ")[0] for fault in late({n: link.sub(r"\1", pages[n]) for n in pages})}
    assert missed <= linked and len(missed) >= len(linked) - 5, linked - missed


def test_a_link_to_nothing_is_told():
    with pytest.raises(AssertionError, match="line 3: the glossary has no 'gait'"):
        uses("One.\n\nA {term}`gait`.")
