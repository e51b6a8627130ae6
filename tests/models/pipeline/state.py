"""What the tests take of a module in PyTorch: its tensors by name, as a file of weights has them."""

import numpy as np
from torch import nn


def tensors_of(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
