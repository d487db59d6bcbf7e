"""Finds SAR-optical pairs below a folder by the names of the files, and tells images from what lies beside them.

What lies beside images belongs to one of four kinds: what operating systems and network drives leave (passed over),
side files of GIS software (passed over), documents (passed over), and everything else, which is named as bad: among it
images in formats that are not read.
"""

import collections
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from tfds_builders.bad_files import BadFile, shown
from tfds_builders.files import KINDS, Kind, Layout, Pair, Patch
from tfds_builders.imagery.formats import SUFFIXES, conversion

IMAGE_SUFFIXES = SUFFIXES
"""Of the formats that any dataset here reads; their case does not matter."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LITTER_FOLDERS = _words(
    "__macosx $recycle.bin recycler #recycle @recycle @eadir @tmp #snapshot @recently-snapshot lost+found"
) | {"system volume information"}
_LITTER = re.compile(r"\.|~\$|(ehthumbs(_vista)?|thumbs)\.db|desktop\.ini$|icon\r$|.*(~|:zone\.identifier)$")
"""Names, in lower case, that start like this: hidden files, locks of office software, thumbnails, editors' backups."""
_SIDECARS = _words(
    # GDAL, ESRI, QGIS, ENVI, SNAP and the vendors of images: metadata, pyramids, georeference, styles, tables.
    ".xml .ovr .msk .rrd .aux .hdr .rpb .rpc .imd .pvl .eph .att .geo .til .stx .enp .imx .pyr .clr .lut "
    ".tfw .tfwx .tifw .tiffw .pgw .pgwx .pngw .jgw .jgwx .jpgw .jpegw .j2w .wld .prj .qpj .points "
    ".qml .qmd .qgs .qgz .sld .lyr .lyrx .mxd .aprx .dbf .cpg .shp .shx .sbn .sbx .gpkg .geojson .kml .kmz "
    ".md5 .sha1 .sha256 .sha512 .lnk .url"
)
_DOCUMENT = re.compile(
    r"(read_?me|licen[cs]e|copying|notice|citation|authors|change_?log|(md5|sha\d+|check)_?sums?)([ ._-][^.]*)?"
    r"(\.(txt|md|rst|html?|pdf|docx?|rtf|json|ya?ml|cff|bib|csv))?"
)
_UNREAD = _words(
    ".jp2 .j2k .jpx .webp .bmp .gif .heic .heif .avif .jxl .ppm .pgm .pnm .tga .exr .dng .vrt .img .dat .bin .raw .bil "
    ".bip .bsq .grd .sdat .ecw .sid .ntf .nitf .hdf .hdf5 .h5 .he5 .nc .nc4 .cdf .grib .mat .npy .npz .pt .pth .pkl "
    ".pickle .safetensors .tfrecord .parquet .zarr .zip .tar .tgz .gz .bz2 .xz .7z .rar .zst"
)
"""Of images, arrays and archives in formats that no dataset here reads."""


def find_pairs(root: Path, layout: Layout) -> tuple[list[Pair], list[BadFile]]:
    """Pairs by id, from the names of the files alone.

    Symbolic links are followed, except to a folder that they lie in. Ids are in Unicode's composed form (NFC), so that
    names written on macOS (NFD) and elsewhere pair.

    Returns:
        The pairs, sorted by id; and what cannot be used: files without a partner, with an id that another file has
        already, in a format that is not read, with a name that is not UTF-8, that are no patch although their folder
        holds patches; and folders that cannot be read.
    """
    bad: list[BadFile] = []
    files: dict[str, dict[Kind, tuple[Path, Patch]]] = collections.defaultdict(dict)
    unread: dict[tuple[str, Kind], Path] = {}

    for folder, names in _folders(root, bad):
        patches = {path: _patch(path, layout) for path in (folder / name for name in names)}
        stems = {path.stem for path, patch in patches.items() if patch is not None}
        for path, patch in patches.items():
            if patch is not None:
                if patch.kind in files[patch.id]:
                    bad.append(BadFile(path, f"the same patch as {shown(files[patch.id][patch.kind][0])}"))
                else:
                    files[patch.id][patch.kind] = (path, patch)
            elif (meant := _meant(path, layout)) is not None:
                as_read, suffixes = meant
                unread[as_read.id, as_read.kind] = path
                how = conversion(path)
                reason = f"{path.suffix} files are not read: convert them to {suffixes}" + (f"; {how}" if how else "")
                bad.append(BadFile(path, reason))
            elif stems and not _beside(path, stems):
                bad.append(BadFile(path, "not an image of this dataset, among its images"))

    pairs: list[Pair] = []
    lone: dict[str, tuple[Kind, Path]] = {}
    for name, found in sorted(files.items()):
        if len(found) == 2:
            (sar, patch), (optical, partner) = found["sar"], found["optical"]
            # A layout may tell the terrain by the folder of one kind only.
            patch = patch._replace(terrain=patch.terrain or partner.terrain)
            pairs.append(Pair(patch=patch, sar=sar, optical=optical))
        elif found:
            [(kind, (path, _))] = found.items()
            lone[name] = kind, path
    return pairs, bad + _without_partner(lone, unread)


def folded(name: str) -> str:
    """A name as file systems compare it that do not tell upper from lower case; composed (NFC)."""
    return unicodedata.normalize("NFC", name).casefold()


def is_litter(name: str) -> bool:
    """Whether an operating system or a network drive left this file; hidden files count as such."""
    return _LITTER.match(name.lower()) is not None


def _folders(root: Path, bad: list[BadFile]) -> Iterator[tuple[Path, list[str]]]:
    """The folders from ``root`` on, each with the names of its files that are to be looked at.

    What cannot be read, and names that are not UTF-8, are added to ``bad``.
    """
    waiting: list[tuple[Path, frozenset[tuple[int, int]]]] = [(root, frozenset())]
    while waiting:
        folder, above = waiting.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in above:
                continue  # A link to a folder that it lies in: nothing new, for ever.
            with os.scandir(folder) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            bad.append(BadFile(folder, f"unreadable folder: {error.strerror}"))
            continue
        above |= {(status.st_dev, status.st_ino)}
        names, subfolders = [], []
        for entry in entries:
            is_folder = _is_folder(entry)
            if is_litter(entry.name) or (is_folder and entry.name.lower() in _LITTER_FOLDERS):
                continue
            if not _is_utf8(entry.name):
                bad.append(BadFile(folder / entry.name, "the name is not UTF-8: rename it, or unpack it as UTF-8"))
            elif is_folder:
                subfolders.append((folder / entry.name, above))
            elif _is_special(entry):
                bad.append(BadFile(folder / entry.name, "not a file"))
            else:
                names.append(entry.name)
        waiting += reversed(subfolders)
        yield folder, names


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link to itself; reading it as a file says so.
        return False


def _is_special(entry: os.DirEntry[str]) -> bool:
    """Whether this is a pipe, a socket or a device: reading one may wait for ever."""
    try:
        return not entry.is_symlink() and not entry.is_file()
    except OSError:
        return False


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _patch(path: Path, layout: Layout) -> Patch | None:
    """What the layout reads of a path, composed (NFC)."""
    patch = layout(path)
    return None if patch is None else Patch(*(unicodedata.normalize("NFC", text) for text in patch))  # pyright: ignore[reportArgumentType]


def _meant(path: Path, layout: Layout) -> tuple[Patch, str] | None:
    """The patch that a file would hold in a format that is read, and the suffixes of these formats; or None."""
    if path.suffix.lower() not in _UNREAD and path.suffix.lower() not in IMAGE_SUFFIXES:
        return None
    found = {suffix: _patch(path.with_suffix(suffix), layout) for suffix in IMAGE_SUFFIXES}
    patches = {suffix: patch for suffix, patch in found.items() if patch is not None}
    if not patches:
        return None
    *most, last = patches
    return patches[last], f"{', '.join(most)} or {last}" if most else last


def _beside(path: Path, stems: set[str]) -> bool:
    """Whether a file belongs beside images: a side file, a document, or anything that has an image's name."""
    if path.suffix.lower() in _UNREAD or path.suffix.lower() in IMAGE_SUFFIXES:
        return False
    if path.suffix.lower() in _SIDECARS or _DOCUMENT.fullmatch(path.name.lower()):
        return True
    parts = path.name.split(".")
    return any(".".join(parts[:end]) in stems for end in range(1, len(parts)))


def _without_partner(lone: dict[str, tuple[Kind, Path]], unread: dict[tuple[str, Kind], Path]) -> list[BadFile]:
    """The files without a partner, each with what comes nearest to one."""
    spelled: dict[tuple[str, Kind], Path] = {(folded(name), kind): path for name, (kind, path) in lone.items()}
    bad = []
    for name, (kind, path) in lone.items():
        partner = KINDS[1 - KINDS.index(kind)]
        reason = f"no {'optical' if partner == 'optical' else 'SAR'} partner"
        if (other := unread.get((name, partner))) is not None:
            reason += f" in a format that is read: there is {shown(other)}"
        elif (other := spelled.get((folded(name), partner))) is not None:
            reason += f" of this spelling: upper and lower case differ in {shown(other)}"
        bad.append(BadFile(path, reason))
    return bad
