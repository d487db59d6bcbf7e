"""The rival's side of ``workloads``: the same networks and steps in PyTorch and diffusers, as one writes them there.

Every rival has the same weights as ours, and works on the device that JAX works on.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import workloads  # First: finds torch_networks.
from benchmarks.timing import Call
from benchmarks.workloads import Size

# isort: split
import diffusers
import jax
import numpy as np
import torch
import torch_networks  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn
from torch.nn import functional


@dataclasses.dataclass(frozen=True, kw_only=True)
class Way:
    """How PyTorch runs a network.

    Attributes:
        channels_last: keep images and kernels with the channels innermost.
        compile: a mode of ``torch.compile``; None: eager.
    """

    channels_last: bool = False
    compile: str | None = None


WAYS = {
    "eager": Way(),
    "channels_last": Way(channels_last=True),
    "compile": Way(channels_last=True, compile="default"),
    "cuda_graphs": Way(channels_last=True, compile="reduce-overhead"),  # compiled, replayed as CUDA graphs
    "compile_contiguous": Way(compile="default"),
}


def device() -> str:
    """``cpu`` or ``cuda``, as JAX has it.

    Raises:
        RuntimeError: JAX has an accelerator and PyTorch has none.
    """
    if jax.default_backend() == "cpu":
        return "cpu"
    if not torch.cuda.is_available():
        raise RuntimeError(
            f"JAX works on {jax.devices()[0].device_kind}, and this PyTorch ({torch.__version__}) finds no GPU: "
            "install a build with CUDA, or leave the rivals out."
        )
    return "cuda"


def use_precision(precision: str) -> None:
    """Sets what products and convolutions of float32 numbers compute in, and lets cuDNN choose by time."""
    allowed = precision != "float32"
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cudnn.benchmark = True


class Rival:
    """Networks of one size, run in one way."""

    def __init__(self, size: Size, way: str):
        """``way`` is one of ``WAYS``."""
        self.size, self.way, self.device = size, WAYS[way], device()
        use_precision(size.precision)
        # Every rival compiles the same classes again: past a limit of eight PyTorch would go on without compiling.
        torch._dynamo.config.recompile_limit = 256

    def place(self, value: Any) -> Any:
        """A module or an image, on the device in the memory layout of this way."""
        if self.way.channels_last and (isinstance(value, nn.Module) or value.ndim == 4):
            return value.to(device=self.device, memory_format=torch.channels_last)
        return value.to(self.device).contiguous() if isinstance(value, Tensor) else value.to(self.device)

    def unet(self) -> nn.Module:
        """diffusers' ``UNet2DModel`` with our weights."""
        return self.place(torch_networks.unet(workloads.NETWORKS[self.size.network], workloads.parameters(self.size)))

    def compiled(self, module: Callable[..., Any]) -> Any:
        """The module, or method, as this way runs it."""
        return module if self.way.compile is None else torch.compile(module, mode=self.way.compile, dynamic=False)

    def images(self) -> tuple[Tensor, Tensor]:
        """As of ``workloads.images``, channels first."""
        optical, sar = map(torch_networks.to_torch, workloads.images(self.size))
        return self.place(optical), self.place(sar)

    def autocast(self) -> contextlib.AbstractContextManager:
        """bfloat16 where it is asked for."""
        if self.size.precision != "bfloat16":
            return contextlib.nullcontext()
        return torch.autocast(self.device, torch.bfloat16)

    def wait(self) -> None:
        """Until the device has done all that was asked of it."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def forward(self) -> tuple[Call, Callable[[], np.ndarray]]:
        """As ``workloads.forward``."""
        network = self.compiled(self.unet().eval())
        x_t, sar = self.images()
        t = torch.full((self.size.batch_size,), 500, device=self.device)

        def predict() -> Tensor:
            with torch.inference_mode(), self.autocast():
                return network(torch.cat([x_t, sar], dim=1), t).sample

        def call(count: int) -> None:
            for _ in range(count):
                predict()
            self.wait()

        return call, lambda: torch_networks.to_numpy(predict().float().cpu())

    def teacher_step(self) -> Call:
        """Forward, backward, clipping of the norm, AdamW, moving average."""
        network = self.unet().train()
        run = self.compiled(network)
        weights = list(network.parameters())
        average = [weight.detach().clone() for weight in weights]
        adamw = _adamw(weights)
        optical, sar = self.images()
        alphas_bar = self.alphas_bar()

        def step() -> None:
            t = torch.randint(0, len(alphas_bar), (len(optical),), device=self.device)
            eps = torch.randn_like(optical)
            alpha, sigma = _alpha_sigma(alphas_bar, t)
            with self.autocast():
                output = run(torch.cat([alpha * optical + sigma * eps, sar], dim=1), t).sample
            functional.mse_loss(output.float(), eps).backward()
            _descend(adamw, weights)
            _follow(average, weights, workloads.EMA_DECAY)

        def call(count: int) -> None:
            for _ in range(count):
                step()
            self.wait()

        return call

    def translation(self, *, sampler: str, num_steps: int, evaluations: int | None = None) -> Call:
        """As ``workloads.translation``, with diffusers' schedulers.

        Args:
            sampler: ``lcm`` or ``ddpm``.
            num_steps: of the scheduler.
            evaluations: stop after so many of them, to measure the rate of a long chain; None: do all.
        """
        network = self.compiled(self.unet().eval())
        made = {"lcm": diffusers.LCMScheduler, "ddpm": diffusers.DDPMScheduler}[sampler]
        settings = {"clip_sample": False} if sampler == "lcm" else {}
        scheduler = made(beta_schedule=workloads.SCHEDULE, beta_start=8.5e-4, beta_end=1.2e-2, **settings)
        _, sar = workloads.images(self.size)

        def translate() -> np.ndarray:
            condition = self.place(torch_networks.to_torch(sar))
            x = self.place(torch.randn(len(sar), 3, *sar.shape[1:3], device=self.device))
            scheduler.set_timesteps(num_steps, device=self.device)
            for t in scheduler.timesteps[:evaluations]:
                with self.autocast():
                    output = network(torch.cat([x, condition], dim=1), t).sample
                x = scheduler.step(output.float(), t, x).prev_sample
            return torch_networks.to_numpy(x.cpu())

        def call(count: int) -> None:
            with torch.inference_mode():
                for _ in range(count):
                    translate()

        return call

    def adversarial_step(self) -> Call:
        """One step of consistency distillation with a discriminator, each feature map computed once.

        The gradients of student and discriminator are asked for separately, so that none is computed in vain.
        """
        teacher, student, target = (self.unet() for _ in range(3))
        discriminator = self.place(
            torch_networks.Discriminator(
                workloads.NETWORKS[self.size.network], workloads.parameters(self.size, discriminator=True)
            )
        )
        for module in (teacher, target):
            module.requires_grad_(False)
        f_teacher, f_student, f_target = (self.compiled(module) for module in (teacher, student, target))
        encode, head = self.compiled(discriminator.encode), self.compiled(discriminator.head)
        torch._functorch.config.donated_buffer = False  # Two backward passes go through one compiled forward pass.
        networks = {"student": list(student.parameters()), "discriminator": list(discriminator.parameters())}
        followers = list(target.parameters())
        optimizers = {name: _adamw(weights) for name, weights in networks.items()}
        optical, sar = self.images()
        alphas_bar = self.alphas_bar()

        def x_0_of(output: Tensor, x: Tensor, t: Tensor) -> Tensor:
            alpha, sigma = _alpha_sigma(alphas_bar, t)
            return (x - sigma * output.float()) / alpha

        def consistency(network: Any, x: Tensor, t: Tensor) -> Tensor:
            scaled = 10.0 * t.reshape(-1, 1, 1, 1)
            root = torch.sqrt(scaled**2 + 0.5**2)
            return (0.5 / root) ** 2 * x + scaled / root * x_0_of(network(torch.cat([x, sar], dim=1), t).sample, x, t)

        def step() -> None:
            i = torch.randint(0, workloads.SOLVER_STEPS, (len(optical),), device=self.device)
            stride = len(alphas_bar) // workloads.SOLVER_STEPS
            t = stride * (i + 1) - 1
            s = torch.clamp(t - stride, min=0)
            eps = torch.randn_like(optical)
            alpha_t, sigma_t = _alpha_sigma(alphas_bar, t)
            alpha_s, sigma_s = _alpha_sigma(alphas_bar, s)
            with torch.no_grad(), self.autocast():
                x_t = alpha_t * optical + sigma_t * eps
                output = f_teacher(torch.cat([x_t, sar], dim=1), t).sample
                x_0 = x_0_of(output, x_t, t)
                goal = consistency(f_target, alpha_s * x_0 + sigma_s * (x_t - alpha_t * x_0) / sigma_t, s)
            with self.autocast():
                x_hat = consistency(f_student, x_t, t)
                noisy = encode(torch.cat([x_t, sar], dim=1), t)
                generated, real = (encode(torch.cat([image, sar], dim=1), s) for image in (x_hat, goal))
                fake_logits, real_logits = (
                    head(torch.cat([noisy, features], dim=1)).float() for features in (generated, real)
                )
            distance = (torch.sqrt((x_hat - goal) ** 2 + 1e-3**2) - 1e-3).mean()
            losses = {
                "student": distance + functional.softplus(-fake_logits).mean(),
                "discriminator": (functional.softplus(-real_logits) + functional.softplus(fake_logits)).mean(),
            }
            for name, weights in networks.items():
                gradients = torch.autograd.grad(losses[name], weights, retain_graph=name == "student")
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight.grad = gradient
            for name, weights in networks.items():
                _descend(optimizers[name], weights)
            _follow(followers, networks["student"], workloads.TARGET_DECAY)

        def call(count: int) -> None:
            for _ in range(count):
                step()
            self.wait()

        return call

    def alphas_bar(self) -> Tensor:
        """Of the noise schedule, on the device."""
        return torch.tensor(workloads.schedule().alphas_bar, dtype=torch.float32, device=self.device)


def _alpha_sigma(alphas_bar: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """[batch, 1, 1, 1] each."""
    alpha_bar = alphas_bar[t].reshape(-1, 1, 1, 1)
    return torch.sqrt(alpha_bar), torch.sqrt(1 - alpha_bar)


def _adamw(weights: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(weights, lr=workloads.LEARNING_RATE, weight_decay=workloads.WEIGHT_DECAY, fused=True)


def _descend(optimizer: torch.optim.Optimizer, weights: Sequence[nn.Parameter]) -> None:
    nn.utils.clip_grad_norm_(weights, workloads.CLIP_NORM)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


@torch.no_grad()
def _follow(average: Sequence[Tensor], weights: Sequence[Tensor], decay: float) -> None:
    torch._foreach_lerp_(average, [weight.detach() for weight in weights], 1 - decay)
