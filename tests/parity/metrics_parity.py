"""Metrics against scikit-image, torch-fidelity and lpips, live."""

import jax
import numpy as np
import our_metrics
import pytest
import torch_metrics

from sar2opt_jax.metrics import colour, distances, fidelity, inception, lpips
from sar2opt_jax.metrics.weights import torch_file
from sar2opt_jax.metrics.weights.inception import load_inception
from sar2opt_jax.metrics.weights.lpips import NETS, load_lpips


@pytest.mark.parametrize(("height", "width"), [(64, 64), (37, 51)])
def test_psnr_and_ssim_are_scikit_images(height, width):
    pair = our_metrics.pairs(height, width)
    np.testing.assert_allclose(fidelity.psnr(*pair), torch_metrics.psnr(*pair), rtol=1e-5)
    np.testing.assert_allclose(fidelity.ssim(*pair), torch_metrics.ssim(*pair), rtol=1e-5)


def test_lab_and_ciede2000_are_scikit_images():
    image, other = our_metrics.pairs(64, 48)
    everything = np.stack(np.meshgrid(*[np.linspace(0, 1, 18, dtype=np.float32)] * 3), axis=-1).reshape(-1, 3)
    shuffled = np.random.default_rng(0).permutation(everything)
    for a, b in ((image, other), (everything, shuffled), (everything, np.clip(everything + np.float32(0.02), 0, 1))):
        np.testing.assert_allclose(colour.srgb_to_lab(a), torch_metrics.lab(a), atol=1e-3)
        expected = torch_metrics.ciede2000(torch_metrics.lab(a), torch_metrics.lab(b))
        np.testing.assert_allclose(colour.ciede2000(*map(colour.srgb_to_lab, (a, b))), expected, atol=1e-3)


def test_colour_shift_is_that_of_scikit_images_functions():
    pair = our_metrics.pairs(64, 48)
    means = [x.reshape(2, 8, 8, 6, 8, 3).mean(axis=(2, 4)) for x in pair]
    expected = torch_metrics.ciede2000(*map(torch_metrics.lab, means)).mean(axis=(1, 2))
    np.testing.assert_allclose(colour.colour_shift(*pair), expected, rtol=1e-4)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_tensors_of_a_file_are_those_that_pytorch_wrote(tmp_path, legacy):
    generator = np.random.default_rng(0)
    written = {
        "a.weight": generator.standard_normal((3, 2, 5)).astype(np.float32),
        "scalar": np.array(7),
        "halves": generator.standard_normal(4).astype(np.float16),
        "flags": np.array([True, False]),
        "double": generator.standard_normal((2, 2)),
    }
    torch_metrics.save(written, tmp_path / "x.pth", legacy=legacy)
    found = torch_file.read(tmp_path / "x.pth")
    assert list(found) == list(written)
    for name, values in written.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


@pytest.fixture(scope="module")
def tensors():
    return our_metrics.inception_tensors(seed=0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory, tensors):
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch_metrics.save_inception(tensors, path)
    return path


def test_inception_weights_are_read_alike_from_both_formats(weights, tensors):
    legacy = weights.with_name("legacy.pth")
    torch_metrics.save_inception(tensors, legacy, legacy=True)
    found = [load_inception(path, expected_sha256_prefix=None) for path in (weights, legacy)]
    jax.tree.map(np.testing.assert_array_equal, *found)
    np.testing.assert_array_equal(
        found[0]["Mixed_7c"]["branch3x3_2a"]["kernel"],
        tensors["Mixed_7c.branch3x3_2a.conv.weight"].transpose(2, 3, 1, 0),
    )


@pytest.mark.parametrize(("height", "width"), [(64, 64), (256, 256), (299, 299), (301, 450)])
def test_inception_features_are_torch_fidelitys(weights, height, width):
    images = our_metrics.images(height, width, batch=2, seed=5)
    params = load_inception(weights, expected_sha256_prefix=None)
    expected = torch_metrics.inception_features(weights, images)
    assert expected.std() > 0.1
    found = jax.jit(inception.features)(params, images)
    # FID asks for 1e-3; less than that would hide a mistake such as (x - 127.5) / 127.5.
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize(("counts", "width"), [((300, 400), 64), ((70, 90), 64), ((1000, 1200), 256)])
def test_frechet_distance_is_torch_fidelitys(counts, width):
    sets = our_metrics.feature_sets(counts=counts, width=width)
    np.testing.assert_allclose(distances.frechet(*sets), torch_metrics.fid(*sets), rtol=1e-6)


def test_frechet_distance_of_few_images_is_torch_fidelitys():
    # Theirs takes square roots of eigenvalues that should be zero and are 1e-16: it has fewer digits than ours.
    sets = our_metrics.feature_sets(counts=(20, 30), width=64)
    np.testing.assert_allclose(distances.frechet(*sets), torch_metrics.fid(*sets), rtol=1e-4)


@pytest.mark.parametrize("gram", [distances.GRAM, 10])
def test_kernel_distance_is_torch_fidelitys(monkeypatch, gram):
    monkeypatch.setattr(distances, "GRAM", gram)
    sets = our_metrics.feature_sets(counts=(150, 130), width=64)
    found = distances.kernel(*sets, subset_size=100, num_subsets=20)
    np.testing.assert_allclose(found, torch_metrics.kid(*sets, subset_size=100, num_subsets=20), rtol=1e-6)


def test_kernel_distance_of_all_images_is_torch_fidelitys():
    sets = our_metrics.feature_sets(counts=(100, 100), width=64)
    mean, _ = torch_metrics.kid(*sets, subset_size=100, num_subsets=1)
    np.testing.assert_allclose(distances.kernel(*sets).mean, mean, rtol=1e-6)


@pytest.mark.parametrize("net", NETS)
def test_heads_of_lpips_are_those_of_its_package(net):
    theirs = torch_file.read(torch_metrics.lpips_heads(net))
    ours = load_lpips(net)["heads"]
    assert len(theirs) == len(ours)
    for i in range(len(ours)):
        np.testing.assert_array_equal(ours[f"head_{i}"], theirs[f"lin{i}.model.1.weight"].reshape(-1))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 64), (45, 67)])
@pytest.mark.parametrize("net", NETS)
def test_lpips_is_the_packages(net, height, width):
    pair = our_metrics.pairs(height, width)
    expected = torch_metrics.lpips_distance(net, *pair)
    assert expected.min() > 1e-3
    np.testing.assert_allclose(lpips.lpips(load_lpips(net), *pair, net=net), expected, rtol=1e-4)


@pytest.mark.parametrize(("net", "side"), lpips.MINIMUM_SIDE.items())
def test_smallest_images_of_lpips_are_the_packages(net, side):
    image, other = our_metrics.pairs(side, 40)
    np.testing.assert_allclose(
        lpips.lpips(load_lpips(net), image, other, net=net), torch_metrics.lpips_distance(net, image, other), rtol=1e-4
    )
    with pytest.raises(RuntimeError):
        torch_metrics.lpips_distance(net, image[:, 1:], other[:, 1:])
