import dataclasses
import json
from pathlib import Path

import pytest

from sar2opt_jax.interop import architecture
from sar2opt_jax.interop.architecture import Architecture

REFERENCE = Path(__file__).with_name("reference")
TINY = Architecture(
    widths=(4, 8, 8), blocks_per_level=2, attention=(False, True, False), head_width=4, norm_groups=2, sar_channels=1
)


def reference() -> dict:
    return json.loads((REFERENCE / "config.json").read_text())


def test_a_config_is_read():
    assert architecture.from_config(reference(), where="FILE") == TINY


def test_a_config_is_written_as_diffusers_writes_it():
    assert architecture.to_config(TINY, image_size=16) == reference()


def test_the_authors_own_class_is_known_and_what_is_not_said_is_diffusers_default():
    config = {"_class_name": "SAR2OptUNetv3", "in_channels": 5}
    assert architecture.from_config(config, where="FILE") == Architecture(
        widths=(224, 448, 672, 896),
        blocks_per_level=2,
        attention=(False, True, True, True),
        head_width=8,
        norm_groups=32,
        sar_channels=2,
    )


def test_settings_that_say_again_what_follows_are_taken():
    again = {"time_embedding_dim": 16, "attn_norm_num_groups": 2, "num_train_timesteps": 1000}
    assert architecture.from_config(reference() | again, where="FILE") == TINY


def test_what_an_average_writes_into_the_config_is_passed_over():
    average = {
        "decay": 0.9999,
        "min_decay": 0.0,
        "optimization_step": 500,
        "update_after_step": 0,
        "use_ema_warmup": True,
        "inv_gamma": 1.0,
        "power": 0.75,
    }
    assert architecture.from_config(reference() | average, where="FILE") == TINY
    assert architecture.notes(reference() | average | {"_name_or_path": "a/b"}, where="FILE") == []


def test_one_head_a_layer_is_a_head_of_all_its_channels():
    found = architecture.from_config(reference() | {"attention_head_dim": None}, where="FILE")
    assert found == dataclasses.replace(TINY, head_width=8)


def test_unknown_settings_without_a_value_are_passed_over_and_said():
    config = reference() | {"auto_map": None, "new_setting": None}
    assert architecture.from_config(config, where="FILE") == TINY
    assert architecture.notes(config, where="FILE") == [
        "FILE has auto_map, new_setting without a value, which diffusers 0.42.1 does not know: passed over."
    ]


def test_a_config_of_something_else_is_told_and_a_wrapped_one_refused():
    assert architecture.describes_network(reference(), where="FILE")
    assert not architecture.describes_network({"stages": ["teacher"], "model": {"widths": [4]}}, where="FILE")
    with pytest.raises(ValueError, match=r"^FILE has the network's settings inside 'unet'; expected"):
        architecture.describes_network({"unet": reference()}, where="FILE")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_class_name": "UNet2DConditionModel"}, "_class_name = 'UNet2DConditionModel'; expected UNet2DModel or"),
        ({"resnet_time_scale_shift": "scale_shift"}, "resnet_time_scale_shift = 'scale_shift'; expected 'default'"),
        ({"center_input_sample": True}, "center_input_sample = True; expected False"),
        ({"freq_shift": 1}, "freq_shift = 1; expected 0"),
        ({"flip_sin_to_cos": False}, "flip_sin_to_cos = False; expected True"),
        ({"downsample_type": "resnet"}, "downsample_type = 'resnet'; expected 'conv'"),
        ({"upsample_type": "resnet"}, "upsample_type = 'resnet'; expected 'conv'"),
        ({"downsample_padding": 0}, "downsample_padding = 0; expected 1"),
        ({"norm_eps": 1e-6}, "norm_eps = 1e-06; expected 1e-05"),
        ({"act_fn": "gelu"}, "act_fn = 'gelu'; expected 'silu'"),
        ({"add_attention": False}, "add_attention = False; expected True"),
        ({"dropout": 0.1}, "dropout = 0.1; expected 0.0"),
        ({"class_embed_type": "timestep"}, "class_embed_type = 'timestep'; expected None"),
        ({"num_class_embeds": 10}, "num_class_embeds = 10; expected None"),
        ({"time_embedding_type": "fourier"}, "time_embedding_type = 'fourier'; expected 'positional'"),
        ({"mid_block_type": None}, "mid_block_type = None; expected 'UNetMidBlock2D'"),
        ({"mid_block_scale_factor": 1.4}, "mid_block_scale_factor = 1.4; expected 1"),
        ({"time_embedding_dim": 32}, "time_embedding_dim = 32; expected None or 16"),
        ({"attn_norm_num_groups": 4}, "attn_norm_num_groups = 4; expected None or 2"),
        ({"cross_attention_dim": 768}, "cross_attention_dim = 768; expected no such setting"),
        ({"in_channels": 3}, "in_channels = 3; expected more than 3"),
        ({"out_channels": 6}, "out_channels = 6; expected 3"),
        ({"attention_head_dim": 0}, "attention_head_dim = 0; expected a number above zero"),
        (
            {
                "attention_head_dim": None,
                "down_block_types": ["AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
                "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D"],
            },
            "attention_head_dim = None; expected a number, for layers with attention have 4 and 8 channels here",
        ),
        ({"layers_per_block": 10**9}, "layers_per_block = 1000000000; expected a number above zero and at most 64"),
        ({"in_channels": 10**9}, "in_channels = 1000000000; expected a number above zero and at most 65536"),
        ({"block_out_channels": [8] * 10**5}, r"block_out_channels = \[8, 8, .*\.\.\.; expected at most 16 levels"),
        ({"down_block_types": [["x"], "DownBlock2D", "x"]}, r"down_block_types\[0\] = \['x'\]; expected DownBlock2D"),
        ({"_class_name": "MyUNet"}, ".*of a subclass that changes nothing, write UNet2DModel there"),
        ({"layers_per_block": True}, "layers_per_block = True; expected a number above zero"),
        ({"block_out_channels": [4, 0]}, r"block_out_channels = \[4, 0\]; expected one number above zero a level"),
        ({"block_out_channels": [4, 8]}, "down_block_types = .*; expected a list of 2 types"),
        (
            {"down_block_types": ["DownBlock2D", "SkipDownBlock2D", "DownBlock2D"]},
            r"down_block_types\[1\] = 'SkipDownBlock2D'; expected DownBlock2D or AttnDownBlock2D",
        ),
        (
            {"up_block_types": ["AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"]},
            r"up_block_types\[0\] = 'AttnUpBlock2D'; expected UpBlock2D, as the way down",
        ),
    ],
)
def test_a_network_outside_the_family_is_refused_by_name_and_value(change, message):
    with pytest.raises(ValueError, match=f"^FILE: {message}"):
        architecture.from_config(reference() | change, where="FILE")
