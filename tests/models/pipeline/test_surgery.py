"""The light form of a MobileNet; needs `models/setup.sh training`: python -m unittest tests/models/pipeline/test_surgery.py"""

import sys
import unittest

import torch
from training.architectures import build
from pipeline.architectures import LEFT_OUT
from training.light import Range, simulate_bytes
from pipeline.recipe import MODELS
from pipeline.images import generated
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(MODELS / "training"))
from surgery import best_range, fit_ranges, fixed, lightened  # noqa: E402

SIDE, CLASSES = 32, 5


class CappedSwish(nn.Module):
    """Hard swish that stays 3 above 3, as the light model has it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.hardswish(x).clamp(max=3)


def original() -> nn.Module:
    """A MobileNet whose batch norms all do something."""
    torch.manual_seed(1)
    model = build("mobilenet", CLASSES).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.7, 1.3)
            module.bias.data.uniform_(-0.2, 0.2)
    return model


def replace(model: nn.Module) -> None:
    for name, child in model.named_children():
        if isinstance(child, nn.Hardswish):
            setattr(model, name, CappedSwish())
        replace(child)


class SurgeryTest(unittest.TestCase):
    def test_the_light_model_computes_what_the_original_does_without_the_blocks_left_out(self) -> None:
        model = original()
        light = lightened(model, CLASSES)
        for name, module in light.named_modules():
            if isinstance(module, Range) and name not in fixed(light):
                module.high.fill_(torch.inf)
                module.low.fill_(0 if float(module.low) == 0 else -torch.inf)
        replace(model)
        for place in LEFT_OUT:
            model.features[place + 1] = nn.Identity()
        images = torch.randn(4, 3, SIDE, SIDE)

        with torch.inference_mode():
            self.assertLess((light(images) - model(images)).abs().max().item(), 1e-4)

    def test_fitted_ranges_make_the_simulation_near_and_leave_the_fixed_ones(self) -> None:
        light = lightened(original(), CLASSES)
        kept = {name: float(light.get_submodule(name).high) for name in fixed(light)}
        images = generated(16, SIDE, 1)
        fit_ranges(light, images, SIDE)
        x = torch.randn(8, 3, SIDE, SIDE)

        with torch.inference_mode():
            expected = light(x)
            simulate_bytes(light, True)
            self.assertLess((light(x) - expected).abs().mean().item(), 0.2 * expected.std().item())
        self.assertEqual({name: float(light.get_submodule(name).high) for name in fixed(light)}, kept)

    def test_a_range_leaves_out_a_lone_value_far_away_and_keeps_what_is_spread_evenly(self) -> None:
        spread = torch.linspace(0, 4, 20_000)

        self.assertEqual(best_range(spread), (0.0, 4.0))
        self.assertLess(best_range(torch.cat([spread, torch.tensor([12.0])]))[1], 12)
