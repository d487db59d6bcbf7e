"""Flags of commands that use a trained network, the same for all of them."""

from absl import flags

MODEL = flags.DEFINE_string(
    "model",
    None,
    "A workdir, a stage's directory in it, one checkpoint, a folder that sar2opt export or diffusers wrote, the name "
    "of a model that comes with the package, or hf://USER/NAME.",
)
STEPS = flags.DEFINE_integer(
    "steps",
    None,
    "Network evaluations; default what the model states, else 4 for a student, 50 for a teacher, 1 for a generator.",
)
SAMPLER = flags.DEFINE_string(
    "sampler", None, "ddim (default), dpm_solver_pp or ddpm for a teacher, lcm for a student, direct for a generator."
)
STAGE = flags.DEFINE_string(
    "stage", None, "teacher, distill, adversarial, pix2pix or cyclegan; default the last one of the workdir."
)
