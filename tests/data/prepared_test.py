"""What is read of prepared datasets besides their batches."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from sar2opt_jax.data import prepared
from sar2opt_jax.data.prepared import Prepared

VV_DB = {"bands": ["VV"], "quantity": "dB", "scale": "file", "limits": [[-25.0, 0.0]], "dtype": "float32"}


class Dotted(tfds.core.GeneratorBasedBuilder):
    """Three texts are enough to look for splits and versions."""

    VERSION = tfds.core.Version("1.2.0")

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({"id": tfds.features.Text()}))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        yield from ((number, {"id": f"p{number}"}) for number in range(3))


@pytest.fixture(name="data_dir")
def prepared_dotted(tmp_path):
    Dotted(data_dir=tmp_path, file_format="array_record").download_and_prepare()
    return tmp_path


def test_open_split_reads_the_prepared_dataset(data_dir):
    source = prepared.open_split("dotted", split="train", data_dir=data_dir)
    assert sorted(source[i]["id"] for i in range(len(source))) == [b"p0", b"p1", b"p2"]
    assert len(prepared.open_split("dotted", split="train[:2]", data_dir=str(data_dir))) == 2
    assert [example["id"] for example in source] == [source[i]["id"] for i in range(3)]
    for index in (-1, 3):
        with pytest.raises(IndexError, match=f"There are 3 pairs; got index {index}"):
            source[index]


def test_open_split_takes_the_newest_whole_version(data_dir):
    (data_dir / "dotted" / "1.2.0").rename(data_dir / "dotted" / "1.10.0")
    (data_dir / "dotted" / "1.9.0").mkdir()
    (data_dir / "dotted" / "incomplete.ABCDEF_2.0.0").mkdir()
    assert len(prepared.open_split("dotted", split="train", data_dir=data_dir)) == 3


@pytest.mark.parametrize("split", ["test", "train[:0]"])
def test_open_split_names_the_splits_there_are(data_dir, split):
    with pytest.raises(ValueError, match=r"dotted.*\{'train': 3\}"):
        prepared.open_split("dotted", split=split, data_dir=data_dir)


def test_open_split_says_how_to_prepare(tmp_path):
    command = "python -m tfds_builders.prepare sen12 --manual_dir="
    with pytest.raises(FileNotFoundError, match=f"data_dir .*nowhere does not exist.*{command}"):
        prepared.open_split("sen12", split="train", data_dir=tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=f"sen12 is not prepared: no {tmp_path}/sen12.*{command}"):
        prepared.open_split("sen12", split="train", data_dir=tmp_path)


def test_open_split_knows_the_default_configuration(data_dir):
    (data_dir / "configured" / ".config").mkdir(parents=True)
    (data_dir / "configured" / ".config" / "metadata.json").write_text('{"default_config_name": "small"}')
    (data_dir / "dotted").rename(data_dir / "configured" / "small")
    assert len(prepared.open_split("configured", split="train", data_dir=data_dir)) == 3
    assert len(prepared.open_split("configured/small", split="train", data_dir=data_dir)) == 3


def test_open_split_names_the_configurations_there_are(tmp_path):
    folder = tmp_path / "gf3" / "qxs_saropt" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="Prepared there: gf3/qxs_saropt"):
        prepared.open_split("gf3", split="train", data_dir=tmp_path)


class Stated(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Pairs with the metadata of this project's builders, or without."""

    VERSION = tfds.core.Version("1.0.0")
    metadata: dict | None = None

    def _info(self):
        shapes = {"sar": (4, 4, 2), "optical": (4, 4, 3)}
        features = {name: tfds.features.Tensor(shape=shape, dtype=np.uint8) for name, shape in shapes.items()}
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict({**features, "id": tfds.features.Text()}),
            metadata=None if self.metadata is None else tfds.core.MetadataDict(self.metadata),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i in range(2):
            images = {name: np.full((4, 4, c), i, np.uint8) for name, c in (("sar", 2), ("optical", 3))}
            yield i, {**images, "id": f"p{i}"}


def make(directory, metadata=None):
    Stated.metadata = metadata
    Stated(data_dir=directory, file_format="array_record").download_and_prepare()
    return Prepared("stated", data_dir=directory)


def images(sar):
    return {"images": {"sar": sar, "optical": {"bands": ["red", "green", "blue"]}}}


def test_a_dataset_says_how_its_images_were_scaled(tmp_path):
    found = make(tmp_path, images(VV_DB) | {"ground_sampling_m": 10.0})
    assert found.image_format("sar") == VV_DB
    assert found.ground_sampling_m == 10.0
    assert (found.version, found.sizes, found.image_size) == ("1.0.0", {"train": 2}, (4, 4))


def test_a_dataset_of_an_earlier_version_says_what_it_states(tmp_path):
    silent = make(tmp_path / "silent")
    assert silent.image_format("sar") == {"bands": ["band 1", "band 2"]}
    assert silent.image_format("optical") == {"bands": ["red", "green", "blue"]}
    assert silent.ground_sampling_m is None
    scaled = make(tmp_path / "scaled", {"scaling": {"sar": {"scale": "linear", "limits": [[-25, 0], [-32, 0]]}}})
    assert scaled.image_format("sar") == {
        "bands": ["band 1", "band 2"], "quantity": "unknown", "scale": "linear", "limits": [[-25, 0], [-32, 0]]
    }  # fmt: skip


def test_the_fingerprint_is_of_the_content_and_its_scaling_and_not_of_where_it_is(tmp_path):
    content = {"content": {"train": "abc"}}
    reference = make(tmp_path / "a", images(VV_DB) | content).fingerprint
    assert make(tmp_path / "elsewhere" / "b", images(VV_DB) | content).fingerprint == reference
    assert make(tmp_path / "c", images(VV_DB) | {"content": {"train": "abd"}}).fingerprint != reference
    assert make(tmp_path / "d", images(VV_DB | {"limits": [[-20.0, 0.0]]}) | content).fingerprint != reference


def test_the_fingerprint_of_an_earlier_version_is_of_sizes_and_statistics(tmp_path):
    reference = make(tmp_path / "a", {"statistics": {"sar": {"mean": [1.5]}}}).fingerprint
    assert make(tmp_path / "b", {"statistics": {"sar": {"mean": [1.5]}}}).fingerprint == reference
    assert make(tmp_path / "c", {"statistics": {"sar": {"mean": [2.5]}}}).fingerprint != reference
