"""Radar scenes of a STAC catalogue: items, or collections of items as searches return them, saved as JSON."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from sar2opt_jax.scene import addresses

SUFFIXES = (".json", ".geojson")
RASTERS = re.compile(r"(?i)image/(tiff|vnd\.stac\.geotiff|jp2)|application/x-(geotiff|hdf5?|netcdf)|image/x\..*")
"""Media types of assets that hold a raster, such as ``image/tiff; application=geotiff; profile=cloud-optimized``."""
ASIDE = frozenset({"thumbnail", "overview", "metadata", "visual", "noise", "calibration", "mask", "data-mask"})
"""Roles of assets that are no radar image."""
_KEYS_OF_BANDS = ("bands", "eo:bands", "raster:bands")  # of STAC 1.1, and of extensions before it


class ItemFiles(NamedTuple):
    """The files of an item that a network takes.

    Attributes:
      source: one with all bands, or one for each band in the network's order.
      bands: numbers of the bands in the file; None where the file says itself.
    """

    source: tuple[str, ...]
    bands: tuple[str, ...] | None


class Asset(NamedTuple):
    """A raster of an item: its key, its address and the names of its bands."""

    key: str
    href: str
    bands: tuple[str, ...]


def items(path: Path) -> list[dict[str, Any]]:
    """The items in a JSON file.

    Raises:
      OSError: where it cannot be read.
      ValueError: where it holds no items.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}.") from None
    kind = content.get("type") if isinstance(content, dict) else type(content).__name__
    if kind == "Feature":
        found = [content]
    elif kind == "FeatureCollection":
        found = content.get("features")
    elif isinstance(content, list):
        found = content
    else:
        raise ValueError(
            f"{path} is of type {kind!r}; expected a STAC item (Feature), or the items of a search (FeatureCollection)."
        )
    if not isinstance(found, list) or not found:
        raise ValueError(f"{path} holds no STAC items.")
    for number, item in enumerate(found):
        if not isinstance(item, dict) or not isinstance(item.get("assets"), dict) or not item.get("id"):
            raise ValueError(f"{path}: feature {number} is no STAC item: it has no id, or no assets.")
    return found


def radar_files(item: Mapping[str, Any], wanted: Sequence[str], *, folder: Path) -> ItemFiles:
    """The radar image of an item.

    Bands are found by the names that the item gives them (``bands``, ``eo:bands``, ``sar:polarizations``), else by the
    assets' keys.

    Args:
      item: as ``items`` gives it.
      wanted: the bands that the network takes.
      folder: that of the item's file, which relative addresses are of.

    Raises:
      ValueError: without a radar image, or where it is not clear which one it is; with the assets that there are.
    """
    found = _rasters(item["assets"], folder)
    exact = [[asset for asset in found if _number(asset, name, exact=True)] for name in wanted]
    loose = [[asset for asset in found if _number(asset, name, exact=False)] for name in wanted]
    each = [one or other for one, other in zip(exact, loose, strict=True)]
    if all(each):
        together = [asset for asset in each[0] if all(asset in others for others in each[1:])]
        chosen = [together[:1]] * len(wanted) if len(together) == 1 else each
        if all(len(assets) == 1 for assets in chosen):
            return _files([assets[0] for assets in chosen], wanted)
        raise ValueError(f"item {item['id']} has several images of {', '.join(wanted)}: {_shown(item['assets'])}.")
    is_named = not all(re.fullmatch(r"band \d+", name) for name in wanted)
    if is_named or len(found) != 1:
        raise ValueError(
            f"item {item['id']} has no radar image with {', '.join(wanted)}; its assets: {_shown(item['assets'])}."
        )
    return ItemFiles((found[0].href,), None)


def _files(chosen: Sequence[Asset], wanted: Sequence[str]) -> ItemFiles:
    if len({asset.key for asset in chosen}) > 1:
        if odd := next((asset for asset in chosen if len(asset.bands) > 1), None):
            raise ValueError(
                f"asset {odd.key!r} holds {', '.join(odd.bands)}; expected {', '.join(wanted)} in one file."
            )
        return ItemFiles(tuple(asset.href for asset in chosen), None)
    [asset] = {*chosen}
    if len(asset.bands) == 1 and len(wanted) == 1:
        return ItemFiles((asset.href,), None)
    numbers = [_number(asset, name, exact=True) or _number(asset, name, exact=False) for name in wanted]
    return ItemFiles((asset.href,), tuple(map(str, numbers)))


def _rasters(assets: Mapping[str, Any], folder: Path) -> list[Asset]:
    found = []
    for key, asset in assets.items():
        href = asset.get("href") if isinstance(asset, dict) else None
        if not href or ASIDE & {*(asset.get("roles") or ())}:
            continue
        suffix = Path(urlsplit(href).path).suffix.lower()
        if RASTERS.match(asset["type"]) if asset.get("type") else suffix in (".tif", ".tiff", ".vrt", ".img", ".jp2"):
            found.append(Asset(key, _address(href, folder), _bands(key, asset)))
    return found


def _bands(key: str, asset: Mapping[str, Any]) -> tuple[str, ...]:
    for name in _KEYS_OF_BANDS:
        bands = asset.get(name) or ()
        names = [band.get("name") or band.get("description") for band in bands if isinstance(band, dict)]
        if names and all(names):
            return tuple(map(str, names))
    return tuple(asset.get("sar:polarizations") or (key,))


def _number(asset: Asset, wanted: str, *, exact: bool) -> int | None:
    """Which band of an asset has a name, from 1; not exact: which one has it as a part of its name."""
    wanted = wanted.casefold()
    for number, name in enumerate(asset.bands, 1):
        name = name.casefold()
        if name == wanted or (not exact and wanted in re.split(r"[^a-z0-9]+", name)):
            return number
    return None


def _address(href: str, folder: Path) -> str:
    if href.startswith("file://"):
        return unquote(urlsplit(href).path)
    return href if addresses.is_remote(href) else os.path.normpath(folder / href)


def _shown(assets: Mapping[str, Any]) -> str:
    def shown(key: str, asset: Any) -> str:
        about = asset if isinstance(asset, dict) else {}
        return f"{key} ({', '.join([*(about.get('roles') or ()), about.get('type') or 'no type'])})"

    return "; ".join(shown(key, asset) for key, asset in assets.items()) or "none"
