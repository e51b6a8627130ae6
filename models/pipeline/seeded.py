"""Random weights that behave like trained ones where speed, memory and quantization are measured.

    tensors = seeded("wide_resnet50_2", 1000, seed=7, input=recipe.input)

With untrained batch norms, activations grow or vanish layer by layer, and all images have one class. So their
statistics are measured on generated images, and the last layer is centered and scaled on them.
"""

import numpy as np

from pipeline.architectures import write_network
from pipeline.faults import Fault
from pipeline.graph import open_session
from pipeline.images import generated, normalized
from pipeline.network import Network
from pipeline.recipe import INPUT_NAME, Input

IMAGES = 16  # enough for the mean and variance of each channel
LOGIT_SPREAD = 3.0  # standard deviation of the logits, about that of trained classifiers: a first class stands out


def seeded(architecture: str, classes: int, seed: int, input: Input) -> dict[str, np.ndarray]:
    """The architecture's tensors, made from `seed`; raises Fault about one without batch norms."""
    random = np.random.RandomState(seed)  # its numbers are the same in every version of numpy
    tensors: dict[str, np.ndarray] = {}

    def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name not in tensors:
            if len(shape) > 1:  # He et al., arXiv 1502.01852
                value = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
            else:
                value = np.full(shape, not name.endswith("bias"))
            tensors[name] = value.astype(np.float32)
        return tensors[name]

    def run(norms: str) -> tuple[list[np.ndarray], Network]:
        model, network = write_network(architecture, classes, input.crop, tensor, norms, IMAGES)
        return open_session(model).run(None, {INPUT_NAME: images}), network

    images = normalized(generated(IMAGES, input.crop, seed), input.mean, input.std)
    (_, *values), network = run("measured")
    if not values:
        raise Fault(f"Expected an architecture with batch norms for --random-weights but received {architecture}")
    for name, value in zip(network.measures, values, strict=True):
        tensors[name] = value.ravel()
    (logits,), network = run("kept")
    _, weight, bias = network.nodes[-1].input  # the classifier's
    scale = LOGIT_SPREAD / (logits - logits.mean(0)).std()
    tensors[weight] *= scale
    tensors[bias] = (tensors[bias] - logits.mean(0)) * scale
    return tensors
