import numpy as np
import pytest

from sar2opt_jax.evaluation import measures
from sar2opt_jax.evaluation.batches import Batches
from sar2opt_jax.evaluation.measures import Measures
from sar2opt_jax.metrics import distances, fidelity, lpips

SIDE, COUNT = 32, 5


def random_alexnet():
    """Parameters of LPIPS on AlexNet, of the right shapes alone."""
    rng = np.random.default_rng(0)
    kernels = [(11, 11, 3, 64), (5, 5, 64, 192), (3, 3, 192, 384), (3, 3, 384, 256), (3, 3, 256, 256)]
    trunk = {
        f"conv_{i}": {
            "kernel": (rng.standard_normal(shape) / np.sqrt(np.prod(shape[:3]))).astype(np.float32),
            "bias": np.zeros(shape[3], np.float32),
        }
        for i, shape in enumerate(kernels)
    }
    return {"trunk": trunk, "heads": {f"head_{i}": np.ones(shape[3], np.float32) for i, shape in enumerate(kernels)}}


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(1)
    return {name: rng.integers(0, 256, (COUNT, SIDE, SIDE, 3), np.uint8) for name in ("translated", "truth")}


@pytest.fixture(scope="module")
def measured(pictures):
    found = Measures(lpips={"alexnet": random_alexnet()})
    batches, progress = Batches(4), []

    def measure(name):
        images = {key: lambda positions, key=key: pictures[key][list(positions)] for key in pictures}
        return found.measure(
            images[name], truth=images["truth"], count=COUNT, batches=batches, progress=progress.append
        )

    return found, measure("translated"), measure("truth"), progress


def test_every_image_is_measured_by_every_metric(measured, pictures):
    _, translated, truth, progress = measured
    expected = {"psnr", "ssim", "sharpness", "gradient_distance", "colour_shift", "lpips_alexnet"}
    assert set(translated.metrics) == expected
    assert all(values.shape == (COUNT,) for values in translated.metrics.values())
    unit, wanted = (pictures[name] / np.float32(255) for name in ("translated", "truth"))
    np.testing.assert_allclose(translated.metrics["psnr"], fidelity.psnr(unit, wanted), rtol=1e-5)
    np.testing.assert_allclose(
        translated.metrics["lpips_alexnet"], lpips.lpips(random_alexnet(), unit, wanted), rtol=1e-4
    )
    assert np.isinf(truth.metrics["psnr"]).all() and (truth.metrics["lpips_alexnet"] < 1e-9).all()
    assert progress == [4, 1, 4, 1]


def test_distances_are_those_of_the_features(measured):
    found, translated, truth, _ = measured
    distance = found.distances(translated.features, truth.features)
    pair = translated.features["alexnet"], truth.features["alexnet"]
    assert distance == {
        "frechet_alexnet": distances.frechet(*pair),
        "kernel_alexnet": 1000 * distances.kernel(*pair).mean,
    }
    assert found.distances(truth.features, truth.features)["frechet_alexnet"] == pytest.approx(0, abs=1e-6)


def test_one_image_has_no_distance(measured):
    found, translated, truth, _ = measured
    one = [{"alexnet": features["alexnet"][:1]} for features in (translated.features, truth.features)]
    assert found.distances(*one) == {}


def test_no_two_networks_share_the_name_of_a_distance():
    names = [name for pair in measures.FEATURES.values() for name in pair]
    assert len(set(names)) == len(names)


def test_images_too_small_for_a_metric_are_refused():
    with pytest.raises(ValueError, match="SSIM needs images of at least 11 x 11 pixels; got 8 x 8"):
        Measures().check_image_size(8)
    with pytest.raises(ValueError, match=r"LPIPS by alexnet .* 31 x 31 pixels; data.image_size is 16\. Leave it out"):
        Measures(lpips={"alexnet": {}}).check_image_size(16)
    Measures(lpips={"alexnet": {}}).check_image_size(32)
