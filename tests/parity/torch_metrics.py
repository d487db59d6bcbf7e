"""The reference's side of a comparison of metrics: torch-fidelity, lpips and scikit-image.

The first two import torchvision for networks that they would download. A module of its name stands in for it here,
whose AlexNet and VGG16 are plain layers, filled with the weights that LPIPS is given elsewhere in this project.
"""

import contextlib
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import skimage.color
import skimage.metrics
import torch
from our_metrics import CLASSES
from torch import Tensor, nn

from sar2opt_jax.metrics.weights.lpips import load_lpips

LEVELS = {
    "alexnet": ((64, 11, 4, 2), "pool", (192, 5, 1, 2), "pool", (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1), "pool"),
    "vgg16": tuple(
        layer
        for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
        for layer in (*[(width, 3, 1, 1)] * count, "pool")
    ),
}
"""Convolutions as (outputs, window, stride, padding), each with a ReLU after it, and poolings."""
POOLS = {"alexnet": (3, 2), "vgg16": (2, 2)}
NAMES = {"alexnet": "alex", "vgg16": "vgg"}
"""Networks by our name and by that of the package lpips."""


def _trunk(net: str) -> types.SimpleNamespace:
    """What torchvision's network of this name is, as far as lpips looks at it."""
    parameters = load_lpips(net)["trunk"]
    layers: list[nn.Module] = []
    inputs = 3
    convolutions = iter(parameters.values())
    for level in LEVELS[net]:
        if level == "pool":
            layers.append(nn.MaxPool2d(*POOLS[net]))
            continue
        outputs, window, stride, padding = level
        layer, values = nn.Conv2d(inputs, outputs, window, stride, padding), next(convolutions)
        layer.weight.data = torch.from_numpy(values["kernel"].transpose(3, 2, 0, 1).copy())
        layer.bias.data = torch.from_numpy(values["bias"].copy())
        layers += [layer, nn.ReLU()]
        inputs = outputs
    return types.SimpleNamespace(features=nn.Sequential(*layers))


@contextlib.contextmanager
def _stand_in() -> Iterator[None]:
    """Puts modules by the names of torchvision's where imports look, with what is asked for at import, and no more.

    And takes them away again: diffusers, which runs in the same process, looks whether there is a torchvision.
    """
    contents: dict[str, dict[str, Any]] = {
        "torchvision": {},
        "torchvision.datasets": {name: type(name, (), {}) for name in ("CIFAR10", "CIFAR100", "STL10")},
        "torchvision.models": {net: lambda net=net, **_: _trunk(net) for net in LEVELS},
        "torchvision.transforms": {},
        "torchvision.transforms.functional": {},
    }
    for name, content in contents.items():
        module = sys.modules[name] = types.ModuleType(name)
        vars(module).update(content)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
    yield
    for name in contents:
        del sys.modules[name]


with _stand_in():
    import lpips
    from torch_fidelity import metric_fid, metric_kid
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3


def save(tensors: Mapping[str, np.ndarray], path: Path, *, legacy: bool) -> None:
    """Writes a ``state_dict`` as PyTorch does, in its format of today or of before version 1.6."""
    state = OrderedDict((name, torch.from_numpy(values.copy())) for name, values in tensors.items())
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)


def save_inception(tensors: Mapping[str, np.ndarray], path: Path, *, legacy: bool = False) -> None:
    """Writes a file like the published one: with counters, and the classifier on top."""
    whole = dict(tensors)
    for name in tensors:
        if name.endswith("running_var"):
            whole[name.replace("running_var", "num_batches_tracked")] = np.array(0)
    whole |= {"fc.weight": np.zeros((CLASSES, 2048), np.float32), "fc.bias": np.zeros(CLASSES, np.float32)}
    save(whole, path, legacy=legacy)


def inception_features(path: Path, images: np.ndarray) -> np.ndarray:
    """torch-fidelity's features ``2048`` of uint8 images, with the weights in the file."""
    network = FeatureExtractorInceptionV3("compared", ["2048"], feature_extractor_weights_path=str(path))
    with torch.no_grad():
        (features,) = network(_channels_first(images))
    return features.numpy()


def fid(features: np.ndarray, reference: np.ndarray) -> float:
    """torch-fidelity's FID of given features."""
    statistics = [metric_fid.fid_features_to_statistics(torch.from_numpy(x)) for x in (features, reference)]
    return metric_fid.fid_statistics_to_metric(*statistics, verbose=False)[metric_fid.KEY_METRIC_FID]


def kid(features: np.ndarray, reference: np.ndarray, *, subset_size: int, num_subsets: int) -> tuple[float, float]:
    """torch-fidelity's KID of given features, mean and standard deviation."""
    found = metric_kid.kid_features_to_metric(
        torch.from_numpy(features),
        torch.from_numpy(reference),
        kid_subset_size=subset_size,
        kid_subsets=num_subsets,
        verbose=False,
    )
    return found[metric_kid.KEY_METRIC_KID_MEAN], found[metric_kid.KEY_METRIC_KID_STD]


def lpips_distance(net: str, image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The distance of images in [0, 1] by the package lpips, whose heads come with it."""
    network = lpips.LPIPS(net=NAMES[net], version="0.1", verbose=False)
    with torch.no_grad():
        return network(_channels_first(image), _channels_first(truth), normalize=True).numpy().reshape(-1)


def lpips_heads(net: str) -> Path:
    """The file of heads in the package lpips."""
    return Path(lpips.__file__).parent / "weights" / "v0.1" / f"{NAMES[net]}.pth"


def psnr(image: np.ndarray, truth: np.ndarray) -> list[float]:
    """scikit-image's, per image."""
    return [skimage.metrics.peak_signal_noise_ratio(b, a, data_range=1.0) for a, b in _double(image, truth)]


def ssim(image: np.ndarray, truth: np.ndarray) -> list[float]:
    """scikit-image's with the settings of the paper that defines it, per image."""
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return [
        skimage.metrics.structural_similarity(a, b, data_range=1.0, channel_axis=-1, **settings)
        for a, b in _double(image, truth)
    ]


def lab(image: np.ndarray) -> np.ndarray:
    """scikit-image's CIELAB."""
    return skimage.color.rgb2lab(image.astype(np.float64))


def ciede2000(lab_a: np.ndarray, lab_b: np.ndarray) -> np.ndarray:
    """scikit-image's."""
    return skimage.color.deltaE_ciede2000(lab_a.astype(np.float64), lab_b.astype(np.float64))


def _double(*images: np.ndarray) -> Any:
    return zip(*(image.astype(np.float64) for image in images), strict=True)


def _channels_first(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
