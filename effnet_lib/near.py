"""Which known names somebody may have meant: typing errors and abbreviations, nothing further off."""

from collections.abc import Iterable


def near_names(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The known names that ``name`` is a misspelling of, the nearest first; often none.

    A name is near if one letter is wrong, missing, too many, or has changed places with its
    neighbor; two in names of eight letters and more. Whole words that begin a known name are near,
    too (``warmup`` for ``warmup_epochs``), and so are eight letters and more that do; words that end one are not, since they mostly mean something
    else (``weights`` is not ``class_weights``). Case does not count, nor whether words are joined
    by ``-`` or ``_``.

    >>> near_names("epohcs", ["epochs", "stages"]), near_names("class_weights", ["weights"])
    (['epochs'], [])
    """
    asked = _plain(name)
    found = []
    for each in known:
        plain = _plain(each)
        distance = edit_distance(asked, plain)
        longest = max(len(asked), len(plain))
        if len(asked) > 1 and distance <= (1 if longest < 8 else 2):
            off = sum(abs(ord(a) - ord(b)) for a, b in zip(asked, plain))  # b9 is nearer to b8 than to b1
            found.append((distance, off, each))
        elif len(asked) > 2 and plain.startswith(f"{asked}_") or len(asked) > 7 and plain.startswith(asked):
            found.append((3, len(plain), each))
    return [each for _, _, each in sorted(found)[:most]]


def suggest(name: str, known: Iterable[str], most: int = 3) -> str:
    """The end of a message about an unknown name: ``did you mean …?``, or all known names if none is near.

    >>> suggest("sdg", ["sgd", "adamw"]), suggest("lion", ["sgd", "adamw"])
    ('did you mean sgd?', 'known: sgd, adamw')
    """
    known = list(known)
    near = near_names(name, known, most)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"


def edit_distance(one: str, other: str) -> int:
    """Letters to add, take away, exchange, or swap with their neighbor, to make ``other`` of ``one``.

    Source: Damerau 1964, DOI 10.1145/363958.363994 (restricted: no letter is moved twice).

    >>> edit_distance("sdg", "sgd"), edit_distance("crop", "drops")
    (1, 2)
    """
    before, row = [], list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, above, row = row, before, [i]
        for j, b in enumerate(other, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b)))
            if i > 1 and j > 1 and a == other[j - 2] and b == one[i - 2]:
                row[j] = min(row[j], above[j - 2] + 1)
    return row[-1]


def _plain(name: str) -> str:
    return str(name)[:100].casefold().replace("-", "_")
