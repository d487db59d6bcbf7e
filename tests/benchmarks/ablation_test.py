import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from benchmarks.ablation import __main__ as command
from benchmarks.ablation import fit, keep
from benchmarks.ablation import pairs as data
from benchmarks.ablation.queue import Queue
from benchmarks.ablation.training import Trainer, rate
from benchmarks.ablation.variants import VARIANTS, change, config_of
from configs.base import get_base
from sar2opt_jax.data import pipeline, prepared
from sar2opt_jax.data.scaling import to_float
from sar2opt_jax.interop import model_folder
from sar2opt_jax.models.init import init_params
from sar2opt_jax.run.optimizers import learning_rate
from sar2opt_jax.run.stages import unet
from tfds_builders.preparation import prepare

TINY = {
    "model.widths": (8, 8),
    "model.attention": (False, False),
    "model.norm_groups": 2,
    "data.image_size": 32,
    "train.batch_size": 2,
    "teacher.num_steps": 4,
    "distill.num_steps": 4,
    "pix2pix.num_steps": 4,
    "pix2pix.discriminator_widths": (8,),
    "evaluation.teacher_steps": (1,),
    "evaluation.student_steps": (1, 2),
}


def split(count=5, size=24):
    rng = np.random.default_rng(0)
    sar, optical = (rng.integers(0, 256, (count, size, size, channels), np.uint8) for channels in (1, 3))
    return data.Pairs(sar, optical)


@pytest.fixture
def file(tmp_path):
    train, test = split(size=40), split(4, size=40)
    path = tmp_path / "pairs.npz"
    np.savez(path, **{"train/sar": train.sar, "train/optical": train.optical, "test/sar": test.sar,
                      "test/optical": test.optical})  # fmt: skip
    return path


def test_batch_is_cut_turned_and_scaled_as_by_the_pipeline():
    pairs = split()
    views = data.draw_views(pairs, steps=3, batch_size=16, image_size=16, seed=0, augment=True, radar_jitter=0.1)
    on_device = jax.tree.map(jnp.asarray, pairs)
    for step in range(3):
        view = jax.tree.map(lambda array, step=step: array[step], views)
        batch = data.cut(on_device, view, image_size=16)
        for i in range(16):
            place = {"top": int(view.top[i]), "left": int(view.left[i]), "size": 16}
            example = pipeline._crop({"sar": pairs.sar[view.pair[i]], "optical": pairs.optical[view.pair[i]]}, **place)
            sar, optical = (
                pipeline._turn(example[name], turns=int(view.turns[i]), flip=bool(view.flip[i]))
                for name in ("sar", "optical")
            )
            np.testing.assert_allclose(batch.optical[i], to_float(optical), atol=1e-6)
            jittered = pipeline.jittered(sar, contrast=float(view.contrast[i]), levels=view.levels[i])
            np.testing.assert_allclose(batch.sar[i], to_float(jittered), atol=1.01 / 127.5)


def test_every_pair_is_seen_once_an_epoch():
    views = data.draw_views(split(), steps=10, batch_size=2, image_size=8, seed=1, augment=False, radar_jitter=0.0)
    epochs = views.pair.ravel().reshape(4, 5)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(5), (4, 1)))
    assert len(np.unique(epochs, axis=0)) > 1
    assert not views.flip.any() and not views.turns.any() and not views.contrast.any()


def test_crops_tile_an_image_and_leave_the_rest():
    pairs = split(2)
    found = data.crops(pairs, 10)
    assert found.optical.shape == (8, 10, 10, 3)
    np.testing.assert_array_equal(found.sar[3], pairs.sar[0, 10:20, 10:20])
    np.testing.assert_array_equal(data.centres(pairs, 10).sar, pairs.sar[:, 7:17, 7:17])


def test_packed_pairs_are_those_of_the_dataset(tmp_path, monkeypatch):
    pairs = split(3)
    source = [{"sar": s, "optical": o, "id": b"a"} for s, o in zip(*pairs, strict=True)]
    monkeypatch.setattr(prepared, "open_split", lambda name, **options: source)
    command.main([f"--pairs={tmp_path / 'p.npz'}", "--pack=sen12"])
    for name in data.SPLITS:
        np.testing.assert_array_equal(data.read(tmp_path / "p.npz")[name].optical, pairs.optical)


def test_file_without_pairs_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", images=np.zeros(3))
    with pytest.raises(ValueError, match=r"other\.npz holds no pairs; expected SPLIT/sar"):
        data.read(tmp_path / "other.npz")


@pytest.mark.parametrize("name", ["distill", "pix2pix"])
@pytest.mark.parametrize("total", [7, 150, 1000])
def test_learning_rate_of_a_length_that_is_an_array_is_that_of_the_config(name, total):
    config = get_base(name="acd", stages=("teacher",), preset="simulated")[name].optimizer
    expected, found = learning_rate(config, num_steps=total), rate(config, jnp.float32(total))
    for step in range(0, total, max(total // 40, 1)):
        np.testing.assert_allclose(found(jnp.float32(step)), expected(step), rtol=2e-4, atol=1e-9, err_msg=str(step))


def test_variants_start_from_variants_and_change_what_is_there():
    for name, variant in VARIANTS.items():
        config = config_of(name, "simulated", more={})
        assert config.teacher.num_steps + config.distill.num_steps == config.pix2pix.num_steps == 900
        if variant.teacher:
            teacher = config_of(variant.teacher, "simulated", more={})
            assert teacher.model == config.model and teacher.teacher == config.teacher
    with pytest.raises(KeyError, match=r"The config has no distill\.nothing"):
        config_of("student", "simulated", more={"distill.nothing": 1})


def test_queue_gives_a_variant_once_and_a_student_after_its_teacher(tmp_path):
    names = ["no gain", "pix2pix", "teacher, no gain"]
    queue, other = Queue(tmp_path, names), Queue(tmp_path, names)
    taken, also = queue.take(deadline=float("inf")), other.take(deadline=float("inf"))
    assert (next(taken), next(also)) == ("pix2pix", "teacher, no gain")
    queue.save("teacher, no gain", 3, {"unet": {"conv": {"kernel": jnp.arange(4.0)}}})
    queue.done("teacher, no gain")
    assert next(taken) == "no gain" and list(also) == [] and list(taken) == []
    np.testing.assert_array_equal(other.load("teacher, no gain", 3)["unet"]["conv"]["kernel"], np.arange(4))
    with pytest.raises(ValueError, match="others start from it: teacher, no gain"):
        Queue(tmp_path, ["no gain"])


def test_training_on_the_device_learns_and_repeats(file):
    config = config_of("teacher, no gain", "simulated", more=TINY | {"teacher.num_steps": 60})
    trainer = Trainer(config, "teacher", train=data.read(file)["train"], steps_a_call=20)
    one, again, other = (trainer.run(seed=seed) for seed in (0, 0, 1))
    assert one.steps == 60 and one.curve[-1]["step"] == 60
    assert one.curve[-1]["loss/teacher"] < one.curve[0]["loss/teacher"]
    kernels = [run.export["unet"]["conv_in"]["kernel"] for run in (one, again, other)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.abs(kernels[0] - kernels[2]).max() > 0.01


def test_steps_of_one_program_are_those_of_single_ones():
    config = get_base(name="acd", stages=("teacher",), preset="simulated")
    change(config, TINY)
    apart, together = (
        Trainer(config, "teacher", train=split(size=40), steps_a_call=2, one_program=one).run(seed=0)
        for one in (False, True)
    )
    assert (apart.steps, len(apart.curve)) == (together.steps, len(together.curve)) == (4, 2)
    for found, expected in zip(apart.curve, together.curve, strict=True):
        np.testing.assert_allclose(found["loss/teacher"], expected["loss/teacher"], rtol=1e-4)
    kernels = [run.export["unet"]["conv_in"]["kernel"] for run in (apart, together)]
    np.testing.assert_allclose(*kernels, rtol=1e-3, atol=1e-5)


def test_command_trains_measures_and_writes(file, tmp_path):
    output, settings = tmp_path / "result.json", [f"{k}={json.dumps(v)}" for k, v in TINY.items()]
    queue = Queue(tmp_path / "queue", ["teacher, no gain", "no gain"])
    options = command.parser().parse_args(
        [f"--pairs={file}", "--seeds", "0", "--original", "--variants", *queue.names, "--steps_a_call=2",
         f"--output={output}", "--set", *settings]
    )  # fmt: skip
    command.work(options, queue)
    command.write(options, queue, 0.0)
    result = json.loads(output.read_text())
    teacher, student = result["results"]
    assert (teacher["variant"], student["training"]["steps"]) == ("teacher, no gain", 4)
    assert [row["steps"] for row in student["measured"]] == [1, 2]
    assert all(np.isfinite(row["psnr"]) and row["seconds"] > 0 for row in student["measured"])
    assert result["variants"]["teacher, no gain"]["changes"] == {"model.input_gain": "none"}


def test_students_of_a_fit_share_all_but_their_own_settings():
    config = get_base(name="acd", stages=("teacher", "adversarial"), preset="real_small")
    found = fit.networks(config, [["plain"], ["often", "distill.sampling_times_share=0.9", "adversarial.weight=0.1"]])
    assert [(name, network.stage) for name, network in found.items()] == [
        ("teacher", "teacher"),
        ("plain", "adversarial"),
        ("often", "adversarial"),
        ("pix2pix", "pix2pix"),
        ("regression", "pix2pix"),
    ]
    weights = [found[name].config.pix2pix.adversarial_weight for name in ("pix2pix", "regression")]
    assert weights == [config.pix2pix.adversarial_weight, 0]
    assert found["often"].config.distill.sampling_times_share == 0.9 and found["often"].config.model == config.model
    assert found["plain"].config.adversarial.weight == config.adversarial.weight != 0.1
    assert list(fit.networks(config, [])) == ["teacher", "student", "pix2pix", "regression"]


@pytest.mark.parametrize(
    ("student", "message"),
    [
        (["teacher"], "expected a new name"),
        (["a/b"], "expected a new name"),
        (["other", "model.widths=[8]"], "changes model.widths; expected settings of distill or adversarial"),
    ],
)
def test_student_that_is_none_of_the_teacher_is_refused(student, message):
    config = get_base(name="acd", stages=("teacher", "adversarial"), preset="real_small")
    with pytest.raises(ValueError, match=message):
        fit.networks(config, [student])


def test_model_folder_of_a_fit_says_how_it_was_trained(tmp_path):
    settings = TINY | {"model.head_width": 8}
    config = get_base(name="acd", stages=("teacher", "adversarial"), preset="simulated")
    change(config, settings | {"data.name": "simulated/tiny"})
    params = init_params(unet(config).make(), jax.random.key(0), image_size=16, sar_channels=1)
    changes = {"adversarial.weight": 0.125}
    training = {
        "teacher": {"stage": "teacher", "changes": {}, "steps": 40},
        "often": {"stage": "adversarial", "changes": changes, "steps": 20},
    }
    found = {"preset": "simulated", "config": json.loads(config.to_json_best_effort()), "training": training}
    (tmp_path / "fit.json").write_text(json.dumps(found))
    flat = {name: np.asarray(leaf) for name, leaf in model_folder.flat(params).items()}
    save_file(flat, tmp_path / "often.safetensors")
    prepare("simulated/tiny", data_dir=tmp_path)
    given = [f"--fit={tmp_path}", f"--data_dir={tmp_path}"]
    keep.main([*given, "--network=often", f"--output={tmp_path / 'model'}"])
    read = model_folder.read(tmp_path / "model")
    assert (read.description.stage, read.description.step, read.description.image_size) == ("adversarial", 20, 32)
    assert read.description.settings["adversarial"]["weight"] == 0.125
    assert read.description.parent is not None and read.description.parent.endswith("@40")
    np.testing.assert_array_equal(read.params["conv_in"]["bias"], params["conv_in"]["bias"])
    with pytest.raises(ValueError, match="no network 'pix2pix' in the fit; it has teacher, often"):
        keep.main([*given, "--network=pix2pix", f"--output={tmp_path / 'other'}"])
