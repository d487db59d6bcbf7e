"""A sweep gives what the sampler gives on the whole scene at once, with tiles blended at every step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sar2opt_jax.data.scaling import to_float, to_uint8
from sar2opt_jax.diffusion.schedule import make_schedule, over_image
from sar2opt_jax.scene.network import TileNetwork
from sar2opt_jax.scene.sweep import Sweep
from sar2opt_jax.scene.tiling import BLOCK, Grid, Tiling, block_noise
from sar2opt_jax.scene.translate import ImageRadar
from sar2opt_jax.translator import Method, Translator
from sar2opt_jax.types import make_key

SCHEDULE = make_schedule("cosine", num_steps=100)
TILING = Tiling(tile=16, overlap=4)
KEY = make_key(5)
METHODS = [
    Method(sampler="ddpm", num_steps=3),
    Method(sampler="ddim", num_steps=3),
    Method(sampler="ddim", num_steps=3, eta=0.7),
    Method(sampler="dpm_solver_pp", num_steps=4),
    Method(sampler="lcm", num_steps=1),
    Method(sampler="lcm", num_steps=4),
    Method(sampler="lcm", num_steps=3, gamma=0.4),
]


def looks_around(params, x_t, t, sar):
    """Depends on the tile's statistics, on every neighbour and on the time, as a U-Net does."""
    mean = sar.mean(axis=(1, 2, 3), keepdims=True)
    blurred = (jnp.roll(x_t, 1, axis=1) + jnp.roll(x_t, -1, axis=2)) / 2
    return params["gain"] * (0.4 * blurred + 0.3 * sar[..., :1] - 0.3 * mean) * over_image(1 - t / 300, x_t)


def shows_the_radar(params, x_t, t, sar):
    del t
    return params["gain"] * jnp.broadcast_to(sar[..., :1], x_t.shape)


def network(model=looks_around, method=METHODS[-2], **settings):
    student = 50 if method.sampler == "lcm" else None
    translator = Translator(model=model, schedule=SCHEDULE, prediction="x_0", solver_steps=student)
    return TileNetwork(translator, {"gain": np.float32(1)}, method=method, tile=TILING.tile, **settings)


def radar(height=75, width=28, bands=1, missing=None):
    levels = np.random.default_rng(0).integers(0, 256, (height, width, bands), np.uint8)
    return ImageRadar(levels, np.zeros((height, width), bool) if missing is None else missing)


def swept(scene, net, **settings):
    rows = [*Sweep(scene, net, **{"tiling": TILING, "key": KEY, **settings})]
    assert [each.start for each in rows] == [*range(rows[0].start, scene.height, BLOCK)]
    return np.concatenate([each.images for each in rows], axis=1)


def whole(scene, method, sample=0):
    """The sampler's own loop over the whole scene, whose denoise is blended from tiles; nothing of ``Sweep``."""
    levels, _ = scene.read(0, scene.height)
    sar, grid = to_float(levels)[None], Grid.cover(scene.height, scene.width, TILING)
    student = 50 if method.sampler == "lcm" else None
    translator = Translator(model=looks_around, schedule=SCHEDULE, prediction="x_0", solver_steps=student)

    def drawn(number):
        key = jax.random.fold_in(jax.random.fold_in(KEY, sample), number)
        rows = [block_noise(key, row, 0, columns=2) for row in range(-(-scene.height // BLOCK))]
        return jnp.concatenate(rows)[None, : scene.height, : scene.width]

    def denoise(x_t, t):
        blended = jnp.zeros_like(x_t)
        for row, top in enumerate(grid.rows.starts):
            for column, left in enumerate(grid.columns.starts):
                span = (slice(None), slice(top, top + 16), slice(left, left + 16))
                x_0 = translator.denoiser({"gain": jnp.float32(1)}, sar[span])(x_t[span], t)
                blended = blended.at[span].add(grid.weights(row, column)[None] * x_0)
        return blended

    noises = jnp.stack([drawn(step + 1) for step in range(method.num_steps)])
    sampler, timesteps = translator.sampler(method), translator.timesteps(method)
    return sampler(denoise, drawn(0), lambda i: noises[i], schedule=SCHEDULE, timesteps=timesteps)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_sweep_is_the_sampler_on_the_whole_scene(method):
    scene = radar()
    np.testing.assert_allclose(swept(scene, network(method=method)), whole(scene, method), atol=2e-5)


def test_samples_have_noise_of_their_own_and_the_first_is_that_of_one_alone():
    scene, net = radar(), network()
    two = swept(scene, net, samples=2)
    np.testing.assert_array_equal(two[:1], swept(scene, net))
    np.testing.assert_allclose(two[1:], whole(scene, net.method, sample=1), atol=2e-5)


@pytest.mark.parametrize("method", [METHODS[3], METHODS[5]], ids=str)
@pytest.mark.parametrize("first_row", [1, 64, 100, 205])
def test_a_sweep_that_starts_further_down_gives_the_same_rows(method, first_row):
    scene, net = radar(height=206), network(method=method)
    full, rest = swept(scene, net), swept(scene, net, first_row=first_row)
    assert rest.shape[1] >= 206 - first_row
    np.testing.assert_array_equal(rest, full[:, -rest.shape[1] :])


@pytest.mark.parametrize(("batch", "devices"), [(3, 1), (2, 4), (64, 2)])
def test_the_result_does_not_depend_on_batch_or_devices(batch, devices):
    scene = radar()
    other = swept(scene, network(batch=batch, devices=jax.devices()[:devices]))
    one = swept(scene, network(batch=1, devices=jax.devices()[:1]))
    np.testing.assert_allclose(other, one, atol=1e-5)
    assert np.abs(to_uint8(other).astype(int) - to_uint8(one)).max() <= 1


def test_rows_on_disk_give_the_same(tmp_path, monkeypatch):
    scene, net = radar(), network()
    in_memory = swept(scene, net, spill=tmp_path)
    monkeypatch.setattr("sar2opt_jax.scene.sweep.IN_MEMORY_BYTES", 0)
    np.testing.assert_array_equal(swept(scene, net, spill=tmp_path), in_memory)


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (40, 3), (16, 16), (130, 70)])
def test_a_scene_of_any_size_is_translated_pixel_by_pixel(shape):
    scene = radar(*shape)
    found = to_uint8(swept(scene, network(shows_the_radar, METHODS[4]))[0])
    np.testing.assert_array_equal(found, np.repeat(scene.read(0, shape[0])[0], 3, axis=-1))


@pytest.mark.parametrize("level", [0, 1, 127, 200, 255])
def test_a_constant_scene_stays_constant(level):
    scene = ImageRadar(np.full((75, 41, 1), level, np.uint8), np.zeros((75, 41), bool))
    found = to_uint8(swept(scene, network(shows_the_radar, METHODS[5])))
    np.testing.assert_array_equal(found, level)


def test_one_program_serves_all_tiles_of_all_scenes():
    traced = []

    def model(*args):
        traced.append(1)
        return looks_around(*args)

    net = network(model)
    for shape in ((75, 41), (16, 90), (5, 5)):
        swept(radar(*shape), net, samples=2)
    assert len(traced) == 1


def test_missing_pixels_are_not_seen_and_tiles_without_others_are_skipped():
    missing = np.zeros((75, 41), bool)
    missing[:, 20:] = True
    scene, net = radar(width=41, missing=missing), network()
    seen = []
    monkeyed = net.denoise
    net.denoise = lambda tiles, step: (seen.append(step) or image for image in monkeyed(tiles, step=step))
    one = swept(scene, net)
    assert len(seen) == 4 * 6 * 2  # Of the four columns of tiles two have values.
    levels, _ = scene.read(0, 75)
    other = swept(ImageRadar(np.where(missing[..., None], 0, levels).astype(np.uint8), missing), net)
    np.testing.assert_array_equal(one[:, :, :20], other[:, :, :20])
    [first, *_] = Sweep(scene, net, tiling=TILING, key=KEY)
    np.testing.assert_array_equal(first.missing, missing[:BLOCK])


def test_rows_are_read_once_and_in_order_and_memory_does_not_grow_with_the_scene():
    asked = []

    class Watched(ImageRadar):
        def read(self, start, stop):
            asked.append((start, stop))
            return super().read(start, stop)

    scene = radar(height=1000)
    done = []
    for finished in Sweep(Watched(*scene.read(0, 1000)), network(), tiling=TILING, key=KEY):
        done.append(asked[-1][1] - finished.start)
    assert asked == [*zip([0, *(stop for _, stop in asked)], [stop for _, stop in asked], strict=False)]
    assert max(done) <= 4 * (16 + BLOCK) + BLOCK  # Rows that are read and not finished yet, for four steps.
