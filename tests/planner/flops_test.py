import jax
import jax.numpy as jnp
import pytest
from jax import ShapeDtypeStruct as Shape

from sar2opt_jax.planner import flops

IMAGES, KERNEL = Shape((2, 8, 6, 3), jnp.float32), Shape((3, 3, 3, 5), jnp.float32)
CONVOLUTION = 2 * (2 * 8 * 6 * 5) * (3 * 3 * 3)


def convolve(images, kernel, stride=1):
    return jax.lax.conv_general_dilated(
        images, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def test_matrix_product_counts_every_multiplication_and_addition():
    assert flops.count(jnp.dot, Shape((4, 7), jnp.float32), Shape((7, 5), jnp.float32)) == 2 * 4 * 7 * 5


def test_products_of_a_batch_are_counted_each():
    def attend(query, key):
        return jnp.einsum("bthd,bshd->bhts", query, key)

    heads = Shape((2, 16, 4, 8), jnp.float32)
    assert flops.count(attend, heads, heads) == 2 * 2 * 4 * 16 * 16 * 8


def test_convolution_counts_its_taps_at_every_output():
    assert flops.count(convolve, IMAGES, KERNEL) == CONVOLUTION


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("argument", [0, 1], ids=["of the image", "of the kernel"])
def test_gradient_takes_as_much_as_the_convolution(stride, argument):
    def loss(images, kernel):
        return convolve(images, kernel, stride).sum()

    forward = CONVOLUTION / stride**2
    assert flops.count(convolve, IMAGES, KERNEL) / stride**2 == forward
    # ``sum`` needs no value of the convolution: only the gradient is left.
    assert flops.count(jax.grad(loss, argument), IMAGES, KERNEL) == pytest.approx(forward)


def test_loops_and_nested_functions_are_counted_as_often_as_they_run():
    def chain(x, matrix):
        return jax.lax.scan(lambda x, _: (jax.jit(jnp.dot)(x, matrix), None), x, length=6)[0]

    assert flops.count(chain, Shape((4, 5), jnp.float32), Shape((5, 5), jnp.float32)) == 6 * 2 * 4 * 5 * 5


def test_of_branches_the_largest_counts():
    def total(images, kernel):
        return jax.lax.platform_dependent(
            images,
            kernel,
            cpu=lambda images, kernel: convolve(images, kernel).sum(),
            default=lambda images, kernel: convolve(images[:1], kernel).sum(),
        )

    assert flops.count(total, IMAGES, KERNEL) == CONVOLUTION
