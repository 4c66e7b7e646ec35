"""Folders of images: which folder is which split, which file is an image, and what is passed over.

Two layouts are read. Either there are folders of the splits (``train``, and ``val`` or ``test`` or both
beside it, under any name in ``SPLITS``, in upper or lower case) with one folder per class in each; or the
class folders lie there alone. All images below a class folder belong to the class, however deep they lie.

Nothing here needs more than the standard library, and Pillow for the list of endings it can read.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ..files import expand, find_folder, image_endings, shown
from .errors import ConfigError, RunError

#: Names under which the folders of the splits go, in lower case and without what stands in ``_FILLERS``.
SPLITS = {
    "train": ("train", "training", "trn", "trainval"),
    "val": ("val", "valid", "validate", "validation", "vld", "dev", "development"),
    "test": ("test", "testing", "tests", "tst", "eval", "evaluation", "holdout"),
}

_ROLES = {name: role for role, names in SPLITS.items() for name in names}
_FILLERS = {
    "set",
    "data",
    "dataset",
    "split",
    "folder",
    "image",
    "images",
    "img",
    "imgs",
    "photos",
    "pictures",
}

#: What systems and programs put into folders for themselves, in lower case; and all that begins with a dot.
HIDDEN = {
    "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir", "@__thumb", "@recycle", "#recycle",
    "lost+found", "found.000", "network trash folder", "temporary items", "cvs", "$recycle.bin", "recycler", "system volume information", "__pycache__",
}  # fmt: skip

# Endings of pictures that Pillow cannot read by itself, and first bytes of common ones.
_FOREIGN = {
    ".heic",
    ".heif",
    ".jxl",
    ".svg",
    ".pdf",
    ".eps",
    ".cr2",
    ".cr3",
    ".nef",
    ".arw",
    ".dng",
    ".raf",
    ".orf",
}
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst")


@dataclass
class Tree:
    """What lies in a folder of images.

    Attributes:
        root: the folder.
        classes: names of the class folders, in the order of the labels.
        folders: the folder of each split found, by ``train``, ``val`` and ``test``; empty where the class
            folders lie in ``root`` alone.
        files: by the same names (``train`` for class folders alone), label and path of every image, by
            class and then by path.
        found: what there is, in one line or two.
        warnings: what somebody should look at, a line each.
    """

    root: Path
    classes: tuple[str, ...]
    folders: dict[str, Path]
    files: dict[str, list[tuple[int, str]]]
    found: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def split_of(name: str) -> str | None:
    """The split that a folder's name stands for: ``train``, ``val``, ``test`` or None.

    >>> split_of("Training_Set"), split_of("VALID"), split_of("cats")
    ('train', 'val', None)
    """
    roles = [_ROLES.get(word) for word in _words(name) if word not in _FILLERS]
    return roles[0] if len(roles) == 1 else None


def find_tree(data: str | os.PathLike) -> Path:
    """The folder that ``data`` names.

    Raises:
        ConfigError: there is none; an archive or another file is there in its place.
    """
    try:
        path = expand(data)
        is_file = data != "" and path.is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a zero byte
        is_file = False
    if is_file:
        advice = (
            "unpack it and give the folder"
            if _ending(path.name) in _ARCHIVES
            else "give the folder of the images"
        )
        what = "an archive" if _ending(path.name) in _ARCHIVES else "a file"
        raise ConfigError(f"data must be a folder, and {shown(path)} is {what}: {advice}")
    return find_folder(
        data, "digits, cifar10, cifar100 or the path of a folder of images as data", ConfigError
    )


def read_tree(root: Path) -> Tree:
    """Find splits, classes and images under ``root``; no image is opened.

    What is hidden is passed over, and every real folder and file is taken once, whatever links lead there.

    Raises:
        ConfigError: the folders cannot be understood; the message says how they should be.
        RunError: a folder may not be read.
    """
    return _Reader(root).read()


class _Reader:
    """One walk through a tree, with the counts of what was passed over."""

    def __init__(self, root: Path):
        self.root = root
        self.ignored, self.foreign, self.links = Counter(), Counter(), 0
        self.warnings: list[str] = []
        self.seen: dict[str, str] = {}  # real path of a folder: where it was seen
        self.symlinks: list[str] = []  # paths of images that are links

    def read(self) -> Tree:
        self.seen[os.path.realpath(self.root)] = str(self.root)
        splits = self.find_splits()
        tops = {part: self.class_folders(folder) for part, folder in (splits or {"train": self.root}).items()}
        classes = tuple(sorted(tops["train"]))
        if not splits:
            self.refuse_splits_in_classes(tops["train"])
        for part, names in tops.items():
            self.compare(splits.get(part), classes, names)
        if len(classes) < 2:
            self.too_few(splits, classes)
        files = self.without_copies(self.walk(classes, tops))
        for part, found in files.items():
            self.all_filled(splits.get(part, self.root), classes, found)
        self.alike(classes)
        tree = Tree(self.root, classes, splits, files)
        tree.found, tree.warnings = self.describe(tree), self.warnings + self.about_foreign()
        return tree

    # Which folder is what

    def find_splits(self) -> dict[str, Path]:
        """The folders of the splits under the root; empty where class folders lie there alone."""
        folders, pictures = self.look_into(self.root)
        if not any(map(split_of, folders)):
            self.refuse_unusual_splits(folders)
            return {}
        named = {name: role for name in folders if (role := split_of(name))}
        flat = {name for name in named if self.is_flat(folders[name])}
        others = [name for name in folders if name not in named]
        filled = [name for name in others if self.holds_images(folders[name])]
        if (
            filled
        ):  # a split has class folders in it: what has pictures right there may be a class of that name
            flat_tests = sorted(name for name in flat if named[name] == "test")
            if flat_tests and flat == set(named):
                raise ConfigError(
                    f"{shown(self.root)} has class folders such as {shown(filled[0])!r}, and the folder "
                    f"{flat_tests[0]!r} "
                    "with images and no class folders: if that is a class, give it another name; if it "
                    "holds test "
                    "images, put a folder for each class into it, and the class folders beside it into a "
                    "folder train"
                )
            if flat == set(named):
                for name in sorted(flat):
                    self.warnings.append(
                        f"the folder {name!r} is read as a class, since it holds images and no class folders"
                    )
                named = {}
        if not named:
            return {}
        splits: dict[str, Path] = {}
        for name, role in sorted(named.items()):
            if role in splits:
                raise ConfigError(
                    f"{shown(self.root)} has two folders for one split, {splits[role].name!r} and "
                    f"{name!r}: leave one"
                )
            splits[role] = folders[name]
        splits = {role: splits[role] for role in SPLITS if role in splits}
        if "train" not in splits:
            names = " and ".join(shown(path.name) for path in splits.values())
            raise ConfigError(
                f"{shown(self.root)} has {names} but no train folder: put the class folders for training "
                "into one"
            )
        if filled and len(splits) == 1:
            raise ConfigError(
                f"{shown(self.root)} has the folder {splits['train'].name!r}, a split's name, beside "
                f"{shown(filled[0])!r}, "
                "which holds images too: if both are classes, give the first another name; if not, move "
                "the second elsewhere"
            )
        self.own(splits)
        self.count_ignored(self.root)
        if empty := len(set(others) - set(filled)):
            self.ignored["other folder" + "s" * (empty > 1)] += empty
        if pictures:
            self.loose(self.root, pictures)
        if filled:
            self.warnings.append(
                f"not read: {_names(filled)} in {shown(self.root)}, which no split is called (train, val, "
                "test)"
            )
        return splits

    def refuse_unusual_splits(self, folders: dict[str, Path]) -> None:
        """Folders such as ``part_train`` and ``part_test`` are no classes, nor are ``trainA`` and ``testA``."""
        nested, flat = {}, {}  # role, and role by the rest of the name: the folder
        for name, folder in sorted(folders.items()):
            words = _words(name)
            rest = tuple(word for word in words if word not in _ROLES)
            for role in {_ROLES[word] for word in words if word in _ROLES}:
                flat.setdefault(rest, {})[role] = name
                if not self.look_into(folder)[1]:
                    nested[role] = name
        for roles in (nested, *flat.values()):
            if len(roles) > 1 and "train" in roles:
                raise ConfigError(
                    f"{_names(roles[role] for role in SPLITS if role in roles)} in {shown(self.root)} look "
                    "like splits: call them train, val and test, "
                    "and put one folder per class into each"
                )

    def refuse_splits_in_classes(self, classes: dict[str, Path]) -> None:
        """Folders such as ``cats/train`` and ``cats/test`` are splits, though they lie the other way round."""
        for name, folder in sorted(classes.items()):
            roles = {role: inner for inner in self.look_into(folder)[0] if (role := split_of(inner))}
            if len(roles) > 1 and "train" in roles:
                found = _names(roles[role] for role in SPLITS if role in roles)
                raise ConfigError(
                    f"the class folder {shown(name)!r} in {shown(self.root)} has {found} inside: put the splits "
                    f"outside and the classes inside, as in {shown(roles['train'])}/{shown(name)}"
                )

    def class_folders(self, folder: Path) -> dict[str, Path]:
        """Name and path of each class folder."""
        found, pictures = self.look_into(folder)
        self.count_ignored(folder)
        if not found:
            if pictures:
                raise ConfigError(
                    f"{shown(folder)} has no class folders, and {pictures:,} images: put the images of "
                    "each class into a "
                    "folder with the name of the class, or move the images elsewhere if their classes are "
                    "unknown"
                )
            packed = [entry.name for entry in _entries(folder) if _ending(entry.name) in _ARCHIVES]
            raise ConfigError(
                f"{shown(folder)} has no class folders: "
                + (
                    f"unpack {shown(packed[0])} first"
                    if packed
                    else "put a folder with images there for each class"
                )
            )
        if unreadable := [name for name in found if not _is_text(name)]:
            raise ConfigError(
                f"the class folder {shown(unreadable[0])!r} in {shown(folder)} has a name that is no "
                "UTF-8: rename it"
            )
        if pictures:
            self.loose(folder, pictures)
        self.own(found)
        return found

    def own(self, folders: dict[str, Path]) -> None:
        """Each of these is a folder of its own, and no link elsewhere leads into it again."""
        for path in folders.values():
            real = os.path.realpath(path)
            if real in self.seen or self.is_above(real):
                raise ConfigError(
                    f"{shown(path)} leads to {shown(self.seen.get(real, real))}, which is read already: "
                    "remove the link"
                )
            self.seen[real] = str(path)

    def compare(self, folder: Path | None, classes: tuple[str, ...], names) -> None:
        """Every split must have the classes of the training images."""
        missing, extra = sorted(set(classes) - set(names)), sorted(set(names) - set(classes))
        for name in missing:
            if near := [other for other in extra if other.casefold() == name.casefold()]:
                raise ConfigError(
                    f"{shown(folder)} has the class folder {shown(near[0])!r}, which the training images "
                    "spell "
                    f"{shown(name)!r}: give both one name"
                )
        if missing:
            raise ConfigError(
                f"{shown(folder)} lacks the class folder {shown(missing[0])!r}, which the training images "
                "have: "
                "every split needs all classes"
            )
        if extra:
            raise ConfigError(
                f"{shown(folder)} has the class folder {shown(extra[0])!r}, which the training images lack: "
                "every split needs the same classes"
            )

    def too_few(self, splits: dict[str, Path], classes: tuple[str, ...]) -> None:
        folder = splits.get("train", self.root)
        inside = folder / classes[0]
        deeper = self.is_tree(inside)
        advice = f"move them up into {shown(folder)}" if splits else f"give {shown(inside)} as data"
        raise ConfigError(
            f"at least two classes are needed, and {shown(folder)} has one folder, {shown(classes[0])!r}"
            + (
                f": if the classes are inside, {advice}"
                if deeper
                else ": add another class folder"
            )
        )

    def alike(self, classes: tuple[str, ...]) -> None:
        """Classes whose names differ in case alone are mostly an accident."""
        first: dict[str, str] = {}
        for name in classes:
            other = first.setdefault(name.casefold(), name)
            if other != name:
                self.warnings.append(
                    f"the classes {shown(other)!r} and {shown(name)!r} differ in case alone, and are two"
                )

    def all_filled(self, folder: Path, classes: tuple[str, ...], found: list[tuple[int, str]]) -> None:
        filled = {label for label, _ in found}
        for label, name in enumerate(classes):
            if label not in filled:
                inside = _Reader(self.root)
                inside.images(folder / name, [])
                rest = inside.summary()
                raise ConfigError(
                    f"the class folder {shown(folder / name)} holds no images"
                    + (f" that can be read (there are {rest})" if rest else "")
                    + (": unpack what is packed" if any(e in inside.ignored for e in _ARCHIVES) else "")
                    + ": put images such as .jpg or .png there, or remove the folder"
                )

    # Walking

    def look_into(self, folder: Path) -> tuple[dict[str, Path], int]:
        """Folders in ``folder`` that are not hidden, and the number of images right there."""
        entries = [entry for entry in _entries(folder) if not is_hidden(entry.name)]
        folders = {entry.name: folder / entry.name for entry in entries if _is_folder(entry)}
        return folders, sum(_is_image(entry) for entry in entries)

    def is_flat(self, folder: Path) -> bool:
        """Whether it has images right there, and no folders."""
        folders, pictures = self.look_into(folder)
        return pictures > 0 and not folders

    def holds_images(self, folder: Path) -> bool:
        """Whether an image lies somewhere below; links are not followed."""
        folders, pictures = self.look_into(folder)
        return pictures > 0 or any(
            not path.is_symlink() and self.holds_images(path) for path in folders.values()
        )

    def is_tree(self, folder: Path) -> bool:
        return len(self.look_into(folder)[0]) > 1

    def loose(self, folder: Path, pictures: int) -> None:
        self.warnings.append(
            f"not read: {_count(pictures, 'image')} in {shown(folder)} outside the class folders"
        )

    def count_ignored(self, folder: Path) -> None:
        """Count what lies beside the class folders."""
        for entry in _entries(folder):
            if is_hidden(entry.name):
                self.ignored["hidden"] += 1
            elif not _is_folder(entry) and not _is_image(entry):
                self.pass_over(entry)

    def pass_over(self, entry: os.DirEntry) -> None:
        ending = _ending(entry.name)
        self.ignored[ending or "without an ending"] += 1
        if ending in _FOREIGN or _looks_like_image(entry):
            self.foreign[ending or "files without an ending"] += 1

    def walk(
        self, classes: tuple[str, ...], tops: dict[str, dict[str, Path]]
    ) -> dict[str, list[tuple[int, str]]]:
        """Label and path of each image of each split: first all that lies there, then where links lead."""
        places = [(part, label, tops[part][name]) for part in tops for label, name in enumerate(classes)]
        links: list[list[Path]] = [[] for _ in places]
        found = [self.images(folder, waiting) for (_, _, folder), waiting in zip(places, links)]
        for paths, waiting in zip(found, links):
            for link in waiting:  # grows while it is read
                real = os.path.realpath(link)
                if real in self.seen or self.is_above(real):
                    self.links += 1
                else:
                    self.seen[real] = str(link)
                    paths += self.images(link, waiting)
        files: dict[str, list[tuple[int, str]]] = {part: [] for part in tops}
        for (part, label, _), paths in zip(places, found):
            files[part] += [(label, path) for path in sorted(paths)]
        return files

    def images(self, folder: Path, links: list[Path]) -> list[str]:
        """Paths of the images below a class folder; links to folders are put into ``links``."""
        found, waiting = [], [folder]
        while waiting:
            here = waiting.pop()
            for entry in _entries(here):
                path = here / entry.name
                if is_hidden(entry.name):
                    self.ignored["hidden"] += 1
                elif _is_folder(entry) and entry.is_symlink():
                    links.append(path)
                elif _is_folder(entry):
                    real = os.path.realpath(path)
                    if self.seen.setdefault(real, str(path)) == str(path):
                        waiting.append(path)
                elif _is_image(entry):
                    found.append(str(path))
                    if entry.is_symlink():
                        self.symlinks.append(str(path))
                else:
                    self.pass_over(entry)
        return found

    def is_above(self, real: str) -> bool:
        """Whether the root lies in that folder: following the link would go round in a circle."""
        return os.path.realpath(self.root).startswith(real.rstrip(os.sep) + os.sep)

    def without_copies(self, files: dict[str, list[tuple[int, str]]]) -> dict[str, list[tuple[int, str]]]:
        """Leave out links to files that are there already, real ones before links."""
        if not self.symlinks:
            return files
        links = set(self.symlinks)
        paths = [path for found in files.values() for _, path in found]
        there = {os.path.realpath(path) for path in paths if path not in links}
        copies = set()
        for path in filter(links.__contains__, paths):
            real = os.path.realpath(path)
            if real in there:
                copies.add(path)
            there.add(real)
        self.links += len(copies)
        return {
            part: [(label, path) for label, path in found if path not in copies]
            for part, found in files.items()
        }

    # What was found

    def describe(self, tree: Tree) -> list[str]:
        total = sum(map(len, tree.files.values()))
        lines = [
            f"{shown(self.root)}: {_count(total, 'image')} in {len(tree.classes)} classes "
            f"({_names(tree.classes)})"
        ]
        if tree.folders:
            parts = [
                f"{shown(folder.name)}/ {len(tree.files[part]):,}" for part, folder in tree.folders.items()
            ]
            lines[0] += "; " + ", ".join(parts)
        if rest := self.summary():
            lines.append(f"not read: {rest}")
        return lines

    def summary(self) -> str:
        """What was passed over, by kind."""
        kinds = sorted(self.ignored.items(), key=lambda pair: (-pair[1], pair[0]))
        parts = [f"{count:,} {shown(kind, 20)}" for kind, count in kinds[:8]]
        if len(kinds) > 8:
            parts.append(f"{sum(count for _, count in kinds[8:]):,} of other kinds")
        if self.links:
            parts.append(f"{_count(self.links, 'link')} to what is read already")
        return ", ".join(parts)

    def about_foreign(self) -> list[str]:
        if not self.foreign:
            return []
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.foreign.items()))
        return [
            f"not read, though they look like images: {kinds}. Convert them to JPEG or PNG, or give the "
            "names an ending "
            "such as .jpg, to train on them"
        ]


def is_hidden(name: str) -> bool:
    """Whether a file or folder is one that systems and programs keep for themselves.

    >>> is_hidden("._photo.jpg"), is_hidden("Thumbs.db"), is_hidden("photo.jpg")
    (True, True, False)
    """
    return name.startswith((".", "~$")) or name.lower() in HIDDEN


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise RunError(
            f"the folder {shown(folder)} cannot be read: {error.strerror}: check its permissions"
        ) from None


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(entry: os.DirEntry) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _is_image(entry: os.DirEntry) -> bool:
    """Whether it is a file, or a broken link, with the name of an image; no pipe, no device."""
    if _ending(entry.name) not in image_endings():
        return False
    return _is_file(entry) or (entry.is_symlink() and not os.path.exists(entry.path))


def _looks_like_image(entry: os.DirEntry) -> bool:
    """Whether a file with the name of something else begins as an image does."""
    try:
        if not _is_file(entry) or _ending(entry.name) in (".txt", ".csv", ".json", ".xml", *_ARCHIVES):
            return False
        with open(entry.path, "rb") as file:
            start = file.read(12)
    except OSError:
        return False
    return start.startswith(_STARTS) or (start[:4] == b"RIFF" and start[8:] == b"WEBP")


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _words(name: str) -> list[str]:
    """Words of a name in lower case: those of ``trainImages``, ``train_images2`` and ``Trainset`` begin alike."""
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())
    stems = {word + tail: word for word in _ROLES for tail in _FILLERS}
    return [stems.get(word, word) for word in words]


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:  # bytes of another encoding, as the file system has them
        return False


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _names(names, limit: int = 8) -> str:
    """Some names for a message, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(shown(name, 40) for name in names[:limit]) + more
