"""The network that reads digits, and MNIST's format; needs `models/setup.sh training`: python -m unittest tests/models/pipeline/test_digits.py"""

import contextlib
import gzip
import unittest.mock

import numpy as np
import torch

from folder import FolderTest
from pipeline.faults import Fault
from training import digits_net
from training.digits import find_idx, read_idx
from training.digits_net import CLASSES, Net, answers_of, train, vary
from training.running import BATCH, accuracy


def bars(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of a bar, upright (0) or lying (1)."""
    labels = np.arange(count, dtype=np.uint8) % 2
    images = np.zeros((count, 28, 28), np.uint8)
    images[::2, 4:24, 12:16] = 255
    images[1::2, 12:16, 4:24] = 255
    return images, labels


class DigitsTest(FolderTest):
    def test_a_net_gives_eleven_logits_and_is_small(self) -> None:
        net = Net().eval()
        self.assertEqual(net(torch.zeros(2, 1, 28, 28)).shape, (2, CLASSES))
        self.assertLess(sum(value.numel() for value in net.parameters()) * 4, 1e6)

    def test_varied_digits_stay_digits_from_0_to_1(self) -> None:
        digits = torch.from_numpy(bars(20)[0]).unsqueeze(1).float() / 255
        random = torch.Generator().manual_seed(1)
        varied = vary(digits, random, 1)
        self.assertEqual(varied.shape, digits.shape)
        self.assertTrue(0 <= varied.min() and varied.max() <= 1)
        self.assertFalse(torch.allclose(varied, digits, atol=0.1))
        torch.testing.assert_close(vary(digits, random, 0), digits, atol=1e-4, rtol=0)

    def test_a_resumed_training_ends_as_one_that_went_on(self) -> None:
        data = bars(640)
        self.enterContext(contextlib.redirect_stdout(self.said))
        whole, trained = train([data, data], self.folder / "whole.pt", 8, data)
        self.assertEqual(trained["images"], 80 * BATCH)
        self.assertGreater(accuracy(answers_of(whole), *data)[0], 0.9)

        stop = unittest.mock.patch.object(digits_net, "accuracy", side_effect=KeyboardInterrupt)
        with unittest.mock.patch.object(digits_net, "SAVED_STEPS", 7), stop, self.assertRaises(KeyboardInterrupt):
            train([data, data], self.folder / "parts.pt", 8, data)
        self.assertEqual(torch.load(self.folder / "parts.pt")["images"], 7 * BATCH)
        resumed, _ = train([data, data], self.folder / "parts.pt", 8, data)
        for one, other in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
            torch.testing.assert_close(one, other)

    def test_reads_idx_files_compressed_or_not(self) -> None:
        content = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, *range(6)])
        (self.folder / "plain").write_bytes(content)
        (self.folder / "packed.gz").write_bytes(gzip.compress(content))
        for name in ("plain", "packed"):
            self.assertEqual(read_idx(find_idx(self.folder, name)).tolist(), [[0, 1, 2], [3, 4, 5]])

    def test_refuses_what_is_no_idx_file(self) -> None:
        with self.assertRaisesRegex(Fault, "^Expected MNIST's file images, compressed or not, for .* but received none$"):
            find_idx(self.folder, "images")
        for content in (b"", b"text", bytes([0, 0, 8, 1, 0, 0, 0, 9, 1])):
            (self.folder / "odd").write_bytes(content)
            with self.subTest(content=content), self.assertRaisesRegex(Fault, "^Expected an IDX file of bytes for "):
                read_idx(self.folder / "odd")
