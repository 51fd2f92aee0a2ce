"""Finding a user's files: the folders of images and of masks, what is in them, and which mask belongs to which image.

Nothing is passed over in silence: what is not read is an error, or a text in `notes`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..paths import SYSTEM_FILES
from ..slices import DataError
from .image_files import MOST_CHANNELS, SUFFIXES, suffix

IMAGE_FOLDERS = ("images", "imagestr")  # without regard to capitals; those in Tr are the names of MSD and nnU-Net
LABEL_FOLDERS = ("labels", "labelstr", "masks", "annotations")
TEST = ("test", "testing")  # the folder of a given test part
UNLABELLED_TEST = ("imagests", "labelsts")  # MSD's and nnU-Net's test images, which are not read
TABLE = "subjects.csv"
ABOUT = ("readme", "license", "licence", "citation", "changelog")  # how names of files about a set begin
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")

# A folder named like this may hold masks. Short words count only when they stand alone: "gt" also occurs in "length".
LIKE_MASKS = re.compile(r"label|mask|segm|annot|truth|contour|(?<![a-z])(segs?|gt|rois?|targets?)(?![a-z])")
# Endings by which the name of a mask may differ from that of its image.
MASK_ENDING = re.compile(r"[ ._-](masks?|labels?|labelmaps?|segm?|segmentations?|annotations?|gt|roi)$")
SEPARATOR = re.compile(r"[ ._(-]")  # between a name and what is added to it
IMAGE_ENDING = re.compile(r"[ ._-](0000|image|img)$")  # _0000 is nnU-Net's first channel
FIRST, SECOND = "_0000", "_0001"  # nnU-Net's endings of an image's first two channels
SHOWN = 3  # names that a message gives as examples


@dataclass(frozen=True)
class Part:
    """Folders whose files belong together.

    prefix  what the names of its images begin with: "" or, for a given test part, "test/"
    labels  None without masks
    """

    prefix: str
    images: Path
    labels: Path | None = None


def find_images(folder: Path, notes: list[str]) -> dict[str, Path]:
    """Name without ending -> image file in `folder`.

    Appends a text to `notes` for every file or folder that is not read. Raises DataError when there is no image, when
    names repeat, and when a file looks like the mask of another.
    """
    images = _list_files(folder, notes)
    if not images:
        raise DataError(
            f"{folder} holds no image ({_seen(folder)}); put one file per slice or volume there "
            f"({', '.join(SUFFIXES)}, or DICOM)."
        )
    plain = {stem.casefold(): file for stem, file in images.items()}
    for stem, file in images.items():
        bare = MASK_ENDING.sub("", stem.casefold())
        if bare in plain and plain[bare] != file:
            raise DataError(
                f"{file} looks like the mask of {plain[bare].name} beside it; move the masks into a folder labels "
                f"beside {folder.name}."
            )
    return images


def require_no_channels(images: dict[str, Path], labels: Path | None) -> None:
    """Raise DataError for files that are the channels of one image, as nnU-Net names them: X_0000, X_0001, ...

    Frames of a film are numbered alike, but have masks of their own names rather than one called X. Without masks, more
    files than an image may have channels count as frames.

    images  name -> file, from `find_images`
    labels  the folder of masks, or None
    """
    masks = [entry for entry in list_entries(labels) if suffix(entry) in SUFFIXES] if labels else []
    with_mask = {one for mask in masks for one in _readings(normal(mask.name[: -len(suffix(mask))]), MASK_ENDING)}
    for first in (stem for stem in images if stem.endswith(FIRST)):
        case = first.removesuffix(FIRST)
        second = case + SECOND
        if labels is None:
            channels = f"{case}_{MOST_CHANNELS:04d}" not in images
        else:
            channels = case.casefold() in with_mask and with_mask.isdisjoint((first.casefold(), second.casefold()))
        if channels and second in images:
            raise DataError(
                f"{images[first]} and {images[second].name} have the names of two channels of one image; join them in "
                "one 4-D NIfTI file with the channels last, keep one channel, or give single images other names."
            )


def find_masks(images: dict[str, Path], folder: Path, notes: list[str]) -> dict[str, Path]:
    """Name of an image -> its mask in `folder`: by equal names, or by names that differ in a known ending or capitals.

    Appends a text to `notes` for every file that is not read or not named as expected. Raises DataError, naming what
    was seen, for an image without a mask, and for names that allow two readings.
    """
    return _match(images, _list_files(folder, notes), folder, notes)


def find_parts(path: Path, notes: list[str]) -> list[Part]:
    """The folders of images and masks in `path`, and those in path/test where that holds images, too.

    A test part without masks is not read where the other images have masks. Notes and errors as in `find_folders`.
    """
    images, labels = find_folders(path, notes)
    given = [folder for folder in list_entries(path) if is_test_part(folder)]
    if len(given) > 1:
        raise DataError(f"{path} holds {_names(given)}, each of which may be the test part; keep one of them there.")
    parts = [Part("", images, labels)]
    for folder in given:
        its_images, its_labels = find_folders(folder, notes)
        if labels is not None and its_labels is None:
            notes.append(f"folder without masks, not read: {folder.name}")
            continue
        if labels is None and its_labels is not None:
            notes.append(f"folder of masks, which only {folder.name} has, not read")
            its_labels = None
        notes.append(f"folder of test images: {folder.name}")
        parts.append(Part(f"{folder.name}/", its_images, its_labels))
    return parts


def is_test_part(folder: Path) -> bool:
    """Whether `folder` is called test and has a folder of images."""
    if folder.name.casefold() not in TEST or not folder.is_dir():
        return False
    return any(normal(entry.name).casefold() in IMAGE_FOLDERS for entry in list_entries(folder))


def find_folders(path: Path, notes: list[str]) -> tuple[Path, Path | None]:
    """The folders of images and of masks below `path`; None in place of the second when nothing resembles it.

    Appends a text to `notes` for what is not read. Raises DataError, naming what was seen, for missing folders and for
    several that may be meant.
    """
    entries = {entry: normal(entry.name).casefold() for entry in list_entries(path)}
    folders = {entry: name for entry, name in entries.items() if entry.is_dir() or is_broken(entry)}
    images = [entry for entry, name in folders.items() if name in IMAGE_FOLDERS]
    if len(images) != 1:
        raise DataError(
            f"{path / 'images'} does not exist; put the images into a folder of that name ({_seen(path)})."
            if not images
            else f"{path} holds {_names(images)}, each of which may hold the images; keep one of them there."
        )
    archives = {entry: name for entry, name in entries.items() if name.endswith(ARCHIVES) and entry.is_file()}
    alike = [
        entry for entry, name in (folders | archives).items() if LIKE_MASKS.search(name) and name not in UNLABELLED_TEST
    ]
    known = [entry for entry in alike if entries[entry] in LABEL_FOLDERS]
    if len(alike) > 1 or len(known) < len(alike):
        raise DataError(
            f"{path} holds {_names(alike)}, which may hold masks; give the masks one folder called labels and move "
            "anything else away."
        )
    for folder in (*images, *known):
        require_content(folder)
    if known and known[0].name != "labels":
        notes.append(f"folder of masks: {known[0].name}")
    unread = [entry for entry in folders if entry not in (*images, *known) and not is_test_part(entry)]
    notes += [f"folder not read: {entry.name}" for entry in unread]
    notes += outside(entries, "the folder of images")
    return images[0], known[0] if known else None


def outside(entries: Iterable[Path], folders: str) -> list[str]:
    """A text for every file among `entries`, which lie beside `folders` and are not read.

    Without the table of subjects, which is read, and without files that only tell about a data set (`ABOUT`).
    """
    files = [entry for entry in entries if entry.is_file() and not entry.name.casefold().startswith(ABOUT)]
    kinds = ["images" if suffix(file) in SUFFIXES else "files" for file in files if file.name.casefold() != TABLE]
    return [f"{kind} outside {folders}, not read" for kind in kinds]


def list_entries(folder: Path) -> list[Path]:
    """Everything in `folder`, sorted, except hidden files and those that operating systems leave behind.

    Raises DataError when the folder may not be read, and for a name that is not UTF-8, which no record could hold.
    """
    try:
        entries = sorted(folder.iterdir())
        for entry in entries[:1]:
            entry.lstat()  # some folders may be listed but not entered
    except OSError as error:
        raise DataError(f"{folder} cannot be listed ({error.strerror}); check that you may read it.") from error
    entries = [e for e in entries if not e.name.startswith(".") and e.name.casefold() not in SYSTEM_FILES]
    for entry in entries:
        _require_readable_name(entry)
    return entries


def normal(text: str) -> str:
    """Unicode's composed form (NFC): one file system stores an accented letter as one character, another as two."""
    return unicodedata.normalize("NFC", text)


def is_broken(entry: Path) -> bool:
    """Whether `entry` is a link to something that is not there."""
    return entry.is_symlink() and not entry.exists()


def require_content(entry: Path) -> None:
    """Raise DataError for a link to something that is not there."""
    if is_broken(entry):
        raise DataError(
            f"{entry} is a link to {entry.readlink()}, which is not there; fetch its content (datalad get) or remove "
            "the link."
        )


def _list_files(folder: Path, notes: list[str]) -> dict[str, Path]:
    """Name without ending -> file of a known ending in `folder`; anything else is an error or reported in `notes`."""
    files: dict[str, Path] = {}
    unread = []
    for entry in list_entries(folder):
        require_content(entry)
        if entry.is_dir():
            unread.append(entry)
        elif suffix(entry) not in SUFFIXES:
            notes.append(f"files {f'ending in {suffix(entry)}' if suffix(entry) else 'without an ending'}, not read")
        else:
            stem = normal(entry.name[: -len(suffix(entry))])
            if stem in files:
                raise DataError(f"{entry} and {files[stem].name} share the name {stem!r}; rename or remove one.")
            files[stem] = entry
    full = [entry for entry in unread if _holds_images(entry)]
    if full:
        raise DataError(
            f"{folder} holds {_names(full)} with images that would not be read; move their files into {folder.name} "
            "itself and name the subjects in subjects.csv."
        )
    notes += [f"folder not read: {folder.name}/{entry.name}" for entry in unread]
    return files


def _require_readable_name(entry: Path) -> None:
    try:
        entry.name.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{ascii(str(entry))} has a name that is not UTF-8; rename it.") from error


def _holds_images(folder: Path) -> bool:
    return any(
        suffix(file) in SUFFIXES and not file.name.startswith(".") and (file.is_file() or is_broken(file))
        for file in folder.rglob("*")
    )


def _match(images: dict[str, Path], masks: dict[str, Path], folder: Path, notes: list[str]) -> dict[str, Path]:
    """Image name -> mask: by equal names, or by names that differ in a known ending or in capitals, one to one."""
    matched = {stem: stem for stem in images} if images.keys() <= masks.keys() else _by_readings(images, masks, folder)
    spare = masks.keys() - set(matched.values())
    stems = {stem.casefold() for stem in images}
    for mask in sorted(spare):
        # Such as a_2 or a_mask_2 beside a_mask: a second mask of one image. Others are of images that are not there.
        name = mask.casefold()
        if name in stems or any(name[: after.start()] in stems for after in SEPARATOR.finditer(name)):
            raise DataError(f"{masks[mask]} may be a second mask of an image; give each image one mask of its name.")
    notes += ["masks without an image, not read"] * len(spare)
    notes += ["masks whose names differ from the image's, matched one to one"] * sum(
        stem != mask for stem, mask in matched.items()
    )
    return {stem: masks[mask] for stem, mask in matched.items()}


def _by_readings(images: dict[str, Path], masks: dict[str, Path], folder: Path) -> dict[str, str]:
    """Image name -> name of its mask; DataError for an image without one, and where two pairs are possible."""
    readings: dict[str, set[str]] = {}
    for stem in masks:
        for reading in _readings(stem, MASK_ENDING):
            readings.setdefault(reading, set()).add(stem)
    matched: dict[str, str] = {}
    for stem, file in images.items():
        found = set().union(*(readings.get(reading, ()) for reading in _readings(stem, IMAGE_ENDING)))
        if not found:
            raise DataError(
                f"{file} has no mask in {folder} (which holds {_names(list_entries(folder))}); give the mask the name "
                f"{stem}, or move the image away."
            )
        if len(found) > 1:
            both = _names(masks[name] for name in sorted(found))
            raise DataError(f"{file} may belong to {both} in {folder}; give its mask the name {stem}.")
        matched[stem] = found.pop()
    owner = {mask: stem for stem, mask in matched.items()}
    for stem, mask in matched.items():
        if owner[mask] != stem:
            both = _names([images[stem], images[owner[mask]]])
            raise DataError(f"{masks[mask]} may be the mask of {both}; give each mask the name of its image.")
    return matched


def _readings(stem: str, ending: re.Pattern) -> set[str]:
    """The name without regard to capitals, with and without the ending."""
    return {stem.casefold(), ending.sub("", stem.casefold())}


def _names(files: Iterable[Path]) -> str:
    """The first file names, and how many more there are."""
    names = [file.name for file in files]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) or "nothing") + more


def _seen(folder: Path) -> str:
    return f"seen there: {_names(list_entries(folder))}"
