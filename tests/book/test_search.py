"""What readers type into the search, and what they must be shown for it."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from effnet_book.search import English, american

#: A query; the term of the glossary that must be the very first result, if it has one; and pages that
#: must be among the results. A number behind a page: among so many pages at most, the first ones.
QUERIES = """
squeeze and excitation   |                          | chapters/03 5
squeeze-and-excitation   | squeeze-and-excitation   | chapters/03
SE                       | SE                       | chapters/03 5
MBConv                   | MBConv                   | chapters/04
Fused-MBConv             | Fused-MBConv             | chapters/04, chapters/07 5
depthwise                |                          | chapters/04 5
stochastic depth         | stochastic-depth         | chapters/04 5
drop connect             |                          | chapters/04, appendices/corrections
DropConnect              | DropConnect              | chapters/04
drop path                | drop-path                | chapters/04
swish                    | Swish                    | chapters/04
SiLU                     | SiLU                     | chapters/04
compound scaling         | compound-scaling         | chapters/02 5
phi                      |                          | chapters/02
alpha beta gamma         |                          | chapters/02 5
width multiplier         | width-multiplier         | chapters/02
width_mult               | width_mult               |
receptive field          | receptive-field          | chapters/01
FLOPs                    | FLOPs                    | chapters/01, appendices/deviations
GFLOPs                   | GFLOPs                   |
MACs                     | MACs                     | chapters/01
GMACs                    | GMACs                    |
parameters               | parameters               | chapters/01, chapters/05
roofline                 | roofline                 | chapters/09
latency                  | latency                  | chapters/09
batch norm               | batch-norm               | chapters/04
BatchNorm                | BatchNorm                | chapters/05, chapters/09
EfficientNet-B0          |                          | chapters/05 3
EfficientNetV2           |                          | chapters/07 3
V2-S                     |                          | chapters/07 5
progressive learning     | progressive-learning     | chapters/07 3
Lite0                    |                          | chapters/08, chapters/09
ResNet-50                |                          | chapters/06
resnet50                 |                          | chapters/06, chapters/09
ImageNet                 | ImageNet                 | chapters/11 5
pretrained weights       |                          | chapters/08 5
preprocessing            | preprocessing            | chapters/08 5
Keras                    |                          | chapters/08
fine-tuning              | fine-tuning              | chapters/06, chapters/08
finetuning               | finetuning               | chapters/06, chapters/08
transfer learning        | transfer-learning        | chapters/08 5
CAM                      | CAM                      | chapters/08
Grad-CAM                 | Grad-CAM                 | chapters/08
heatmap                  |                          | appendices/glossary
ONNX                     |                          | chapters/09
TensorRT                 |                          | chapters/09
TFLite                   |                          | chapters/09
quantisation             | quantisation             | chapters/09
quantization             |                          | chapters/09, appendices/glossary
int8                     |                          | chapters/09
RMSProp                  | RMSProp                  | chapters/10 5
EMA                      | EMA                      | chapters/10
label smoothing          | label-smoothing          | chapters/10
learning rate            | learning-rate            | chapters/10 5
warm-up                  | warm-up                  | chapters/10 5
warmup                   |                          | chapters/10, appendices/glossary
NaN                      |                          | chapters/10
regularization           |                          | chapters/07, appendices/glossary
color                    |                          | chapters/08, appendices/glossary
mixed precision          | mixed-precision          | chapters/11
AMP                      | AMP                      | chapters/11
CIFAR-10                 | CIFAR-10                 | chapters/08, chapters/11
cifar10                  |                          | chapters/11
checkpoint               | checkpoint               | chapters/11
resume                   |                          | chapters/11
Colab                    |                          | index, chapters/11
torchrun                 |                          | chapters/11
DDP                      |                          | chapters/11
"""


def rows() -> list[tuple[str, str, dict[str, int | None]]]:
    """Of each query: the query, the term, and among how many pages each page must be, None for all."""
    cells = [[cell.strip() for cell in row.split("|")] for row in QUERIES.strip().splitlines()]
    return [
        (query, term, {page: int(most) if most else None
                       for page, _, most in (part.partition(" ") for part in pages.split(", ") if part)})
        for query, term, pages in cells
    ]  # fmt: skip


def ask(seen, query: str) -> list[str]:
    """The addresses of the results, below the book, in their order."""
    page = seen.open(f"search.html?q={quote(query)}")
    said = page.get_by_text("Search finished").or_(page.get_by_text("Your search did not match"))
    said.first.wait_for()
    links = page.locator("#search-results ul.search > li > a")
    return [unquote(link.get_attribute("href")) for link in links.all()]


@pytest.mark.parametrize(("query", "term", "wanted"), rows(), ids=[query for query, *_ in rows()])
def test_search_shows_what_is_asked_for(visit, query, term, wanted):
    results = ask(visit(), query)
    assert results, "nothing is found"
    if term:
        assert results[0] == f"appendices/glossary.html#term-{term}"
    found = list(dict.fromkeys(result.split("#")[0] for result in results))
    for page, most in wanted.items():
        assert any(name.startswith(page) for name in found[:most]), (page, found)


def test_search_says_when_there_is_nothing(visit):
    assert not ask(visit(), "zzyzx")


@pytest.mark.parametrize(
    ("british", "expected"),
    [
        ("normalisation", "normalization"), ("Optimiser", "Optimizer"), ("quantised", "quantized"),
        ("colours", "colors"), ("neighbouring", "neighboring"), ("centred", "centered"), ("grey", "gray"),
        ("labelled", "labeled"), ("four", "four"), ("precise", "precise"), ("exercises", "exercises"),
    ],
)  # fmt: skip
def test_both_spellings_are_indexed(british, expected):
    assert american(british) == expected
    assert {british, expected} <= set(English({}).split(f"A {british}."))


def test_words_are_indexed_as_they_are_typed():
    language = English({})
    assert {"fine", "tuning", "finetuning"} <= set(language.split("after fine-tuning,"))
    assert {"BatchNorm2d", "BatchNorm"} <= set(language.split("nn.BatchNorm2d(8)"))
    assert "squeezeand" not in language.split("squeeze-and-excitation")
    assert [language.stem(word) for word in ("V2", "S", "layers")] == ["v2", "s", "layer"]
