import numpy as np
import pytest
from scene_files import mixes, trained

from benchmarks import seams
from sar2opt_jax.scene.tiling import Grid, Tiling
from sar2opt_jax.scene.translate import ImageRadar, SceneSettings, SceneTranslator

TILING = Tiling(tile=16, overlap=4)


def test_borders_that_show_are_measured_and_others_are_not():
    rng = np.random.default_rng(0)
    plain = rng.normal(0, 0.1, (400, 400, 3))
    found = seams.visibility(plain, TILING)
    assert found["border"] == pytest.approx(1, abs=0.05) and found["period"] < 20
    seen = plain.copy()
    for start in Grid.cover(400, 400, TILING).columns.starts:
        seen[:, start : start + 16] += rng.normal(0, 0.3)  # Every tile has a brightness of its own.
    found = seams.visibility(seen, TILING)
    assert found["border"] > 1.5


@pytest.mark.parametrize("steps", [1, 3])
def test_blends_agree_in_one_step_and_differ_in_several(steps):
    def sees_its_tile(params, x_t, t, sar):
        return mixes(params, x_t, t, sar) - 0.5 * x_t.mean(axis=(1, 2, 3), keepdims=True)

    export = trained(sees_its_tile)
    scenes = SceneTranslator(export)
    network = scenes.network(scenes.method(SceneSettings(steps=steps))[0], 16)
    radar = ImageRadar(np.random.default_rng(0).integers(0, 256, (40, 70, 1), np.uint8), np.zeros((40, 70), bool))
    one, other = (blend(radar, network, export.translator, TILING) for blend in (seams.at_every_step, seams.at_the_end))
    assert one.shape == other.shape == (40, 70, 3)
    if steps == 1:
        np.testing.assert_allclose(one, other, atol=1e-5)
    else:
        assert 0.01 < seams.levels_apart(one, other) < 20
