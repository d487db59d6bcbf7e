"""Scaled dot-product attention that is fast on a CPU as well.

On a GPU and a TPU it is JAX's own. For a CPU, XLA compiles that into products of many small matrices in layouts that
miss its fast path, and keeps the weights of all heads at once. There, heads are computed one after the other, all of
their products in plain layouts, and weights are computed again for the gradient.
"""

from typing import cast

import jax
import jax.numpy as jnp

from sar2opt_jax.types import Array

Heads = tuple[Array, ...]
"""Arrays of which every head has its own part, head first."""


def attend(query: Array, key: Array, value: Array) -> Array:
    """softmax(query keyᵀ / sqrt(width)) value, for each head; the softmax is float32.

    Has first derivatives in reverse mode only.

    Args:
      query: [batch, places, heads, width].
      key: [batch, other places, heads, width], of the same type.
      value: shaped like ``key``.

    Returns:
      Shaped like ``query``, of its type.
    """
    return cast(
        Array, jax.lax.platform_dependent(query, key, value, cpu=_by_heads, default=jax.nn.dot_product_attention)
    )


@jax.custom_vjp
def _by_heads(query: Array, key: Array, value: Array) -> Array:
    return _forward(query, key, value)[0]


def _forward(query: Array, key: Array, value: Array) -> tuple[Array, Heads]:
    def head(parts: Heads) -> tuple[Array, Array]:
        query, key, value = parts
        scores = jnp.matmul(query, _transposed(key))
        largest = scores.max(axis=-1, keepdims=True)
        weights = jnp.exp(scores - largest)
        total = weights.sum(axis=-1, keepdims=True)
        return jnp.matmul(weights, value) / total, largest + jnp.log(total)

    parts = _split(query) * _scale(query), _split(key), _split(value)
    attended, logarithm = jax.lax.map(head, parts)
    return _joined(attended, query), (*parts, attended, logarithm, query)


def _backward(saved: Heads, gradient: Array) -> tuple[Array, Array, Array]:
    def head(parts: Heads) -> tuple[Array, Array, Array]:
        query, key, value, attended, logarithm, gradient = parts
        inner = (gradient * attended).sum(axis=-1, keepdims=True)
        weights = jnp.exp(jnp.matmul(query, _transposed(key)) - logarithm)
        over_scores = weights * (jnp.matmul(gradient, _transposed(value)) - inner)
        # Computed once more in the other order: a product with a transposed large matrix would cost more.
        weights = jnp.exp(jnp.matmul(key, _transposed(query)) - _transposed(logarithm))
        over_scores_transposed = weights * (jnp.matmul(value, _transposed(gradient)) - _transposed(inner))
        return (
            jnp.matmul(over_scores, key),
            jnp.matmul(over_scores_transposed, query),
            jnp.matmul(weights, gradient),
        )

    *parts, query = saved
    over_query, over_key, over_value = jax.lax.map(head, (*parts, _split(gradient)))
    return _joined(over_query * _scale(query), query), _joined(over_key, query), _joined(over_value, query)


_by_heads.defvjp(_forward, _backward)


def _scale(query: Array) -> float:
    return query.shape[-1] ** -0.5


def _split(x: Array) -> Array:
    """[batch, places, heads, width] to [heads, batch, places, width] in float32."""
    return x.astype(jnp.float32).transpose(2, 0, 1, 3)


def _joined(x: Array, like: Array) -> Array:
    return x.transpose(1, 2, 0, 3).astype(like.dtype)


def _transposed(x: Array) -> Array:
    return x.swapaxes(-1, -2)
