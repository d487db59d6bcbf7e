"""Simulated landscapes seen by a camera and a radar: pairs from fixed seeds, without a download."""

import dataclasses
import io
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tqdm import tqdm

from tfds_builders import builder, files
from tfds_builders.description import RGB, ImageDescription, content_digest, image_digest
from tfds_builders.simulated import imaging, landscape

PATCH_SIZE = 64
SEED = 2407_06095
"""Of all scenes; the number of the paper."""
FIRST_SCENE = {"train": 0, "validation": 256, "test": 288}
"""Where the scenes of a split begin; scene numbers are unique over the splits."""


DESCRIPTIONS: dict[files.Kind, ImageDescription] = {
    "sar": ImageDescription(bands=("VV",), quantity="dB", limits=(imaging.LIMITS_DB,), dtype="float32"),
    "optical": ImageDescription(bands=RGB),
}
"""The radar image is drawn in dB, as floats; the camera gives 8-bit colours."""
GROUND_SAMPLING_M = 10.0


class Scene(NamedTuple):
    """A landscape and the two 8-bit images of it."""

    landscape: landscape.Landscape
    optical: np.ndarray  # uint8 [256, 256, 3]
    sar: np.ndarray  # uint8 [256, 256], sigma0 from -25 to 0 dB


def make_scene(number: int) -> Scene:
    """Scene ``number`` of the dataset; ground, camera and radar have a random generator each."""
    ground, camera, radar = (np.random.default_rng([SEED, number, part]) for part in range(3))
    land = landscape.make_landscape(ground)
    optical = imaging.to_uint8(imaging.optical_image(land, camera), limits=(0.0, 1.0))
    return Scene(land, optical, imaging.to_uint8(imaging.radar_image(land, radar), limits=imaging.LIMITS_DB))


def patches(image: np.ndarray) -> np.ndarray:
    """Cuts a scene [256, 256, ...] into its 16 patches [16, 64, 64, ...], row by row."""
    count = landscape.SIZE // PATCH_SIZE
    blocks = image.reshape(count, PATCH_SIZE, count, PATCH_SIZE, *image.shape[2:])
    return blocks.swapaxes(1, 2).reshape(count**2, PATCH_SIZE, PATCH_SIZE, *image.shape[2:])


@dataclasses.dataclass(eq=False, kw_only=True)
class SimulatedConfig(tfds.core.BuilderConfig):
    """How many scenes each split holds; every scene gives 16 patches."""

    train: int
    validation: int
    test: int


class Builder(tfds.core.GeneratorBasedBuilder):
    """Makes the scenes on the spot and stores their patches, split by scene."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012
    BUILDER_CONFIGS = [  # noqa: RUF012
        SimulatedConfig(name="default", description="320 scenes, to train on.", train=256, validation=32, test=32),
        SimulatedConfig(name="tiny", description="4 of the same scenes, for tests.", train=2, validation=1, test=1),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=builder.features(
                {
                    "sar": files.EightBit(size=PATCH_SIZE, mode="L"),
                    "optical": files.EightBit(size=PATCH_SIZE, mode="RGB"),
                }
            ),
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # Nothing to download.
        counts = {name: getattr(self.builder_config, name) for name in FIRST_SCENE}
        # `content` is filled while the images are drawn, and written with the rest when all of them are.
        self._content: dict[str, str] = {}
        self.info.metadata.update(  # pyright: ignore[reportOptionalMemberAccess]
            scenes=counts,
            images={kind: found.as_json() for kind, found in DESCRIPTIONS.items()},
            ground_sampling_m=GROUND_SAMPLING_M,
            content=self._content,
        )
        return {
            name: self._generate_examples(range(first, first + counts[name]), split=name)
            for name, first in FIRST_SCENE.items()
        }

    def _generate_examples(self, numbers: Iterable[int], *, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        digests: list[tuple[str, bytes, bytes]] = []
        for number in tqdm(numbers, desc=f"Drawing {split}", unit=" scenes", disable=None):
            scene = make_scene(number)
            for i, (optical, sar) in enumerate(zip(patches(scene.optical), patches(scene.sar), strict=True)):
                key = f"scene{number:04d}_p{i:02d}"
                digests.append((key, image_digest(sar[..., None]), image_digest(optical)))
                yield (
                    key,
                    {
                        "sar": _png(sar),
                        "optical": _png(optical),
                        "id": key,
                        "season": scene.landscape.season,
                        "scene": f"{number:04d}",
                        "terrain": scene.landscape.terrain,
                    },
                )
        self._content[split] = content_digest(digests)


def _png(image: np.ndarray) -> bytes:
    """The image as TFDS takes it without TensorFlow."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return file.getvalue()
