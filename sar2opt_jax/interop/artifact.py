"""A translator as a folder that runs without this package: program, parameters, description and a script."""

import functools
import shutil
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export

from sar2opt_jax.description import DTYPES
from sar2opt_jax.export import Export, parameters_digest
from sar2opt_jax.interop import model_folder, standalone
from sar2opt_jax.translator import Method, Translator
from sar2opt_jax.types import Array, make_key

PLATFORMS = ("cpu", "cuda", "tpu")
"""What the program is lowered for; it is compiled where it runs."""


def write(directory: Path, trained: Export, *, method: Method, dtype: str = "float32") -> None:
    """Writes a model folder (``model_folder``) with ``translator.stablehlo`` and ``run.py`` beside it.

    The program takes parameters by name, radar images [batch, height, width, band] uint8 with sides that are multiples
    of ``size_multiple``, and a seed (uint32, of the noise of image 0, 1, ...); it gives optical images
    [batch, height, width, 3] uint8. Batch, height and width are open; it computes in float32.

    Args:
      directory: an existing one.
      trained: the network.
      method: how it is sampled, fixed in the program.
      dtype: of the parameters in their file and as the program's arguments.
    """
    batch, rows, columns = jax_export.symbolic_shape("batch, rows, columns")
    multiple = trained.size_multiple
    bands = len(trained.description.radar.bands)
    exported = jax_export.export(
        jax.jit(functools.partial(_translate, trained.translator, method)), platforms=PLATFORMS
    )(
        {
            name: jax.ShapeDtypeStruct(np.shape(value), DTYPES[dtype])
            for name, value in model_folder.flat(trained.params).items()
        },
        jax.ShapeDtypeStruct((batch, multiple * rows, multiple * columns, bands), np.uint8),
        jax.ShapeDtypeStruct((), np.uint32),
    )
    (directory / standalone.PROGRAM).write_bytes(exported.serialize())
    about = {
        "fingerprint": trained.description.fingerprint,
        "parameters": parameters_digest(trained.params),
        "size_multiple": multiple,
        "sampler": method.sampler,
        "steps": method.num_steps,
        "platforms": list(PLATFORMS),
        "jax": jax.__version__,
    }
    model_folder.write(directory, trained, dtype=dtype, more=about)
    shutil.copyfile(standalone.__file__, directory / "run.py")


def _translate(
    translator: Translator, method: Method, params: Mapping[str, Array], levels: Array, seed: Array
) -> Array:
    """As ``ImageTranslator.__call__``, from stored grey levels to 8-bit images, in one program."""
    keys = jax.vmap(functools.partial(jax.random.fold_in, make_key(seed)))(jnp.arange(levels.shape[0]))
    half = np.float32(127.5)
    sar = levels.astype(jnp.float32) / half - 1
    nested = model_folder.nested({name: value.astype(jnp.float32) for name, value in params.items()})
    optical = translator(nested, sar, keys, method=method)
    return jnp.rint((jnp.clip(optical, -1, 1) + 1) * half).astype(jnp.uint8)
