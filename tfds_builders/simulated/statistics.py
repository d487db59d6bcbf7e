"""How hard the simulated dataset is; ``python -m tfds_builders.simulated.statistics`` prints what docs/data.md states.

Three numbers frame what a translation can reach. The *irreducible variance* is the spread of optical images of one
landscape over the camera's random draws: nobody who knows the landscape, let alone its radar image, does better than
their mean. The *sample limit* is the error of one such image against another: twice the variance. The *linear floor* is
the best linear regression from a window of the radar image to the colour of its middle: what needs no network.
"""

import argparse

import numpy as np

from tfds_builders.simulated import imaging
from tfds_builders.simulated.landscape import SEASONS, SIZE, TERRAINS, make_landscape
from tfds_builders.simulated.simulated_dataset_builder import FIRST_SCENE, PATCH_SIZE, SEED, Scene, make_scene, patches


def irreducible_variance(number: int, *, renderings: int) -> float:
    """Variance over the camera's draws for the landscape of one scene, mean over pixels and colours, in [0, 1]^2.

    Args:
        number: of the scene.
        renderings: how many optical images are drawn, at least 2.
    """
    land = make_landscape(np.random.default_rng([SEED, number, 0]))
    cameras = np.random.default_rng([SEED, number, 3]).spawn(renderings)
    images = np.stack([imaging.optical_image(land, camera) for camera in cameras])
    return float(images.var(axis=0, ddof=1).mean())


def windows(scene: Scene, *, side: int) -> np.ndarray:
    """Every pixel's window of the radar image, within its patch and mirrored at its border, and a constant.

    Returns:
        [256 * 256, side * side + 1] float64, radar in [0, 1], patch by patch.
    """
    margin = side // 2
    sar = np.pad(patches(scene.sar) / 255, ((0, 0), (margin, margin), (margin, margin)), mode="reflect")
    seen = np.lib.stride_tricks.sliding_window_view(sar, (side, side), axis=(1, 2)).reshape(SIZE**2, side**2)
    return np.concatenate([seen, np.ones((SIZE**2, 1))], axis=1)


def linear_floor(training: list[Scene], test: list[Scene], *, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Squared errors on the test scenes of the regression fitted to the training scenes, and of the mean colour.

    Returns:
        Two arrays [patches], each patch's mean over pixels and colours, in [0, 1]^2.
    """
    square, product = np.zeros((side**2 + 1, side**2 + 1)), np.zeros((side**2 + 1, 3))
    for scene in training:
        seen, colours = windows(scene, side=side), patches(scene.optical).reshape(-1, 3) / 255
        square += seen.T @ seen
        product += seen.T @ colours
    weights = np.linalg.solve(square, product)
    mean = product[-1] / square[-1, -1]

    errors = []
    for scene in test:
        colours = patches(scene.optical).reshape(-1, PATCH_SIZE**2, 3) / 255
        guess = np.clip(windows(scene, side=side) @ weights, 0, 1).reshape(colours.shape)
        errors.append([((image - colours) ** 2).mean(axis=(1, 2)) for image in (guess, mean)])
    of_window, of_mean = np.concatenate(errors, axis=1)
    return of_window, of_mean


def looks(number: int) -> float:
    """Equivalent number of looks, mean^2 / variance, of one scene's speckle: what a flat uniform lake would show."""
    intensity = imaging.speckle(np.random.default_rng([SEED, number, 4]))
    return float(intensity.mean() ** 2 / intensity.var())


def psnr(squared_error: np.ndarray | float) -> np.ndarray:
    """Peak signal-to-noise ratio in dB of images in [0, 1]."""
    return -10 * np.log10(squared_error)


def main(arguments: list[str] | None = None) -> None:
    """Prints the statistics."""
    parser = argparse.ArgumentParser(prog="python -m tfds_builders.simulated.statistics", description=__doc__)
    parser.add_argument("--train_scenes", type=int, default=64, help="scenes the regression is fitted to")
    parser.add_argument("--test_scenes", type=int, default=32, help="scenes everything is measured on")
    parser.add_argument("--renderings", type=int, default=8, help="optical images of each test scene")
    parser.add_argument("--window", type=int, default=7, help="side of the regression's window in pixels")
    flags = parser.parse_args(arguments)

    numbers = range(FIRST_SCENE["test"], FIRST_SCENE["test"] + flags.test_scenes)
    variance = float(np.mean([irreducible_variance(number, renderings=flags.renderings) for number in numbers]))
    training, test = [make_scene(number) for number in range(flags.train_scenes)], [make_scene(n) for n in numbers]
    floor, constant = linear_floor(training, test, side=flags.window)

    # PSNR of the mean squared error first, then the mean over images of their PSNR, which is what evaluation reports.
    print(f"irreducible variance        {variance:.6f}")
    print(f"PSNR of the mean rendering  {psnr(variance):6.2f} dB")
    print(f"PSNR of another rendering   {psnr(2 * variance):6.2f} dB")
    for name, errors in ((f"{flags.window} x {flags.window} linear", floor), ("the mean colour", constant)):
        print(f"PSNR of {name:<19} {psnr(errors.mean()):6.2f} dB {psnr(errors).mean():6.2f} dB")
    print(f"equivalent number of looks  {looks(0):6.2f}")
    for name, kinds in (("terrain", TERRAINS), ("season", SEASONS)):
        found = [getattr(scene.landscape, name) for scene in training + test]
        print(f"{name:<10}", "  ".join(f"{kind} {found.count(kind)}" for kind in kinds))


if __name__ == "__main__":
    main()
