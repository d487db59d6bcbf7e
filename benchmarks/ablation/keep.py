"""Makes a model folder, as the package ships one, of a network that ``benchmarks.ablation.fit`` trained:

python -m benchmarks.ablation.keep --fit=FOLDER --network=NAME --data_dir=PREPARED --output=FOLDER

``--fit`` has ``fit.json`` and ``NAME.safetensors``. The prepared dataset, which the pairs were packed from, says how
radar images are scaled; no image is read.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from benchmarks.ablation.variants import change
from configs.base import get_base
from sar2opt_jax import paths
from sar2opt_jax.data.prepared import Prepared
from sar2opt_jax.description import Description
from sar2opt_jax.export import Export
from sar2opt_jax.interop import model_folder, tensors
from sar2opt_jax.run import plan
from sar2opt_jax.run.stages import STAGES


def described(found: dict[str, Any], name: str, dataset: Prepared) -> Description:
    """What the network ``name`` of a ``fit.json`` is.

    Raises:
      ValueError: for a network that was not trained.
    """
    training = found["training"]
    if name not in training:
        raise ValueError(f"There is no network {name!r} in the fit; it has {', '.join(training)}.")
    config = get_base(name="acd", stages=("teacher", "adversarial"), preset=found["preset"])
    config.update(ConfigDict(found["config"]))
    parent = None
    for part in ("teacher", name) if STAGES[training[name]["stage"]].starts_from else (name,):
        stage = training[part]["stage"]
        change(config, training[part]["changes"])
        config[STAGES[stage].groups[0]].num_steps = training[part]["steps"]
        description = plan.description(config, stage, dataset, parent=parent)
        parent = description.fingerprint
    return description


def main(arguments: list[str] | None = None) -> None:
    """Flags, then one folder."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablation.keep", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--fit", type=Path, required=True, help="folder that fit wrote")
    parser.add_argument("--network", required=True, help="a name in it")
    parser.add_argument("--data_dir", help="where the prepared dataset is")
    parser.add_argument("--usual_steps", type=int, help="that it is sampled with where nobody says how many")
    parser.add_argument("--output", type=Path, required=True, help="a new folder")
    options = parser.parse_args(arguments)
    found = json.loads((options.fit / "fit.json").read_text())
    dataset = Prepared(found["config"]["data"]["name"], data_dir=options.data_dir)
    about = dataclasses.replace(described(found, options.network, dataset), usual_steps=options.usual_steps)
    stored, _ = tensors.read(options.fit / f"{options.network}.safetensors")
    trained = Export(networks={"unet": model_folder.nested(stored)}, description=about)
    with paths.atomic_directory(options.output) as directory:
        model_folder.write(directory, trained, dtype="bfloat16")
        model_folder.read(directory)  # Raises where the parameters are not those of the described network.
    print(
        f"Wrote {options.output}: {about.stage}, {about.step} steps; try it: sar2opt translate --model={options.output}"
    )


if __name__ == "__main__":
    main()
