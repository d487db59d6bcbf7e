import io
import json

import grain
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from sar2opt_jax.data import pipeline, prepared


def coordinates_source(count=10, size=12):
    """Pairs whose pixels name themselves: channels are the pair, the row and the column, and `sar` repeats them."""
    row, column = np.mgrid[:size, :size].astype(np.uint8)
    optical = [np.stack([np.full_like(row, number), row, column], -1) for number in range(count)]
    return [
        {"optical": image, "sar": image[..., :2].copy(), "id": f"p{number}".encode()}
        for number, image in enumerate(optical)
    ]


def batches(source, count, **options):
    settings = {"image_size": 8, "batch_size": 4, "seed": 7, "augment": True, "num_threads": 2, **options}
    iterator = pipeline.training_batches(source, **settings)
    found = [next(iterator) for _ in range(count)]
    iterator.close()
    return found


def assert_same(actual, expected):
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        for name in ("optical", "sar", "index"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def joined(parts):
    return pipeline.Batch(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def pair_numbers(batch):
    """Which pair of `coordinates_source` each example was cut from."""
    return np.rint((batch.optical[:, 0, 0, 0] + 1) * 127.5).astype(int).tolist()


def test_batch_has_the_promised_shapes_and_ranges():
    [batch] = batches(coordinates_source(), 1)
    assert (batch.optical.shape, batch.sar.shape, batch.index.shape) == ((4, 8, 8, 3), (4, 8, 8, 2), (4,))
    assert (batch.optical.dtype, batch.sar.dtype, batch.index.dtype) == (np.float32, np.float32, np.int32)
    assert batch.optical.min() >= -1 and batch.optical.max() < -0.8  # values 0 .. 11 of 255


def test_index_is_the_position_in_the_run():
    found = batches(coordinates_source(), 6)
    np.testing.assert_array_equal(np.concatenate([batch.index for batch in found]), np.arange(24))


@pytest.mark.parametrize("host_count", [1, 2])
def test_ids_of_a_step_are_those_of_its_batch(host_count):
    source = coordinates_source()
    parts = [batches(source, 6, host_index=host, host_count=host_count) for host in range(host_count)]
    for step, batch in enumerate(zip(*parts, strict=True), start=1):
        ids = pipeline.ids_of_step(source, step=step, batch_size=4, seed=7)
        assert ids == [f"p{number}" for number in pair_numbers(joined(batch))]


def test_every_epoch_shows_every_pair_once_in_another_order():
    numbers = pair_numbers(joined(batches(coordinates_source(), 5)))
    first, second = numbers[:10], numbers[10:]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second and first != list(range(10))


def test_sar_and_optical_are_varied_alike():
    for batch in batches(coordinates_source(), 5):
        np.testing.assert_array_equal(batch.sar, batch.optical[..., :2])


def test_augmentation_reaches_all_eight_symmetries_and_crops_many_places():
    found = joined(batches(coordinates_source(), 40))
    row, column = (np.rint((found.optical[..., c] + 1) * 127.5).astype(int) for c in (1, 2))
    corners = {
        tuple(np.sign((r[0, -1] - r[0, 0], r[-1, 0] - r[0, 0], c[0, -1] - c[0, 0], c[-1, 0] - c[0, 0])))
        for r, c in zip(row, column, strict=True)
    }
    places = {(r.min(), c.min()) for r, c in zip(row, column, strict=True)}
    assert len(corners) == 8
    assert len(places) > 15  # of 25


def test_without_augmentation_only_the_crop_varies():
    for batch in batches(coordinates_source(), 5, augment=False):
        steps = np.diff(batch.optical[..., 1], axis=1)
        np.testing.assert_allclose(steps, 1 / 127.5, atol=1e-6)


def test_seed_decides_everything():
    source = coordinates_source()
    assert_same(batches(source, 5), batches(source, 5))
    assert pair_numbers(batches(source, 1)[0]) != pair_numbers(batches(source, 1, seed=8)[0])


@pytest.mark.parametrize("num_threads", [0, 1, 3])
def test_threads_do_not_change_the_run(num_threads):
    source = coordinates_source()
    assert_same(batches(source, 6, num_threads=num_threads), batches(source, 6))


@pytest.mark.parametrize("host_count", [2, 4])
def test_hosts_together_read_the_batch_of_one_host(host_count):
    source = coordinates_source()
    parts = [batches(source, 6, host_index=host, host_count=host_count) for host in range(host_count)]
    assert_same([joined(step) for step in zip(*parts, strict=True)], batches(source, 6))


def test_state_restores_the_exact_continuation():
    iterator = pipeline.training_batches(
        coordinates_source(), image_size=8, batch_size=4, seed=7, augment=True, num_threads=2
    )
    for _ in range(3):
        next(iterator)
    state = json.loads(json.dumps(iterator.get_state()))
    expected = [next(iterator) for _ in range(4)]
    iterator.set_state(state)
    assert_same([next(iterator) for _ in range(4)], expected)


@pytest.mark.parametrize("num_threads", [0, 1, 5])
def test_state_goes_on_under_another_number_of_threads(num_threads):
    settings = {"image_size": 8, "batch_size": 4, "seed": 7, "augment": True}
    iterator = pipeline.training_batches(coordinates_source(), **settings, num_threads=2)
    for _ in range(3):
        next(iterator)
    state = iterator.get_state()
    expected = [next(iterator) for _ in range(3)]
    other = pipeline.training_batches(coordinates_source(), **settings, num_threads=num_threads)
    other.set_state(state)
    assert_same([next(other) for _ in range(3)], expected)


def test_orbax_checkpoint_restores_the_exact_continuation(tmp_path):
    settings = {"image_size": 8, "batch_size": 4, "seed": 7, "augment": True, "num_threads": 2}
    iterator = pipeline.training_batches(coordinates_source(), **settings)
    for _ in range(3):
        next(iterator)
    with ocp.CheckpointManager(tmp_path / "checkpoints") as manager:
        manager.save(3, args=ocp.args.Composite(data=grain.checkpoint.CheckpointSave(iterator)))
        manager.wait_until_finished()
    expected = [next(iterator) for _ in range(4)]

    fresh = pipeline.training_batches(coordinates_source(), **settings)
    with ocp.CheckpointManager(tmp_path / "checkpoints") as manager:
        manager.restore(3, args=ocp.args.Composite(data=grain.checkpoint.CheckpointRestore(fresh)))
    assert_same([next(fresh) for _ in range(4)], expected)


@pytest.mark.parametrize("host_count", [1, 2])
def test_start_step_continues_a_run_under_any_number_of_hosts(host_count):
    source = coordinates_source()
    parts = [batches(source, 3, start_step=4, host_index=h, host_count=host_count) for h in range(host_count)]
    assert_same([joined(step) for step in zip(*parts, strict=True)], batches(source, 7)[4:])


def test_state_is_the_global_step_under_any_number_of_hosts():
    options = {"image_size": 8, "batch_size": 4, "seed": 7, "augment": True}
    iterator = pipeline.training_batches(coordinates_source(), **options, start_step=4, host_index=1, host_count=2)
    next(iterator)
    assert grain.experimental.get_next_index(iterator) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 16}, r"image_size \(16\) .* stored 12 x 12"),
        ({"batch_size": 5, "host_count": 2}, r"batch_size \(5\) .* hosts \(2\)"),
        ({"batch_size": 0}, r"batch_size \(0\)"),
        ({"host_index": 1}, r"host_index \(1\)"),
    ],
)
def test_training_refuses_what_cannot_work(options, message):
    with pytest.raises(ValueError, match=message):
        batches(coordinates_source(), 1, **options)


def test_pair_of_two_sizes_is_refused():
    [pair] = coordinates_source(1)
    with pytest.raises(ValueError, match="one size, got sar 11 x 12, optical 12 x 12"):
        batches([{**pair, "sar": pair["sar"][:11]}], 1)


def test_no_examples_are_refused():
    with pytest.raises(ValueError, match="nothing to train on"):
        batches([], 1)


def test_source_tells_its_channels_and_size():
    assert prepared.sar_channels(coordinates_source()) == 2


class Pictures(tfds.core.GeneratorBasedBuilder):
    """Pairs of a size and stored as those of the files' builders are."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        image = {
            name: tfds.features.Image(shape=(12, 12, channels), encoding_format="png")
            for name, channels in (("sar", 1), ("optical", 3))
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict({**image, "id": tfds.features.Text()})
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for pair in coordinates_source(10):
            key = pair["id"].decode()
            yield key, {"sar": png(pair["sar"][..., 0]), "optical": png(pair["optical"]), "id": key}


def png(values):
    file = io.BytesIO()
    Image.fromarray(values).save(file, format="PNG")
    return file.getvalue()


def test_stored_pairs_are_read_as_they_were_written(tmp_path):
    Pictures(data_dir=tmp_path, file_format="array_record").download_and_prepare()
    source = prepared.open_split("pictures", split="train", data_dir=tmp_path)
    expected = {pair["id"]: pair for pair in coordinates_source(10)}
    for position in range(len(source)):
        example = source[position]
        np.testing.assert_array_equal(example["optical"], expected[example["id"]]["optical"])
        np.testing.assert_array_equal(example["sar"], expected[example["id"]]["sar"][..., :1])
    assert prepared.sar_channels(source) == 1
    assert prepared.Prepared("pictures", data_dir=tmp_path).image_size == (12, 12)


def test_training_on_stored_pairs_is_that_on_decoded_ones(tmp_path):
    Pictures(data_dir=tmp_path, file_format="array_record").download_and_prepare()
    source = prepared.open_split("pictures", split="train", data_dir=tmp_path)
    decoded = [source[position] for position in range(len(source))]
    assert_same(batches(source, 6), batches(decoded, 6))
    assert_same(batches(source, 3, image_size=12), batches(decoded, 3, image_size=12))
    with pytest.raises(ValueError, match=r"image_size \(13\) .* stored 12 x 12"):
        batches(source, 1, image_size=13)


def test_radar_jitter_varies_the_radar_image_alone_and_draws_last():
    source = coordinates_source()
    for pair in source:
        pair["sar"] = pair["sar"] + np.uint8(100)
    plain, varied = batches(source, 3), batches(source, 3, radar_jitter=0.1)
    for one, other in zip(plain, varied, strict=True):
        np.testing.assert_array_equal(one.optical, other.optical)  # Crops and turns are the same.
        for before, after in zip(one.sar.reshape(4, -1, 2), other.sar.reshape(4, -1, 2), strict=True):
            change = after - before
            assert np.abs(change).max() > 0.004
            # |contrast| <= 0.1 of the distance from the middle, and |level| <= 0.1; half a grey level of rounding.
            assert np.all(np.abs(change) <= 0.1 * np.abs(before) + 0.1 + 1 / 255 + 1e-6)


def test_jittered_is_a_straight_line_per_channel_that_keeps_zero_and_stays_in_range():
    sar = np.stack([np.arange(256), np.full(256, 100)], -1).astype(np.uint8).reshape(16, 16, 2)
    found = pipeline.jittered(sar, contrast=0.5, levels=[0.1, -0.2])
    assert found.dtype == np.uint8 and found.shape == sar.shape
    line = np.clip(np.rint((np.arange(256) - 127.5) * 1.5 + 127.5 * 1.1), 1, 255)
    line[0] = 0
    np.testing.assert_array_equal(found[..., 0].ravel(), line)
    np.testing.assert_array_equal(found[..., 1], np.rint((100 - 127.5) * 1.5 + 127.5 * 0.8))
    np.testing.assert_array_equal(pipeline.jittered(sar, contrast=0.0, levels=[0.0, 0.0]), sar)
