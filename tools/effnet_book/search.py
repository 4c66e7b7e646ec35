"""The words by which search finds a page: those that stand there, and those that a reader types for them.

The book is spelt the British way, and many readers type "normalization" and "color". It writes "fine-tuning"
and "ResNet-50", and they type "finetuning" and "resnet50". Its cells say ``BatchNorm2d``, and they look for
BatchNorm. A page is found by all of these.

Sphinx stems a page's words here and the reader's in the browser, and the two stemmers differ in words of one
and two letters, from which only the one here takes an ending off: of "V2-S" the S was lost.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish

#: British spellings, as far as words on neural networks need them, and the American for each.
AMERICAN = [(re.compile(british, re.IGNORECASE), american) for british, american in (
    (r"\b(behavio|colo|favo|harbo|labo|neighbo)ur", r"\1r"),
    (r"(critic|factor|general|initial|maxim|memor|minim|normal|optim|organ|quant|recogn|regular|standard"
     r"|summar|synchron|visual)is(?=e|ing|ation|able)", r"\1iz"),
    (r"(analy)s(?=e|ing)", r"\1z"),
    (r"\b(gr)ey", r"\1ay"),
    (r"\b(cent)(?:re(?!d)|r(?=ed))", r"\1er"),
    (r"\b(label|model)l(?=ed|ing)", r"\1"),
)]  # fmt: skip
PAIR = re.compile(r"(?<![\w-])(\w+)-(\w+)(?![\w-])")  # "fine-tuning", but not "squeeze-and-excitation"
DIMENSIONS = re.compile(r"(?<=[a-z])[123]d$")  # of PyTorch's classes


def american(word: str) -> str:
    """The word as it is spelt in America; most words stay as they are."""
    for british, other in AMERICAN:
        word = british.sub(other, word)
    return word


class English(SearchEnglish):
    """Sphinx's index of English pages, with what their readers type."""

    def split(self, text: str) -> list[str]:
        words = super().split(text)
        words += [first + second for first, second in PAIR.findall(text)]
        others = [(word, other) for word in words for other in (american(word), DIMENSIONS.sub("", word))]
        return words + [other for word, other in others if other != word]

    def stem(self, word: str) -> str:
        return super().stem(word) if len(word) > 2 else word.lower()  # as the browser does


def setup(app: Sphinx) -> None:
    app.add_search_language(English)
