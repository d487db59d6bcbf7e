"""A trained network as two files that are easy to hand on: ``description.json`` and ``parameters.safetensors``.

What ``sar2opt export`` writes beside its program, and the form of the models that come with the package. There is
nothing in it to resume a training from.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from sar2opt_jax import paths
from sar2opt_jax.description import DTYPES, Description
from sar2opt_jax.export import Export
from sar2opt_jax.interop import json_file, tensors
from sar2opt_jax.interop.standalone import DESCRIPTION, PARAMETERS
from sar2opt_jax.types import Params, look_up, make_key

SEPARATOR = "."
"""Between the names of modules in the name of a parameter."""


def flat(params: Params) -> dict[str, Any]:
    """The leaves of nested parameters by name; ``nested`` is the inverse."""
    return cast(dict[str, Any], flatten_dict(dict(params), sep=SEPARATOR))


def nested(params: Mapping[str, Any]) -> Params:
    """Parameters as networks take them."""
    return unflatten_dict(dict(params), sep=SEPARATOR)


def is_one(path: Path) -> bool:
    """Whether a folder has both files."""
    return (path / DESCRIPTION).is_file() and (path / PARAMETERS).is_file()


def write(directory: Path, trained: Export, *, dtype: str = "float32", more: Mapping[str, Any] | None = None) -> None:
    """Writes the network that translates.

    Args:
      directory: an existing one.
      trained: the network.
      dtype: of the parameters in the file, one of ``DTYPES``; bfloat16 halves its size and rounds to 3 digits.
      more: plain JSON to stand beside the description.
    """
    kind = look_up("dtype", dtype, DTYPES)
    stored = {name: np.asarray(value).astype(kind) for name, value in flat(trained.params).items()}
    tensors.write(directory / PARAMETERS, stored)
    about = {"description": trained.description.to_json(), **(more or {})}
    paths.write_json(directory / DESCRIPTION, about)


def read(directory: Path) -> Export:
    """The network that ``write`` wrote, in float32.

    Raises:
      FileNotFoundError: where a file is missing.
      ValueError: for files that are corrupt, of a later version, or do not belong together.
    """
    where = directory / DESCRIPTION
    try:
        about = Description.from_json(json_file.read(where)["description"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{where} has no valid description: {type(error).__name__} {error}.") from error
    except ValueError as error:
        raise ValueError(str(error) if str(where) in str(error) else f"{where}: {error}") from error
    stored, _ = tensors.read(directory / PARAMETERS)
    found = {name: tensor.shape for name, tensor in stored.items()}
    expected = _shapes(about)
    if found != expected:
        name = next(name for name in (*expected, *found) if found.get(name) != expected.get(name))
        raise ValueError(
            f"{directory / PARAMETERS}: the parameter {name} has shape {found.get(name)}; {DESCRIPTION} beside it asks "
            f"for {expected.get(name)}. Take both files from one export."
        )
    return Export(networks={"unet": nested(stored)}, description=about)


def _shapes(about: Description) -> dict[str, tuple[int, ...]]:
    """Of the parameters of the described network, by name."""
    unet = about.unet.make()
    inputs = unet.input_shapes(image_size=unet.size_multiple, sar_channels=len(about.radar.bands))
    params: Any = jax.eval_shape(unet.init, make_key(0), *inputs)["params"]
    return {name: leaf.shape for name, leaf in flat(params).items()}
