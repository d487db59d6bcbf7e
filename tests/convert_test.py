import dataclasses
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from configs import acd
from sar2opt_jax import convert, export
from sar2opt_jax.engine import networks
from sar2opt_jax.interop import tensors
from sar2opt_jax.models.discriminator import Discriminator
from sar2opt_jax.run import plan

REFERENCE = Path(__file__).parent / "interop" / "reference"
WEIGHTS = REFERENCE / "diffusion_pytorch_model.safetensors"
DISCRIMINATOR = REFERENCE / "discriminator.safetensors"
TINY = ("--head_width=4", "--norm_groups=2")  # What the tensors of the reference do not tell.


class UnknownData:
    """A prepared dataset that says nothing of its images but their number of bands."""

    name, version, fingerprint, ground_sampling_m = "unknown", None, None, None

    def image_format(self, kind):
        return {"bands": ["band 1"] if kind == "sar" else ["red", "green", "blue"]}


def command(source: Path | str, target: Path, *flags: str) -> None:
    convert.main([f"--input={source}", f"--output={target}", *flags])


def refused(source: Path | str, target: Path, *flags: str) -> str:
    """What the command says of an input that it refuses; it must leave nothing behind."""
    before = sorted(target.parent.rglob("*"))
    with pytest.raises(SystemExit) as stopped:
        command(source, target, *flags)
    assert sorted(target.parent.rglob("*")) == before
    return str(stopped.value)


def changed(tmp_path: Path, source: Path = WEIGHTS, **changes) -> Path:
    """A copy of a file of weights with some tensors exchanged, or taken out where the change is None."""
    kept = {name: tensor for name, tensor in (load_file(source) | changes).items() if tensor is not None}
    path = tmp_path / "changed.safetensors"
    save_file(kept, path)
    return path


def test_networks_answer_as_in_torch(tmp_path):
    command(REFERENCE, tmp_path / "run")
    answers = np.load(REFERENCE / "answers.npz")
    loaded = export.load(tmp_path / "run")
    unet = loaded.description.unet.make()
    x_t, t, x_hat, s, sar = (answers[name] for name in ("x_t", "t", "x_hat", "s", "sar"))
    for module, params, inputs, name in (
        (unet, loaded.networks["unet"], (x_t, t, sar), "prediction"),
        (Discriminator(unet=unet), loaded.networks["discriminator"], (x_t, t, x_hat, s, sar), "logits"),
    ):
        found = jax.jit(module.apply)({"params": params}, *inputs)
        scale = np.abs(answers[name]).max()
        np.testing.assert_allclose(found, answers[name], rtol=0, atol=1e-5 * scale, err_msg=name)


def test_there_and_back_is_the_same_folder_bit_for_bit(tmp_path):
    command(REFERENCE, tmp_path / "run")
    command(tmp_path / "run", tmp_path / "back")
    names = {path.relative_to(REFERENCE) for path in REFERENCE.rglob("*") if path.is_file()} - {Path("answers.npz")}
    assert {path.relative_to(tmp_path / "back") for path in (tmp_path / "back").rglob("*") if path.is_file()} == names
    for name in names:
        found, expected = tmp_path / "back" / name, REFERENCE / name
        if name.suffix == ".json":
            assert json.loads(found.read_text()) == json.loads(expected.read_text()), name
        else:
            back, wanted = load_file(found), load_file(expected)
            assert back.keys() == wanted.keys()
            assert all(back[key].tobytes() == wanted[key].tobytes() for key in wanted), name
    command(tmp_path / "back", tmp_path / "again")
    first, second = (export.load(tmp_path / name) for name in ("run", "again"))
    assert first.description == second.description
    jax.tree.map(np.testing.assert_array_equal, first.networks, second.networks)


def test_the_description_is_that_of_a_run(tmp_path):
    command(REFERENCE, tmp_path / "run", "--schedule=cosine")
    about = export.load(tmp_path / "run").description
    config = acd.get_config("sen12")
    with config.unlocked():
        config.model.update({"widths": (4, 8, 8), "attention": (False, True, False), "prediction": "v"})
        config.model.update({"head_width": 4, "norm_groups": 2})
        config.schedule.update({"name": "cosine", "rescale_zero_snr": True})
        config.data.image_size = 16
    expected = plan.description(config, "adversarial", UnknownData())
    for name in ("stage", "kind", "rank", "unet", "prediction", "schedule", "consistency", "image_size", "radar"):
        assert getattr(about, name) == getattr(expected, name), name
    assert (about.step, about.parent, about.dataset.name) == (0, None, "unknown")
    assert about.preset == "converted from diffusion_pytorch_model.safetensors"
    command(WEIGHTS, tmp_path / "other", *TINY, "--stage=teacher")
    assert export.load(tmp_path / "other").description.recipe != about.recipe


def test_a_converted_teacher_is_one_for_the_next_stage(tmp_path):
    command(WEIGHTS, tmp_path / "run", *TINY, "--stage=teacher", "--image_size=32")
    config = acd.get_config("sen12")
    config.model.widths, config.model.attention = (4, 8, 8), (False, True, False)
    config.model.head_width, config.model.norm_groups = 4, 2
    config.model.prediction, config.schedule.rescale_zero_snr = "v", True
    config.teacher.export = str(tmp_path / "run")
    teacher = plan.given_teacher(config, UnknownData())
    state = plan.STAGES["distill"].make(config, 1).init(jax.random.key(0), teacher.networks)
    np.testing.assert_array_equal(state.teacher["conv_in"]["bias"], load_file(WEIGHTS)["conv_in.bias"])


def test_stages_share_a_workdir_and_are_told_apart(tmp_path):
    command(REFERENCE, tmp_path / "run")
    command(WEIGHTS, tmp_path / "run", "--stage=teacher")
    assert export.load(tmp_path / "run").translator.is_student
    assert not export.load(tmp_path / "run", stage="teacher").translator.is_student
    command(tmp_path / "run", tmp_path / "back", "--stage=teacher")
    assert not (tmp_path / "back" / "discriminator.safetensors").exists()
    assert json.loads((tmp_path / "back/scheduler/scheduler_config.json").read_text())["_class_name"] == "DDIMScheduler"


def test_a_lone_file_takes_flags_and_defaults_and_says_which(tmp_path, capsys):
    lone = shutil.copy(WEIGHTS, tmp_path / "lone.safetensors")
    command(Path(lone), tmp_path / "run", *TINY, "--stage=distill", "--prediction=x_0", "--solver_steps=25")
    said = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    for name, value, where in (
        ("widths", "(4, 8, 8)", str(lone)),
        ("attention", "(False, True, False)", str(lone)),
        ("head_width", "4", "--head_width"),
        ("prediction", "x_0", "--prediction"),
        ("solver_steps", "25", "--solver_steps"),
        ("schedule", "scaled_linear", "the default, for no file has it; --schedule changes it"),
        ("image_size", "256", "the default, for no file has it; --image_size changes it"),
    ):
        assert said[name].endswith(f" {value}  ({where})")
    translator = export.load(tmp_path / "run").translator
    assert (translator.prediction, translator.solver_steps) == ("x_0", 25)


def test_what_a_config_says_is_named_with_its_file(tmp_path, capsys):
    command(REFERENCE, tmp_path / "run", "--prediction=x_0")
    said = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert said["head_width"].endswith(f" 4  ({REFERENCE / 'config.json'})")
    assert said["stage"].endswith(f" adversarial  ({REFERENCE / 'scheduler/scheduler_config.json'})")
    assert said["prediction"].endswith(" x_0  (--prediction)")


def test_an_average_in_a_pipeline_is_converted_with_the_scheduler_beside_it(tmp_path, capsys, monkeypatch):
    """As a training script of diffusers leaves it: EMAModel writes its own settings into the config."""
    for name in ("unet", "unet_ema"):
        (tmp_path / "pipe" / name).mkdir(parents=True)
        shutil.copy(WEIGHTS, tmp_path / "pipe" / name)
        average = {"decay": 0.9999, "optimization_step": 500, "use_ema_warmup": True} if name == "unet_ema" else {}
        config = json.loads((REFERENCE / "config.json").read_text()) | average
        (tmp_path / "pipe" / name / "config.json").write_text(json.dumps(config))
    (tmp_path / "pipe" / "scheduler").mkdir()
    found = {"_class_name": "DDPMScheduler", "prediction_type": "v_prediction", "beta_schedule": "linear"}
    config = found | {"beta_start": 1e-4, "beta_end": 2e-2, "timestep_spacing": "trailing"}
    (tmp_path / "pipe" / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    command(tmp_path / "pipe", tmp_path / "first")
    noted = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Note: ")]
    assert noted == [
        f"Note: {tmp_path}/pipe/unet_ema has averaged weights too, which were not taken; to take them: "
        f"--input={tmp_path}/pipe/unet_ema."
    ]
    monkeypatch.chdir(tmp_path / "pipe" / "unet_ema")
    command(".", tmp_path / "second")
    assert "Note: " not in capsys.readouterr().out
    for name in ("first", "second"):
        translator = export.load(tmp_path / name).translator
        assert (translator.schedule.name, translator.prediction) == ("linear", "v")
        assert not translator.is_student


def test_half_precision_and_a_prefix_are_taken(tmp_path, capsys):
    half = {f"module.{name}": tensor.astype(np.float16) for name, tensor in load_file(WEIGHTS).items()}
    save_file(half, tmp_path / "half.safetensors")
    command(tmp_path / "half.safetensors", tmp_path / "run", *TINY)
    assert ", float16, cast to float32." in capsys.readouterr().out
    params = export.load(tmp_path / "run").params
    np.testing.assert_array_equal(params["conv_in"]["bias"], half["module.conv_in.bias"].astype(np.float32))


def test_a_discriminator_is_taken_with_its_network(tmp_path):
    flags = (*TINY, "--stage=adversarial", f"--discriminator={DISCRIMINATOR}")
    lone = Path(shutil.copy(WEIGHTS, tmp_path / "lone.safetensors"))
    command(lone, tmp_path / "run", *flags)
    loaded = export.load(tmp_path / "run").networks
    head = load_file(DISCRIMINATOR)["head.8.weight"]
    np.testing.assert_array_equal(loaded["discriminator"]["head"]["logit"]["kernel"], head.T)
    assert "holds a discriminator; expected a U-Net as --input" in refused(DISCRIMINATOR, tmp_path / "other")
    assert "belongs to --stage=adversarial; this is taken for stage 'teacher'" in refused(
        lone, tmp_path / "other", *TINY, flags[-1]
    )
    other = changed(tmp_path, DISCRIMINATOR, **{"head.0.weight": np.zeros((16, 8, 3, 3), np.float32)})
    message = refused(lone, tmp_path / "other", *flags[:-1], f"--discriminator={other}")
    assert "tensor head.0.weight has shape (16, 8, 3, 3); expected (16, 16, 3, 3)" in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"conv_out.bias": np.array([0, np.nan, 0], np.float32)},
            "tensor conv_out.bias has values that are not finite",
        ),
        ({"mid_block.resnets.1.norm2.bias": None}, "tensor mid_block.resnets.1.norm2.bias is missing; expected"),
        ({"class_embedding.weight": np.zeros((2, 16), np.float32)}, "class_embedding.weight (2, 16) belongs to no"),
        ({"conv_in.weight": np.zeros((4, 3, 3, 3), np.float32)}, "conv_in.weight takes 3 channels"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, changes, message):
    assert message in refused(changed(tmp_path, **changes), tmp_path / "run", *TINY)


def test_a_folder_s_config_rules_over_its_tensors(tmp_path):
    shutil.copytree(REFERENCE, tmp_path / "folder")
    config = json.loads((REFERENCE / "config.json").read_text())
    (tmp_path / "folder" / "config.json").write_text(json.dumps(config | {"layers_per_block": 1}))
    message = refused(tmp_path / "folder", tmp_path / "run")
    assert "tensor up_blocks.1.resnets.1.norm1.weight has shape (16,); expected (12,)" in message
    (tmp_path / "folder" / "config.json").write_text(json.dumps(config | {"act_fn": "gelu"}))
    assert "config.json: act_fn = 'gelu'; expected 'silu'" in refused(tmp_path / "folder", tmp_path / "run")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "widths (4, 8, 8) must all be multiples of norm_groups (32), one a level. These do not fit"),
        ((*TINY, "--rescale_zero_snr", "--prediction=eps"), "zero terminal SNR"),
        ((*TINY, "--solver_steps=25"), "--solver_steps belongs to a student; this is taken for stage 'teacher'"),
        ((*TINY, "--stage=distill", "--solver_steps=30"), "solver_steps      30  (--solver_steps)"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, flags, message):
    lone = Path(shutil.copy(WEIGHTS, tmp_path / "lone.safetensors"))
    assert message in refused(lone, tmp_path / "run", *flags)


def test_damage_to_what_was_converted_is_noticed(tmp_path):
    command(REFERENCE, tmp_path / "run")
    largest = max((path for path in (tmp_path / "run").rglob("export/**/*")), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    assert "does not match its digest" in refused(tmp_path / "run", tmp_path / "back")


def test_what_is_there_is_never_overwritten(tmp_path):
    command(REFERENCE, tmp_path / "run")
    assert "adversarial exists and is not an empty directory" in refused(REFERENCE, tmp_path / "run")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").touch()
    assert "folder exists and is not an empty directory" in refused(tmp_path / "run", tmp_path / "folder")
    assert "is the input; choose another one" in refused(tmp_path / "run", tmp_path / "run")


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    command(REFERENCE, tmp_path / "run")

    def half(place: Path, *_, **__):
        (place.parent / "half").write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(tensors, "write", half)
    monkeypatch.setattr(networks, "save", half)
    assert "No space left on device" in refused(tmp_path / "run", tmp_path / "new" / "back")
    assert "No space left on device" in refused(REFERENCE, tmp_path / "other")
    assert "No space left on device" in refused(REFERENCE, tmp_path / "run", "--stage=teacher")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "MemoryError without a message."),
        (OSError(), "OSError without a message."),
        (RuntimeError("Unable to initialize backend 'x': it is unknown"), "RuntimeError: Unable to initialize backend"),
    ],
)
def test_an_end_has_one_sentence(tmp_path, monkeypatch, error, said):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(networks, "save", fail)
    assert refused(REFERENCE, tmp_path / "run").startswith(said)


def test_other_errors_keep_their_traceback(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(networks, "save", fail)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        command(REFERENCE, tmp_path / "run")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_one_line_and_leaves_nothing(tmp_path, number):
    """In a process of its own, which signals itself while it writes."""
    program = f"""
import os, runpy, sys
from sar2opt_jax.engine import networks

def interrupted(directory, *_, **__):
    (directory / "half").parent.mkdir(parents=True)
    (directory / "half").write_text("half")
    os.kill(os.getpid(), {int(number)})

networks.save = interrupted
sys.argv = ["convert", "--input={REFERENCE}", "--output={tmp_path / "run"}"]
runpy.run_module("sar2opt_jax.convert", run_name="__main__")
"""
    # Interrupts are ignored where a shell put the tests into the background; a user's are not.
    program = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler){program}"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 75, ended.stderr
    assert ended.stderr.splitlines() == [
        f"Interrupted by {number.name}: {tmp_path / 'run'} was not written. Run the same command again."
    ]
    assert list(tmp_path.iterdir()) == []


def test_inputs_that_are_nothing_of_the_kind_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "weights.ckpt").write_bytes(b"\x80\x02.")
    target = tmp_path / "out"
    assert "absent does not exist" in refused(tmp_path / "absent", target)
    message = refused(tmp_path / "empty", target)
    assert "has no weights of diffusers (diffusion_pytorch_model.safetensors) either. No checkpoint in" in message
    assert "weights.ckpt is a pickle" in refused(tmp_path / "weights.ckpt", target)
    assert "weights.ckpt is a pickle" in refused(tmp_path, target)
    assert "gs://bucket/run is an address" in refused("gs://bucket/run", target)


@pytest.mark.parametrize(
    "flag", ["--num_steps=0", "--head_width=-8", "--norm_groups=many", "--stage=second", "--head=8"]
)
def test_flags_that_mean_nothing_are_refused(tmp_path, flag, capsys):
    assert refused(WEIGHTS, tmp_path / "run", flag) == "2"
    assert flag.partition("=")[0] in capsys.readouterr().err


def test_flags_that_would_do_nothing_are_refused(tmp_path):
    command(REFERENCE, tmp_path / "run")
    message = refused(tmp_path / "run", tmp_path / "back", "--prediction=v", "--head_width=8")
    assert "describes itself: --head_width, --prediction cannot be given with it" in message


def test_a_sigma_data_that_diffusers_cannot_be_told_is_said(tmp_path, capsys):
    command(REFERENCE, tmp_path / "run")
    loaded = export.load(tmp_path / "run")
    consistency = dataclasses.replace(loaded.description.consistency, sigma_data=0.4)
    about = dataclasses.replace(loaded.description, consistency=consistency, step=7)
    export.save(tmp_path / "other", dataclasses.replace(loaded, description=about))
    command(tmp_path / "other", tmp_path / "back")
    said = capsys.readouterr().out
    assert "step 7" in said
    assert "sigma_data 0.4, which diffusers cannot be told" in said


def test_a_generator_is_refused(tmp_path):
    command(REFERENCE, tmp_path / "run")
    loaded = export.load(tmp_path / "run")
    about = dataclasses.replace(loaded.description, stage="pix2pix", kind="generator", consistency=None)
    export.save(tmp_path / "other", dataclasses.replace(loaded, description=about))
    message = refused(tmp_path / "other", tmp_path / "back")
    assert "is a generator (stage pix2pix); expected one of teacher, distill, adversarial" in message
    assert not (tmp_path / "back").exists()


def test_a_network_that_is_shown_another_input_is_refused(tmp_path):
    command(WEIGHTS, tmp_path / "run", *TINY, "--stage=teacher")
    loaded = export.load(tmp_path / "run")
    assert loaded.description.input_gain == "none"
    about = dataclasses.replace(loaded.description, input_gain="wiener")
    export.save(tmp_path / "gained", dataclasses.replace(loaded, description=about))
    assert "was trained with model.input_gain 'wiener'" in refused(tmp_path / "gained", tmp_path / "folder")


def test_a_discriminator_that_is_not_the_papers_is_left_out(tmp_path, capsys):
    command(REFERENCE, tmp_path / "run")
    loaded = export.load(tmp_path / "run")
    patches = {"unet": loaded.params, "discriminator": {"conv_0": {"kernel": np.zeros((4, 4, 4, 8), np.float32)}}}
    export.save(tmp_path / "patches", dataclasses.replace(loaded, networks=patches))
    command(tmp_path / "patches", tmp_path / "folder")
    assert "is not the paper's and was left out" in capsys.readouterr().out
    assert not (tmp_path / "folder" / "discriminator.safetensors").exists()
