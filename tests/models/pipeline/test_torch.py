"""Files, graphs and rounding against PyTorch; needs `models/setup.sh training`: python -m unittest tests/models/pipeline/test_torch.py"""

import copy
from math import ceil

import numpy as np
import onnx
import torch
import torchvision
from folder import FolderTest
from pipeline.architectures import WRITERS
from pipeline.checkpoint import read_checkpoint
from pipeline.export import write_graph
from pipeline.graph import open_session
from pipeline.network import folded
from pipeline.recipe import INPUT_NAME, Input
from pipeline.seeded import seeded
from state import tensors_of
from torch import nn
from torch.nn import functional
from training.architectures import BUILDERS, build
from training.digits_net import CLASSES as DIGITS
from training.digits_net import Net, write_graph as write_digits

CLASSES, SIDE = 11, 72
INPUT = Input(resize=SIDE, crop=SIDE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
CLOSE = 1e-4  # of the largest logit; a wrong epsilon leaves 0.14, wrong padding 0.54
TORCHVISION = ("wide_resnet50_2", "mobilenet_v3_large", "mobilenet_v2")


def module(name: str) -> nn.Module:
    """The architecture in PyTorch, its batch norms all doing something."""
    torch.manual_seed(3)
    made = build(name, CLASSES) if name in BUILDERS else torchvision.models.get_model(name, weights=None, num_classes=CLASSES)
    for norm in (part for part in made.modules() if isinstance(part, nn.BatchNorm2d)):
        norm.running_mean.uniform_(-0.2, 0.2)
        norm.running_var.uniform_(0.5, 1.5)
        norm.weight.data.uniform_(0.7, 1.3)
        norm.bias.data.uniform_(-0.2, 0.2)
    return made.eval()


def lite(tensors: dict[str, np.ndarray], x: torch.Tensor) -> torch.Tensor:
    """EfficientNet-Lite by its tensors alone: what they do not tell is where TensorFlow's SAME pads and which blocks stride."""
    state = {name: torch.from_numpy(value) for name, value in tensors.items()}

    def conv(x: torch.Tensor, name: str, norm: str, stride: int = 1) -> torch.Tensor:
        weight = state[f"{name}.weight"]
        padding = max((ceil(x.shape[2] / stride) - 1) * stride + weight.shape[2] - x.shape[2], 0)
        x = functional.pad(x, [padding // 2, padding - padding // 2] * 2)
        x = functional.conv2d(x, weight, stride=stride, groups=x.shape[1] // weight.shape[1])
        mean, variance, scale, shift = (state[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(x, mean, variance, scale, shift, eps=1e-3)

    x, width = functional.relu6(conv(x, "_conv_stem", "_bn0", 2)), 0
    strides = iter((1, 2, 2, 2, 1, 2, 1))  # of each stage, which begins where the width changes
    for place in range(sum(name.endswith("_project_conv.weight") for name in state)):
        name, y = f"_blocks.{place}", x
        out = state[f"{name}._project_conv.weight"].shape[0]
        stride, width = next(strides) if out != width else 1, out
        if f"{name}._expand_conv.weight" in state:
            y = functional.relu6(conv(y, f"{name}._expand_conv", f"{name}._bn0"))
        y = functional.relu6(conv(y, f"{name}._depthwise_conv", f"{name}._bn1", stride))
        y = conv(y, f"{name}._project_conv", f"{name}._bn2")
        x = x + y if stride == 1 and x.shape[1] == out else y
    x = functional.relu6(conv(x, "_conv_head", "_bn1")).mean((2, 3))
    return functional.linear(x, state["_fc.weight"], state["_fc.bias"])


class TorchTest(FolderTest):
    def assert_near(self, graph: onnx.ModelProto, image: torch.Tensor, expected: torch.Tensor) -> None:
        found = open_session(graph).run(None, {INPUT_NAME: image.numpy()})[0]
        self.assertLess(np.abs(found - expected.numpy()).max(), CLOSE * np.abs(found).max())

    def test_every_architecture_answers_as_in_pytorch_at_even_and_odd_sides(self) -> None:
        self.assertEqual({*BUILDERS, *TORCHVISION, "efficientnet-lite0", "efficientnet-lite2"}, set(WRITERS))
        for name in (*BUILDERS, *TORCHVISION):
            made = module(name)
            for side in (SIDE, SIDE + 25):
                image = torch.randn(1, 3, side, side)
                with self.subTest(architecture=name, side=side), torch.inference_mode():
                    self.assert_near(write_graph(name, tensors_of(made), CLASSES, side, "the test"), image, made(image))

    def test_lite_answers_as_its_tensors_do_in_pytorch(self) -> None:
        for name in ("efficientnet-lite0", "efficientnet-lite2"):
            tensors = seeded(name, CLASSES, 5, INPUT)
            for side in (SIDE, SIDE + 25):
                image = torch.randn(1, 3, side, side)
                with self.subTest(architecture=name, side=side):
                    self.assert_near(write_graph(name, tensors, CLASSES, side, "the test"), image, lite(tensors, image))

    def test_the_digits_net_answers_as_in_pytorch(self) -> None:
        torch.manual_seed(3)
        net, file, image = Net().eval(), self.folder / "model.onnx", torch.rand(1, 1, 28, 28)
        write_digits(net, file)
        with torch.inference_mode():
            self.assert_near(onnx.load(file), image, net(image))
        self.assertEqual(onnx.load(file).graph.output[0].type.tensor_type.shape.dim[1].dim_value, DIGITS)

    def test_folded_weights_are_pytorch_s_to_the_last_places(self) -> None:
        layer = module("mobilenet_v2").features[0]
        tensors = [tensor.numpy() for tensor in list(layer[1].state_dict().values())[:4]]
        fused = nn.utils.fusion.fuse_conv_bn_eval(layer[0], layer[1])
        weight, bias = folded(layer[0].weight.detach().numpy(), *tensors, layer[1].eps)
        np.testing.assert_allclose(weight, fused.weight.detach().numpy(), rtol=1e-6)
        np.testing.assert_allclose(bias, fused.bias.detach().numpy(), rtol=1e-5, atol=1e-7)


class FileTest(FolderTest):
    def test_files_of_both_formats_are_read_as_pytorch_reads_them(self) -> None:
        shared = torch.randn(4, 6)
        state = module("mobilenet").state_dict() | {
            "turned": shared.T,
            "part": shared[1:3, ::2],
            "half": shared.half(),
            "short": shared.bfloat16(),
            "bool": shared > 0,
            "parameter": nn.Parameter(shared),
            "many": torch.tensor(2.5).expand(3, 1000),
        }
        optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(3))])
        more = {"wnids": ["n1"], "images": 7, "minutes": 1.5, "history": [{"top1": 0.5}], "optimizers": [optimizer.state_dict()]}
        for name, content in (("state", state), ("checkpoint", {"average": copy.copy(state), "model": state, **more})):
            for is_zip in (True, False):
                file = self.folder / f"{name}-{is_zip}.pt"
                torch.save(content, file, _use_new_zipfile_serialization=is_zip)
                found, rest = read_checkpoint(file)
                with self.subTest(file=file.name):
                    self.assertEqual(list(found), list(state))
                    for key, expected in state.items():
                        expected = expected.float() if expected.dtype == torch.bfloat16 else expected
                        np.testing.assert_array_equal(found[key], expected.detach().numpy(), key, strict=True)
                    self.assertEqual(rest.get("history", more["history"]), more["history"])

    def test_a_whole_module_is_refused(self) -> None:
        for is_zip in (True, False):
            file = self.folder / "module.pt"
            torch.save(module("wide-resnet"), file, _use_new_zipfile_serialization=is_zip)
            expected = "^Expected weights in PyTorch's format for .* but received the name training.architectures.WideResNet$"
            self.assert_fault(expected, read_checkpoint, file)
