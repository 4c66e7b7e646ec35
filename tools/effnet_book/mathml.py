r"""LaTeX formulas as MathML, written into the page when the book is built.

Why not MathJax: it weighs a megabyte, draws late, and shows raw LaTeX to a reader
without scripts. MathML is drawn by the browser itself. Why a converter of our own: the
subset of LaTeX that the book needs is small, browsers draw only the Core of MathML, and
a command that is not in the tables below must stop the build instead of reaching the
reader as backslashes. Add a symbol to ``SYMBOLS``, a function to ``FUNCTIONS``.

The three dimensions of compound scaling have fixed colours: ``\depth{d}``,
``\width{w}``, ``\resolution{r}``, or ``\textcolor`` with the hexadecimal colour of one
of them, which other renderers (Colab, GitHub) know too; ``expand_colours`` turns the
first form into the second.
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement, tostring

# The house colours in light mode; the style sheet gives their dark counterparts.
COLOURS = {"depth": "#0072B2", "width": "#B84A00", "resolution": "#00785A"}

GREEK = {
    name: chr(code)
    for code, name in enumerate(
        "alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi "
        "omicron pi rho varsigma sigma tau upsilon varphi chi psi omega".split(),
        start=0x3B1,
    )
} | {"epsilon": "ϵ", "phi": "ϕ", "vartheta": "ϑ", "varrho": "ϱ"}
CAPITALS = dict(
    zip(
        "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega".split(),
        "ΓΔΘΛΞΠΣΥΦΨΩ",
    )
)
LETTERS = {"ell": "ℓ", "partial": "∂", "nabla": "∇", "infty": "∞", "emptyset": "∅",
           "hbar": "ℏ", "Re": "ℜ", "Im": "ℑ", "forall": "∀", "exists": "∃",
           "top": "⊤", "bot": "⊥", "ldots": "…", "dots": "…", "cdots": "⋯",
           "vdots": "⋮", "ddots": "⋱", "%": "%", "#": "#", "$": "$", "&": "&",
           "_": "_", "degree": "°", "checkmark": "✓"}  # fmt: skip
SYMBOLS = {"cdot": "⋅", "times": "×", "div": "÷", "pm": "±", "mp": "∓", "ast": "∗",
           "star": "⋆", "circ": "∘", "bullet": "∙", "odot": "⊙", "oplus": "⊕",
           "otimes": "⊗", "cap": "∩", "cup": "∪", "setminus": "∖", "wedge": "∧",
           "land": "∧", "vee": "∨", "lor": "∨", "neg": "¬", "lnot": "¬",
           "approx": "≈", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠",
           "neq": "≠", "lt": "<", "gt": ">", "ll": "≪", "gg": "≫", "equiv": "≡",
           "sim": "∼", "simeq": "≃", "cong": "≅", "propto": "∝", "in": "∈",
           "notin": "∉", "ni": "∋", "subset": "⊂", "subseteq": "⊆", "supset": "⊃",
           "supseteq": "⊇", "mid": "∣", "parallel": "∥", "perp": "⟂", "to": "→",
           "rightarrow": "→", "leftarrow": "←", "gets": "←", "uparrow": "↑",
           "downarrow": "↓", "leftrightarrow": "↔", "mapsto": "↦",
           "Rightarrow": "⇒", "implies": "⟹", "Leftarrow": "⇐",
           "Leftrightarrow": "⇔", "iff": "⟺", "longrightarrow": "⟶",
           "coloneqq": "≔", "triangleq": "≜", "lesssim": "≲", "gtrsim": "≳",
           "colon": ":"}  # fmt: skip
CHARACTERS = {"+": "+", "-": "−", "=": "=", "<": "<", ">": ">", "*": "∗", "/": "/",
              ",": ",", ";": ";", ":": ":", "!": "!", "?": "?", ".": "."}  # fmt: skip
BIG = {"sum": "∑", "prod": "∏", "coprod": "∐", "bigcup": "⋃", "bigcap": "⋂",
       "bigoplus": "⨁", "bigotimes": "⨂"}  # fmt: skip
INTEGRALS = {"int": "∫", "iint": "∬", "oint": "∮"}
FUNCTIONS = set(
    "arccos arcsin arctan arg cos cosh cot coth csc deg dim exp hom ker lg ln log sec "
    "sin sinh tan tanh".split()
)
LIMITS = set("det gcd inf lim liminf limsup max min Pr sup".split())
OPENING = {"(": "(", "[": "[", "{": "{", "lceil": "⌈", "lfloor": "⌊", "langle": "⟨",
           "lvert": "|", "lVert": "‖", "lbrace": "{", "lbrack": "["}  # fmt: skip
CLOSING = {")": ")", "]": "]", "}": "}", "rceil": "⌉", "rfloor": "⌋", "rangle": "⟩",
           "rvert": "|", "rVert": "‖", "rbrace": "}", "rbrack": "]"}  # fmt: skip
EITHER = {"|": "‖", "vert": "|", "Vert": "‖"}  # the first is the command \\|
SPACES = {",": "0.1667em", ":": "0.2222em", ">": "0.2222em", ";": "0.2778em",
          "!": "-0.1667em", " ": "0.25em", "enspace": "0.5em", "quad": "1em",
          "qquad": "2em", "thinspace": "0.1667em"}  # fmt: skip
ACCENTS = {"hat": "ˆ", "widehat": "\u0302", "bar": "¯", "overline": "‾", "tilde": "˜",
           "vec": "\u20d7", "dot": "˙", "ddot": "¨"}  # fmt: skip
BRACES = {"overbrace": "⏞", "underbrace": "⏟"}
SIZES = {"big": "1.2em", "Big": "1.8em", "bigg": "2.4em", "Bigg": "3em"}
TEXTS = {"text": "", "textrm": "", "mbox": "", "textnormal": "", "textbf": "bold",
         "textit": "italic", "texttt": "monospace"}  # fmt: skip
VARIANTS = {"mathbf": "bold", "boldsymbol": "bold-italic", "bm": "bold-italic",
            "mathbb": "double-struck", "mathcal": "script", "mathscr": "script",
            "mathrm": "normal", "mathit": "italic", "mathsf": "sans",
            "mathtt": "monospace"}  # fmt: skip
# First capital, first small letter, first digit, first Greek capital and small letter.
ALPHABETS = {
    "bold": (0x1D400, 0x1D41A, 0x1D7CE, 0x1D6A8, 0x1D6C2),
    "bold-italic": (0x1D468, 0x1D482, 0x1D7CE, 0x1D71C, 0x1D736),
    "double-struck": (0x1D538, 0x1D552, 0x1D7D8, None, None),
    "script": (0x1D49C, 0x1D4B6, None, None, None),
    "sans": (0x1D5A0, 0x1D5BA, 0x1D7E2, None, None),
    "monospace": (0x1D670, 0x1D68A, 0x1D7F6, None, None),
}
# Letters that had a code point before the alphabets were made, and stayed there.
ELSEWHERE = {"double-struck": dict(zip("CHNPQRZ", "ℂℍℕℙℚℝℤ")),
             "script": dict(zip("BEFHILMRego", "ℬℰℱℋℐℒℳℛℯℊℴ"))}  # fmt: skip
MATRICES = {"matrix": "  ", "pmatrix": "()", "bmatrix": "[]", "Bmatrix": "{}",
            "vmatrix": "||", "Vmatrix": "‖‖", "cases": "{ ", "array": "  "}  # fmt: skip
ALIGNED = {"aligned", "align", "align*", "split", "eqnarray", "eqnarray*"}
GATHERED = {"gathered", "gather", "gather*", "equation", "equation*", "multline"}

TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|\s+|.", re.DOTALL)
THIN = "0.1667em"
BINARY = set("⋅×÷±∓∗⋆∘∙⊙⊕⊗∩∪∖∧∨")


class MathError(ValueError):
    """A formula that the converter does not understand; the message says what."""


def expand_colours(latex: str) -> str:
    r"""``\depth{d}`` as ``\textcolor{#0072B2}{d}``, for renderers without our macros."""
    pattern = r"\\(" + "|".join(COLOURS) + r")(?=\s*\{)"
    return re.sub(pattern, lambda m: rf"\textcolor{{{COLOURS[m[1]]}}}", latex)


def to_mathml(latex: str, display: bool = False, named: bool = False) -> str:
    """The ``<math>`` element that draws a formula; its LaTeX stays in ``alttext``.

    ``named``: its symbols are its accessible name too. Screen readers read MathML itself
    and need no name, but tools that judge a heading or a label see no text in it.
    """
    math = Element("math")
    if display:
        math.set("display", "block")
    math.set("alttext", " ".join(latex.split()))
    _Parser(latex).everything(math)
    if named:
        math.set("aria-label", " ".join("".join(math.itertext()).split()))
    return tostring(math, encoding="unicode")


def _letters(text: str, variant: str | None) -> str:
    """The text in another mathematical alphabet; what that lacks is an error."""
    if variant in (None, "normal", "italic"):
        return text
    result = []
    for letter in text:
        bases = ALPHABETS[variant]
        for base, first, last in zip(bases, "Aa0Αα", "Zz9Ωω"):
            if first <= letter <= last and base is not None:
                moved = chr(base + ord(letter) - ord(first))
                result.append(ELSEWHERE.get(variant, {}).get(letter, moved))
                break
        else:
            raise MathError(f"there is no {variant} form of {letter!r}")
    return "".join(result)


class _Parser:
    """Recursive descent over the tokens of one formula; one method a construction."""

    def __init__(self, latex: str):
        self.tokens = TOKEN.findall(latex)
        self.position = 0
        self.variant: str | None = None
        self.functions: list[Element] = []  # for the thin spaces around log, max …

    # -- tokens ---------------------------------------------------------------

    def peek(self) -> str | None:
        """The next token that is not white space, or None at the end."""
        while self.position < len(self.tokens):
            if not self.tokens[self.position].isspace():
                return self.tokens[self.position]
            self.position += 1
        return None

    def take(self, wanted: str | None = None) -> str:
        token = self.peek()
        if token is None or (wanted is not None and token != wanted):
            raise MathError(f"{wanted or 'an argument'} is missing before {token or 'the end'}")
        self.position += 1
        return token

    def raw(self) -> str:
        """A braced argument as it was written, white space included."""
        self.take("{")
        start, depth = self.position, 1
        while depth:
            if self.position >= len(self.tokens):
                raise MathError("a { is never closed")
            depth += {"{": 1, "}": -1}.get(self.tokens[self.position], 0)
            self.position += 1
        return "".join(self.tokens[start : self.position - 1])

    # -- rows and scripts -------------------------------------------------------

    def everything(self, parent: Element) -> None:
        parent.extend(self.row())
        if (token := self.peek()) is not None:
            raise MathError(f"{token} stands where nothing opens it")

    def row(self, stops: tuple[str, ...] = (), goes_on: bool = False) -> list[Element]:
        """Atoms with their scripts until a closing token, which is left in place.

        ``goes_on``: the row goes on from the one before, as the right side of an &.
        """
        items: list[Element] = []
        while (token := self.peek()) is not None:
            if token in stops or token in ("}", "&", r"\\", r"\end", r"\right"):
                break
            if token in (r"\displaystyle", r"\textstyle"):
                self.take()
                style = Element("mstyle", displaystyle=str("dis" in token).lower())
                style.extend(self.row(stops))
                items.append(style)
                break
            items.append(self.scripted())
        self.space(items, goes_on)
        return items

    def group(self, stops: tuple[str, ...] = ()) -> Element:
        """A row as one element."""
        items = self.row(stops)
        if len(items) == 1:
            return items[0]
        row = Element("mrow")
        row.extend(items)
        return row

    def argument(self) -> Element:
        """One argument of a command: a braced group or a single atom."""
        token = self.peek()
        if token is not None and token[0].isdigit():  # \\frac12 takes one digit, not 12
            self.tokens[self.position : self.position + 1] = token
        if token != "{":
            return self.atom()
        self.take("{")
        row = self.group()
        self.take("}")
        return row

    def scripted(self) -> Element:
        token = self.peek()
        base = Element("mrow") if token in ("^", "_", "'") else self.atom()
        limits = token.lstrip("\\") in LIMITS | set(BIG) | set(BRACES) or (
            base.get("movablelimits") == "true"
        )
        if self.peek() in (r"\limits", r"\nolimits"):
            limits = self.take() == r"\limits"
        under = over = None
        while (mark := self.peek()) in ("^", "_", "'"):
            self.take()
            if mark == "_":
                if under is not None:
                    raise MathError("two subscripts on one symbol")
                under = self.argument()
            elif mark == "'":
                # The font's prime is raised as it stands: in a superscript it flies off.
                primed = Element("mrow")
                primed.extend([base, self.leaf("mo", "′", lspace="0", rspace="0")])
                base = primed
            else:
                if over is not None:
                    raise MathError("two superscripts on one symbol")
                over = self.argument()
        if under is None and over is None:
            return base
        kind = ("munder", "mover") if limits else ("msub", "msup")
        name = kind[0] if over is None else kind[1]
        if under is not None and over is not None:
            name = "munderover" if limits else "msubsup"
        element = Element(name)
        element.extend(part for part in (base, under, over) if part is not None)
        return element

    def space(self, items: list[Element], goes_on: bool) -> None:
        """TeX's spacing where MathML's differs: signs, starts, and names of functions."""
        if items and items[0].tag == "mo" and items[0].text in {*SYMBOLS.values(), *"=<>+−"}:
            if goes_on:  # "&+ b": a sum, not a sign
                items[0].set("form", "infix")
            else:  # no space before "≈ 2", none in "×3"
                items[0].attrib.setdefault("lspace", "0")
                if items[0].text in BINARY:
                    items[0].set("rspace", "0")
        for index, item in enumerate(items):
            if index and item.tag == "mo" and item.text in ("+", "−", "±", "∓"):
                left = items[index - 1]
                if left.tag == "mo" and left.get("form") != "postfix" and left.text != "!":
                    item.set("form", "prefix")  # after an operator: a sign, not a sum
            core = item
            while len(core) and core.tag.startswith(("msu", "mun", "mov")):
                core = core[0]
            if core not in self.functions:
                continue
            before = items[index - 1] if index else None
            after = items[index + 1] if index + 1 < len(items) else None
            for side, other in (("lspace", before), ("rspace", after)):
                ordinary = other is not None and other.tag not in ("mo", "mspace")
                if side == "lspace" and other is not None and other.get("form") == "postfix":
                    ordinary = True
                core.set(side, THIN if ordinary else "0")

    # -- atoms ------------------------------------------------------------------

    def leaf(self, tag: str, text: str, **attributes: str) -> Element:
        element = Element(tag, attributes)
        element.text = text
        return element

    def letter(self, text: str, tag: str = "mi") -> Element:
        element = self.leaf(tag, _letters(text, self.variant))
        if self.variant == "normal" and tag == "mi" and len(text) == 1:
            element.set("mathvariant", "normal")
        return element

    def atom(self) -> Element:
        token = self.take()
        if token == "{":
            self.position -= 1
            group = self.argument()
            if group.tag == "mo" and group not in self.functions:
                group.attrib.update(lspace="0", rspace="0")  # 5{,}000: no space
            return group
        if token.startswith("\\"):
            return self.command(token[1:])
        if token[0].isdigit():
            return self.letter(token, "mn")
        if token in "([":
            return self.leaf("mo", token, stretchy="false", form="prefix")
        if token in ")]":
            return self.leaf("mo", token, stretchy="false", form="postfix")
        if token == "|":
            return self.leaf("mo", "|", stretchy="false", lspace="0", rspace="0")
        if token == "~":
            return Element("mspace", width=SPACES[" "])
        if token == "/":
            return self.leaf("mo", "/", lspace="0", rspace="0", stretchy="false")
        if token in CHARACTERS:
            return self.leaf("mo", CHARACTERS[token])
        if token in SYMBOLS.values():
            return self.leaf("mo", token)
        if token.isalpha():
            return self.letter(token)
        raise MathError(f"{token!r} is not known in a formula")

    def command(self, name: str) -> Element:
        for table, tag in ((GREEK, "mi"), (LETTERS, "mi")):
            if name in table:
                return self.letter(table[name], tag)
        if name in CAPITALS:
            upright = self.variant is None
            element = self.letter(CAPITALS[name])
            if upright:  # TeX sets Greek capitals upright
                element.set("mathvariant", "normal")
            return element
        if name in SYMBOLS:
            element = self.leaf("mo", SYMBOLS[name])
            if name == "mid":
                element.attrib.update(lspace="0.2778em", rspace="0.2778em", stretchy="false")
            if name == "colon":
                element.attrib.update(lspace="0", rspace="0.2778em")
            return element
        if name in BIG:
            return self.leaf("mo", BIG[name], movablelimits="true")
        if name in INTEGRALS:
            return self.leaf("mo", INTEGRALS[name])
        if name in FUNCTIONS or name in LIMITS:
            text = {"liminf": "lim inf", "limsup": "lim sup"}.get(name, name)
            return self.function(text, name in LIMITS)
        if name in OPENING:
            return self.leaf("mo", OPENING[name], stretchy="false", form="prefix")
        if name in CLOSING:
            return self.leaf("mo", CLOSING[name], stretchy="false", form="postfix")
        if name in EITHER:
            return self.leaf("mo", EITHER[name], stretchy="false", lspace="0", rspace="0")
        if name in SPACES:
            return Element("mspace", width=SPACES[name])
        if name in ACCENTS:
            return self.accent(name)
        if name in BRACES:
            return self.brace(name)
        if name in TEXTS:
            return self.text(TEXTS[name])
        if name in VARIANTS:
            return self.alphabet(VARIANTS[name])
        if name in COLOURS:
            return self.coloured(name)
        if name.rstrip("lrm") in SIZES:
            size = SIZES[name.rstrip("lrm")]
            return self.delimiter(minsize=size, maxsize=size)
        method = getattr(self, f"do_{name}", None)
        if method is None:
            raise MathError(rf"\{name} is not known")
        return method()

    def function(self, text: str, limits: bool) -> Element:
        element = self.leaf("mo", text, form="prefix")
        if limits:
            element.set("movablelimits", "true")
        self.functions.append(element)
        return element

    def delimiter(self, **attributes: str) -> Element:
        token = self.take()
        table = OPENING | CLOSING | EITHER
        if token in ("|", "/"):
            return self.leaf("mo", token, stretchy="true", **attributes)
        token = token.lstrip("\\")
        if token == ".":
            return Element("mrow")
        if token not in table:
            raise MathError(f"{token} is not a bracket")
        form = {"form": "prefix"} if token in OPENING else {}
        form = {"form": "postfix"} if token in CLOSING else form
        return self.leaf("mo", table[token], stretchy="true", **form, **attributes)

    def accent(self, name: str) -> Element:
        stretchy = str(name.startswith(("wide", "over"))).lower()
        element = Element("mover", accent="true")
        element.append(self.argument())
        mark = self.leaf("mo", ACCENTS[name], stretchy=stretchy, lspace="0", rspace="0")
        element.append(mark)
        return element

    def brace(self, name: str) -> Element:
        element = Element("mover" if name == "overbrace" else "munder")
        element.append(self.argument())
        element.append(self.leaf("mo", BRACES[name], stretchy="true"))
        return element

    def text(self, variant: str) -> Element:
        parts = self.raw().split("$")
        if len(parts) % 2 == 0:
            raise MathError("a $ inside \\text is never closed")
        row = Element("mrow")
        for index, part in enumerate(parts):
            if index % 2:
                _Parser(part).everything(row)
            elif part:
                if "\\" in part.replace("\\ ", "").replace("\\%", ""):
                    raise MathError(f"a command inside \\text{{{part}}} needs $…$")
                plain = part.replace("\\ ", " ").replace("\\%", "%").replace("~", " ")
                text = self.leaf("mtext", re.sub(r"^\s+|\s+$", "\xa0", plain))
                if variant:
                    text.set("class", f"math-{variant}")
                row.append(text)
        return row[0] if len(row) == 1 else row

    def alphabet(self, variant: str) -> Element:
        outer, self.variant = self.variant, variant
        upright = variant in ("normal", "bold", "sans", "monospace")
        token = self.peek()
        start = self.position
        if token == "{" and upright:
            word = self.raw()
            if re.fullmatch(r"[A-Za-z]{2,}", word):  # one word, not a product of letters
                self.variant = outer
                return self.leaf("mi", _letters(word, variant))
            self.position = start
        element = self.argument()
        self.variant = outer
        return element

    def coloured(self, name: str) -> Element:
        style = Element("mrow", {"class": f"effnet-{name}"})
        style.append(self.argument())
        return style

    # -- commands with a method of their own -------------------------------------

    def do_frac(self, **attributes: str) -> Element:
        element = Element("mfrac", attributes)
        element.extend([self.argument(), self.argument()])
        return element

    def styled(self, displaystyle: bool) -> Element:
        style = Element("mstyle", displaystyle=str(displaystyle).lower(), scriptlevel="0")
        style.append(self.do_frac())
        return style

    def do_dfrac(self) -> Element:
        return self.styled(True)

    def do_tfrac(self) -> Element:
        return self.styled(False)

    def do_binom(self) -> Element:
        return self.fenced(self.do_frac(linethickness="0"), "()")

    def do_sqrt(self) -> Element:
        if self.peek() != "[":
            root = Element("msqrt")
            root.append(self.argument())
            return root
        self.take("[")
        index = self.group(stops=("]",))
        self.take("]")
        root = Element("mroot")
        root.extend([self.argument(), index])
        return root

    def do_left(self) -> Element:
        row = Element("mrow")
        row.append(self.delimiter())
        row.extend(self.row())
        self.take(r"\right")
        row.append(self.delimiter())
        return row

    def do_middle(self) -> Element:
        return self.delimiter()

    def do_operatorname(self) -> Element:
        starred = self.peek() == "*"
        if starred:
            self.take()
        name = self.raw().replace(r"\,", "\u2009").replace(r"\ ", " ")
        if "\\" in name:
            raise MathError(f"{name} is not a plain name")
        return self.function(name, starred)

    def do_textcolor(self) -> Element:
        colour = self.raw()
        names = {value.lower(): key for key, value in COLOURS.items()}
        if colour.lower() not in names:
            raise MathError(f"{colour} is not a house colour: {', '.join(COLOURS.values())}")
        return self.coloured(names[colour.lower()])

    def do_overset(self) -> Element:
        above, base = self.argument(), self.argument()
        element = Element("mover")
        element.extend([base, above])
        return element

    do_stackrel = do_overset

    def do_underset(self) -> Element:
        below, base = self.argument(), self.argument()
        element = Element("munder")
        element.extend([base, below])
        return element

    def do_underline(self) -> Element:
        element = Element("munder")
        element.extend([self.argument(), self.leaf("mo", "_", stretchy="true")])
        return element

    def do_phantom(self) -> Element:
        element = Element("mphantom")
        element.append(self.argument())
        return element

    def do_not(self) -> Element:
        token = self.take()
        known = {"=": "≠", r"\in": "∉", r"\equiv": "≢", r"\approx": "≉", "<": "≮", ">": "≯"}
        if token not in known:
            raise MathError(rf"\not{token} is not known")
        return self.leaf("mo", known[token])

    def do_begin(self) -> Element:
        name = self.raw()
        columns = self.raw() if name == "array" else ""
        if name not in MATRICES and name not in ALIGNED and name not in GATHERED:
            raise MathError(rf"\begin{{{name}}} is not known")
        table = Element("mtable")
        if name in ALIGNED:
            columns = "rl" * 20
            table.set("class", "aligned")
        if name in ALIGNED | GATHERED:
            table.set("displaystyle", "true")
        if name == "cases":
            columns = "l" * 20
            table.set("class", "cases")
        self.fill(table, columns, infix=name in ALIGNED)
        self.take(r"\end")
        if self.raw() != name:
            raise MathError(rf"\begin{{{name}}} has no \end of its own")
        return self.fenced(table, MATRICES.get(name, "  "))

    def fill(self, table: Element, columns: str, infix: bool) -> None:
        """The rows of a table; ``columns`` gives each column's side: l, c or r."""
        row = SubElement(table, "mtr")
        while True:
            cell = SubElement(row, "mtd")
            index = len(row) - 1
            if columns[index : index + 1] in ("l", "r"):
                cell.set("class", f"math-{columns[index]}")
            cell.extend(self.row(goes_on=infix and index % 2 == 1))
            token = self.peek()
            if token == "&":
                self.take()
            elif token == r"\\":
                self.take()
                if self.tokens[self.position : self.position + 1] == ["["]:
                    while self.take() != "]":
                        pass
                if self.peek() == r"\end":
                    break
                row = SubElement(table, "mtr")
            else:
                break

    def fenced(self, element: Element, fences: str) -> Element:
        if not fences.strip():
            return element
        row = Element("mrow")
        for fence, form in zip(fences, ("prefix", "postfix")):
            if form == "postfix":
                row.append(element)
            if fence != " ":
                row.append(self.leaf("mo", fence, stretchy="true", form=form))
        return row


# \{ and \} are brackets, \| a double bar: as commands they have one-character names.
OPENING["{"], CLOSING["}"] = "{", "}"
