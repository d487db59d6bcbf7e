"""What all configs share: the paper's recipe, and the presets that change its data and size.

Every value stands here once, with its unit; a preset says only what differs. ``--config.GROUP.NAME=VALUE`` overrides
any of them on the command line. The groups ``model``, ``schedule``, ``data`` and ``stages`` are the identity of a
workdir: a run with other values needs a workdir of its own, all else may change when a run is resumed.
"""

from typing import Any

from ml_collections import ConfigDict, config_dict

Config = Any
"""A ``ConfigDict``, whose fields no type checker knows."""


def get_base(*, name: str, stages: tuple[str, ...], preset: str) -> Config:
    """The config ``name`` with the given preset.

    Raises:
      ValueError: for an unknown preset.
    """
    if preset not in PRESETS:
        raise ValueError(f"Unknown preset {preset!r}; known: {', '.join(PRESETS)}, as in --config={name}:smoke.")
    config = _paper()
    config.name, config.preset, config.stages = name, preset, stages
    PRESETS[preset](config)
    return config


def _paper() -> Config:
    """arXiv 2407.06095 and its authors' release: 256 x 256, 113.67M parameters, 16 examples a step."""
    config: Config = ConfigDict()
    config.seed = 3407

    config.data = ConfigDict()
    config.data.name = "sen12"  # a TFDS dataset, builder config after a slash
    config.data.data_dir = config_dict.placeholder(str)  # None: where TFDS keeps its datasets
    config.data.image_size = 256  # pixels; larger images are cropped at random
    config.data.augment = True  # flips and 90-degree turns
    config.data.radar_jitter = 0.0  # up to this share of half the grey levels are contrast and level varied; 0: not

    config.model = ConfigDict()
    config.model.widths = (128, 128, 256, 256, 512, 512)  # channels a level, multiples of 32
    config.model.blocks_per_level = 2
    config.model.attention = (False, False, False, False, True, False)  # a level
    config.model.head_width = 8  # channels of an attention head
    config.model.norm_groups = 32
    config.model.prediction = "eps"  # eps | v | x_0
    config.model.input_gain = "none"  # none | wiener: what the noisy image is multiplied by before the network

    config.schedule = ConfigDict()
    config.schedule.name = "scaled_linear"  # linear | scaled_linear | cosine
    config.schedule.num_steps = 1000
    config.schedule.rescale_zero_snr = False  # needs v- or x_0-prediction

    config.train = ConfigDict()  # the same for all stages
    config.train.batch_size = 16  # examples an optimiser step, over all devices and hosts
    config.train.micro_batches = 2  # a step's share of a device is computed in this many parts
    config.train.remat = "none"  # none | blocks: their insides are computed again for gradients; less memory, slower
    config.train.mapping = "auto"  # pmap | shard_map | auto: pmap in one process, shard_map in several
    config.train.nonfinite = "stop"  # stop | skip: what a loss or gradient that is not finite does
    config.train.log_every_steps = 100
    config.train.preview_every_steps = 5_000  # on images of the validation split
    config.train.validate_every_steps = 5_000  # losses, PSNR, SSIM and LPIPS on the same images
    config.train.save_every_steps = 5_000
    config.train.keep_checkpoints = 2  # the newest; a full ACD checkpoint of the paper's network is about 3.3 GiB
    config.train.keep_every_steps = config_dict.placeholder(int)  # their multiples stay for good; None: none do
    # Such as validation/lpips_alexnet or loss/teacher, as it is in metrics.jsonl; None: none are kept for being best.
    config.train.keep_best_metric = config_dict.placeholder(str)
    config.train.keep_best_checkpoints = 1  # of the best by keep_best_metric, besides all others that are kept
    config.train.profile_steps = 0  # of every start that are traced for TensorBoard's profiler, after its first 10
    config.train.loader_threads = 16
    config.train.trackers = ()  # wandb, mlflow: where metrics go besides the workdir; each needs the extra of its name

    config.teacher = ConfigDict()
    config.teacher.num_steps = 200_000
    config.teacher.export = config_dict.placeholder(str)  # to take instead of training, as of sar2opt translate --model
    config.teacher.dtype = "bfloat16"  # of the network's inside; its input, output and parameters are float32
    config.teacher.optimizer = _optimizer(learning_rate=1e-4)
    config.teacher.min_snr_gamma = config_dict.placeholder(float)  # None: no weighting
    config.teacher.noise_offset = 0.0  # standard deviation of a constant added to eps
    config.teacher.input_perturbation = 0.0  # 0.1 when on
    config.teacher.max_ema_decay = 0.9999
    config.teacher.preview_steps = 20

    config.distill = ConfigDict()  # both for stage distill and for stage adversarial
    config.distill.num_steps = 50_000
    config.distill.dtype = "float32"  # a one-step student divides by alpha_t: bfloat16 is not precise enough
    config.distill.optimizer = _optimizer(learning_rate=8e-6)
    config.distill.solver_steps = 50
    config.distill.loss = "pseudo_huber"  # pseudo_huber | l2
    config.distill.huber_c = 1e-3  # in units of [-1, 1] intensity
    config.distill.target_decay = 0.95
    config.distill.sigma_data = 0.5
    config.distill.export_target = False  # True: export the EMA target instead of the student
    config.distill.sampling_times_share = 0.0  # of the examples, drawn at the times of sampling_steps; the rest evenly
    config.distill.sampling_steps = (1, 2, 4, 8)  # numbers of steps that the student is to be sampled with
    config.distill.reconstruction_weight = 0.0  # of the distance to the optical image itself; 0: leave it out
    config.distill.reconstruction_loss = "l1"  # l1 | pseudo_huber
    config.distill.own_output_share = 0.0  # of the examples, noised from the student's own translation
    config.distill.own_output_steps = 1  # of that translation, at most; a forward pass each
    config.distill.preview_steps = 4

    config.adversarial = ConfigDict()  # what stage adversarial adds to distill
    config.adversarial.loss = "non_saturating"  # non_saturating | hinge | wasserstein | least_squares
    config.adversarial.weight = 1.0
    config.adversarial.real = "target"  # target | optical
    config.adversarial.discriminator = "unet"  # unet (one logit) | unet_patches (a logit a location) | patchgan
    config.adversarial.discriminator_widths = (64, 128, 256, 512)  # of patchgan, as in group pix2pix
    config.adversarial.shows_noisy = False  # True: patchgan sees the noisy image beside radar and judged image
    config.adversarial.judged_at = "s"  # s | clean: the time that the U-Net's encoder is told of the judged image
    config.adversarial.time_weight = "constant"  # constant | linear (t / (T - 1)) | noisiest (at T - 1 alone)
    config.adversarial.optimizer = _following(config.distill.optimizer)  # of the discriminator

    # The baselines: the same network, as many optimiser steps as teacher and student together.
    config.pix2pix = ConfigDict()
    config.pix2pix.num_steps = 250_000
    config.pix2pix.dtype = "bfloat16"  # of the networks' inside; input, output, statistics and parameters are float32
    config.pix2pix.optimizer = _gan_optimizer()
    config.pix2pix.discriminator_widths = (64, 128, 256, 512)  # judges patches of 70 x 70 pixels; one fewer, 34 x 34
    config.pix2pix.loss = "non_saturating"  # non_saturating | hinge | wasserstein | least_squares
    config.pix2pix.adversarial_weight = 1.0  # 0: a regression
    config.pix2pix.l1_weight = 100.0

    config.cyclegan = ConfigDict()
    config.cyclegan.num_steps = 250_000
    config.cyclegan.dtype = "bfloat16"
    config.cyclegan.optimizer = _gan_optimizer()
    config.cyclegan.discriminator_widths = (64, 128, 256, 512)
    config.cyclegan.loss = "least_squares"  # non_saturating | hinge | wasserstein | least_squares
    config.cyclegan.cycle_weight = 10.0

    config.evaluation = ConfigDict()
    config.evaluation.split = "test"
    config.evaluation.num_examples = 256  # spread evenly over the split; all there are, if there are fewer
    config.evaluation.batch_size = 16  # images at once, over all devices of a process
    config.evaluation.models = ()  # more networks to compare, "NAME=PATH", PATH as of sar2opt translate --model
    config.evaluation.lpips = ("alexnet", "vgg16")  # what LPIPS is measured with; vgg16 needs the extra lpips
    config.evaluation.fid_weights = config_dict.placeholder(str)  # the file pt_inception-2015-12-05-6726825d.pth
    config.evaluation.teacher_samplers = ("ddim", "dpm_solver_pp")
    config.evaluation.teacher_steps = (1, 2, 4, 8, 16, 50)
    config.evaluation.original_steps = 1000  # of the ancestral sampler, the paper's "original"
    config.evaluation.student_steps = (1, 2, 4, 8)
    config.evaluation.student_gamma = 1.0  # share of its noise that lcm draws anew between two steps, 0 to 1
    config.evaluation.figure_steps = 8  # of DDIM and DPM++ in the side-by-side figure
    config.evaluation.figure_rows = 8
    config.evaluation.uncertainty_samples = 19  # translations of each image, whose spread is compared; 0 is none
    config.evaluation.floor_window = 7  # pixels: side of the window that the linear regression sees
    config.evaluation.floor_examples = 512
    return config


def _optimizer(*, learning_rate: float) -> ConfigDict:
    """AdamW with linear warm-up."""
    return ConfigDict(
        {
            "learning_rate": learning_rate,
            "warmup_steps": 500,
            "decay": "cosine",  # down to zero: cosine | second_half (constant, from the middle on linear)
            "betas": (0.9, 0.999),
            "eps": 1e-8,
            "weight_decay": 1e-2,
            "clip_norm": 1.0,
        }
    )


def _following(optimizer: ConfigDict) -> ConfigDict:
    """The values of another optimiser, also where they change later, until they are set themselves."""
    return ConfigDict(
        {
            "learning_rate": optimizer.get_oneway_ref("learning_rate"),
            "warmup_steps": optimizer.get_oneway_ref("warmup_steps"),
            "decay": optimizer.get_oneway_ref("decay"),
            "betas": optimizer.get_oneway_ref("betas"),
            "eps": optimizer.get_oneway_ref("eps"),
            "weight_decay": optimizer.get_oneway_ref("weight_decay"),
            "clip_norm": optimizer.get_oneway_ref("clip_norm"),
        }
    )


def _gan_optimizer() -> ConfigDict:
    """Adam as in arXiv 1611.07004 and 1703.10593: no decay of weights, no clipping, constant, then down to zero."""
    config = _optimizer(learning_rate=2e-4)
    config.warmup_steps = 0
    config.decay = "second_half"
    config.betas = (0.5, 0.999)
    config.weight_decay = 0.0
    del config["clip_norm"]
    config.clip_norm = config_dict.placeholder(float)  # None: gradients as they are
    return config


def _sen12(config: Config) -> None:
    """SEN1-2: Sentinel-1 VV to Sentinel-2 RGB."""
    del config  # The paper's recipe as it stands.


def _gf3(config: Config) -> None:
    """Gaofen-3 spotlight: the paper's set is not public, QXS-SAROPT serves the same use."""
    config.data.name = "gf3/qxs_saropt"


def _simulated(config: Config) -> None:
    """The embedded dataset and a network that two CPU cores train in minutes."""
    config.data.name = "simulated"
    config.data.image_size = 32
    config.model.widths = (32, 64, 64)
    config.model.blocks_per_level = 1
    config.model.attention = (False, False, True)
    config.model.norm_groups = 8  # 32 groups of one channel would normalise the time embedding away
    # A small network, trained for minutes, that has to put out noise at clean times (eps, v) lets some of it through at
    # noisy ones as well, which shows in one step.
    config.model.prediction = "x_0"
    config.model.input_gain = "wiener"
    config.schedule.rescale_zero_snr = True
    config.train.batch_size = 16
    config.train.micro_batches = 1
    config.train.log_every_steps = 50
    config.train.preview_every_steps = 300
    config.train.validate_every_steps = 300
    config.train.save_every_steps = 300
    config.train.loader_threads = 2
    config.teacher.num_steps = 450
    config.teacher.dtype = "float32"
    config.teacher.optimizer.learning_rate = 1e-3
    config.teacher.optimizer.warmup_steps = 100
    config.distill.num_steps = 450
    config.distill.optimizer.learning_rate = 5e-4
    config.distill.optimizer.warmup_steps = 10
    config.distill.sampling_times_share = 0.9
    config.distill.sampling_steps = (1, 2, 4)
    config.distill.reconstruction_weight = 10.0
    config.distill.own_output_share = 1.0
    config.adversarial.real = "optical"
    config.adversarial.discriminator = "patchgan"  # one logit behind an encoder learns nothing in so few steps
    config.adversarial.discriminator_widths = (32, 64, 128)
    config.adversarial.weight = 0.15
    config.adversarial.optimizer.learning_rate = 1e-3
    for baseline in (config.pix2pix, config.cyclegan):
        baseline.num_steps = config.teacher.num_steps + config.distill.num_steps
        baseline.dtype = "float32"
        baseline.discriminator_widths = (32, 64, 128)  # patches of 34 x 34 pixels: these images are no larger
    config.evaluation.num_examples = 16
    config.evaluation.lpips = ("alexnet",)
    config.evaluation.teacher_steps = (1, 2, 4, 8, 50)


def _simulated_long(config: Config) -> None:
    """As ``simulated``, trained more than twice as long."""
    _simulated(config)
    config.teacher.num_steps = 1_250
    config.distill.num_steps = 1_000
    config.pix2pix.num_steps = config.cyclegan.num_steps = 2_250


def _sen12_small(config: Config) -> None:
    """Crops of SEN1-2, the network and options of ``simulated``: to see it work on real pairs on two CPU cores."""
    _simulated(config)
    config.data.name = "sen12"
    config.data.image_size = 64
    config.train.batch_size = 8
    config.teacher.num_steps = 1_000
    config.distill.num_steps = 700
    config.pix2pix.num_steps = config.cyclegan.num_steps = 1_700


def _real_small(config: Config) -> None:
    """SEN1-2, hundreds of real pairs: 7M parameters, crops of 64, hours on two CPU cores."""
    _simulated(config)
    config.data.name = "sen12"
    config.data.image_size = 64
    config.data.radar_jitter = 0.05
    config.model.widths = (32, 64, 128, 192)
    config.model.attention = (False, False, False, True)
    config.model.head_width = 16
    config.train.batch_size = 8
    config.train.preview_every_steps = 1_000
    config.train.save_every_steps = 1_000
    config.teacher.num_steps = 6_000
    config.teacher.optimizer.warmup_steps = 200
    config.distill.num_steps = 1_500
    config.distill.optimizer.learning_rate = 3e-4
    config.distill.optimizer.warmup_steps = 50
    # What sen12-small was trained with; that of `simulated` has not been tried on real pairs.
    config.distill.sampling_times_share = 0.8
    config.distill.reconstruction_weight = 3.0
    config.distill.own_output_share = 0.0
    config.adversarial.weight = 0.05
    config.adversarial.discriminator_widths = (64, 128, 256)
    for baseline in (config.pix2pix, config.cyclegan):
        baseline.num_steps = config.teacher.num_steps + config.distill.num_steps
        baseline.discriminator_widths = (64, 128, 256)
    config.evaluation.num_examples = 128


def _smoke(config: Config) -> None:
    """Every stage and the evaluation, to see that everything runs: minutes on a CPU, most of them compiling."""
    _simulated(config)
    config.data.name = "simulated/tiny"
    config.model.widths = (32, 32)
    config.model.attention = (False, True)
    config.train.log_every_steps = 2
    config.train.preview_every_steps = 4
    config.train.validate_every_steps = 4
    config.train.save_every_steps = 4
    config.train.batch_size = 4
    config.teacher.num_steps = 8
    config.distill.num_steps = 4
    config.pix2pix.num_steps = config.cyclegan.num_steps = 8
    config.evaluation.num_examples = 4
    config.evaluation.teacher_steps = (1, 2)
    config.evaluation.student_steps = (1, 2)
    config.evaluation.original_steps = 10
    config.evaluation.figure_steps = 2
    config.evaluation.figure_rows = 4
    config.evaluation.uncertainty_samples = 3
    config.evaluation.floor_examples = 16


PRESETS = {
    "simulated": _simulated,
    "simulated_long": _simulated_long,
    "sen12": _sen12,
    "gf3": _gf3,
    "sen12_small": _sen12_small,
    "real_small": _real_small,
    "smoke": _smoke,
}
