"""Against recorded steps of a distillation written in plain PyTorch from the formulas (tests/parity/torch_step.py)."""

import numpy as np
import our_step
import pytest
from our_networks import assert_gradients_equal
from recorded import RECORDED


@pytest.mark.parametrize("variant", our_step.VARIANTS, ids=lambda variant: variant.name)
def test_step_equals_that_of_pytorch(variant):
    params = our_step.pixelwise_parameters()
    gradients, metrics = our_step.gradients(our_step.stage(variant), params)
    assert gradients.keys() == {"student", "discriminator"}
    # Shares of right verdicts are ours: they follow from the logits (verdicts_test.py), and theirs are not recorded.
    metrics = {name: value for name, value in metrics.items() if not name.startswith("accuracy/")}
    assert len(metrics) == 5
    for name, value in metrics.items():
        np.testing.assert_allclose(value, RECORDED[f"step/{variant.name}/{name}"], rtol=1e-5, atol=1e-6, err_msg=name)
    for network, found in gradients.items():
        expected = {name: RECORDED[f"step/{variant.name}/{network}/{name}"] for name in found}
        assert_gradients_equal(found, expected)
