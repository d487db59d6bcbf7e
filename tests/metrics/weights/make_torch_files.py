"""Makes torch_files/: one network's tensors in both formats that ``torch.save`` ever wrote.

Run where torch is installed, such as the environment of ``make parity``:  python make_torch_files.py
"""

import pathlib

import torch

HERE = pathlib.Path(__file__).with_name("torch_files")


def main() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(2, 3, (1, 2)), torch.nn.BatchNorm2d(3))
    state = network.state_dict()  # An OrderedDict with attributes, as most files hold.
    for i, (name, tensor) in enumerate(state.items()):
        state[name] = (torch.arange(tensor.numel()) + i).reshape(tensor.shape).to(tensor.dtype)
    whole = torch.arange(12, dtype=torch.float64).reshape(3, 4)
    state |= {
        "whole": whole,
        "part": whole[1:, 1:3],
        "transposed": whole.T,
        "parameter": torch.nn.Parameter(torch.tensor([0.5, -0.5])),
        "bfloat16": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "float16": torch.tensor([1.5, -2.0], dtype=torch.float16),
        "bool": torch.tensor([True, False]),
        "empty": torch.zeros(0, 3),
    }
    HERE.mkdir(exist_ok=True)
    torch.save(state, HERE / "zip.pth")
    torch.save(state, HERE / "legacy.pth", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
