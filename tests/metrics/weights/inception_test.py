import hashlib

import numpy as np
import pytest

from sar2opt_jax.metrics.weights import inception, torch_file


def tensors() -> dict[str, np.ndarray]:
    """Of every name and shape, at no cost."""
    return {name: np.broadcast_to(np.float32(i), shape) for i, (name, shape) in enumerate(inception.shapes().items())}


def test_the_network_has_the_tensors_of_the_published_file():
    # Of TensorFlow's graph: 94 convolutions, each with a norm, and 21,785,568 trained parameters below the classifier.
    shapes = inception.shapes()
    assert len(shapes) == 5 * 94
    trained = [np.prod(shape) for name, shape in shapes.items() if "running" not in name]
    assert sum(trained) == 21_785_568
    assert shapes["Mixed_6c.branch7x7dbl_2.conv.weight"] == (160, 160, 7, 1)
    assert shapes["Mixed_7c.branch_pool.bn.running_var"] == (192,)


def test_tensors_find_their_places():
    given = tensors()
    kernel = np.arange(32 * 3 * 3 * 3, dtype=np.float32).reshape(32, 3, 3, 3)
    given["Conv2d_1a_3x3.conv.weight"] = kernel
    given["Mixed_7b.branch1x1.bn.running_var"] = np.arange(320, dtype=np.float32)
    extra = {"fc.weight": np.zeros((1008, 2048)), "fc.bias": np.zeros(1008)}
    extra["Mixed_7b.branch1x1.bn.num_batches_tracked"] = np.array(0)
    params = inception.to_flax(given | extra, where="x.pth")
    assert params["Conv2d_1a_3x3"]["kernel"][1, 2, 0, 31] == kernel[31, 0, 1, 2]
    assert set(params["Mixed_7b"]["branch1x1"]) == {"kernel", "scale", "bias", "mean", "var"}
    np.testing.assert_array_equal(params["Mixed_7b"]["branch1x1"]["var"], np.arange(320))


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("Mixed_5b.branch1x1.bn.bias", None, r"tensor Mixed_5b.branch1x1.bn.bias is missing; expected .* \(64,\)"),
        ("Mixed_5b.branch1x1.bn.bias", np.zeros(63), r"has shape \(63,\); expected \(64,\)"),
        ("Mixed_5b.branch1x1.bn.bias", np.zeros(64), "is float64; expected float32"),
        ("Mixed_5b.branch1x1.bn.bias", np.full(64, np.nan, np.float32), "not finite"),
        ("AuxLogits.conv0.conv.weight", np.zeros((1, 1)), r"tensor AuxLogits.conv0.conv.weight \(1, 1\) belongs to no"),
    ],
)
def test_tensors_that_do_not_fit_are_named(name, tensor, message):
    given = {key: value for key, value in (tensors() | {name: tensor}).items() if value is not None}
    with pytest.raises(ValueError, match=rf"^x\.pth: .*{message}"):
        inception.to_flax(given, where="x.pth")


def test_another_file_than_the_published_one_is_refused(tmp_path):
    path = tmp_path / "inception.pth"
    path.write_bytes(b"other")
    found = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(ValueError, match=rf"inception\.pth has the SHA-256 {found}; expected 6726825d\.\.\."):
        inception.load_inception(path)


def test_a_file_with_the_right_digest_is_read(tmp_path, monkeypatch):
    path = tmp_path / "inception.pth"
    path.write_bytes(b"other")
    monkeypatch.setattr(torch_file, "read", lambda path: tensors())
    for prefix in (hashlib.sha256(b"other").hexdigest()[:8], None):
        assert set(inception.load_inception(path, expected_sha256_prefix=prefix)) >= {"Conv2d_1a_3x3", "Mixed_7c"}


def test_an_absent_file_is_said_to_be_absent_and_where_it_comes_from(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"does not exist.*pt_inception-2015-12-05-6726825d\.pth"):
        inception.load_inception(tmp_path / "inception.pth")
