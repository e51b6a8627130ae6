"""What the reference servers share: decoding, preprocessing, run, top five, and the settings of a server.

serve.sh sets the environment: PEER_MODEL (folder of the Wide ResNet), PEER_PORT, PEER_LANES (cores) and PEER_IN_FLIGHT (how many
requests a tuned server may hold; 0: as its makers ship it).
"""

import io
import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

MODEL = Path(os.environ["PEER_MODEL"])
PORT = int(os.environ.get("PEER_PORT", "8000"))
LANES = int(os.environ.get("PEER_LANES", "2"))
IN_FLIGHT = int(os.environ.get("PEER_IN_FLIGHT", "0"))
TUNED = IN_FLIGHT > 0
PATIENCE_S = 1.0  # an answer counts up to here; a tuned server gives up a request that it cannot answer by then
PATIENCE_QUEUED_S = 0.8  # the same less the run, for LitServe, whose time-out covers only the wait
MAX_UPLOAD_BYTES = 10_485_760  # the limit of our service
CARD = json.loads((MODEL / "model.json").read_text())
MEAN, STD = (np.array(CARD["input"][name], np.float32) for name in ("mean", "std"))
RESIZE, CROP, TOP = CARD["input"]["resize"], CARD["input"]["crop"], 5


class Unreadable(Exception):
    """Pillow cannot decode the bytes."""


def decode(data: bytes) -> Image.Image:
    """The image, all of it decoded. Raises Unreadable."""
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
        return image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as fault:
        raise Unreadable(str(fault)) from fault


def to_tensor(image: Image.Image) -> np.ndarray:
    """The shorter side resized with bilinear filtering, center crop, normalized as the card says; float32, 1 x 3 x crop x crop."""
    image = ImageOps.exif_transpose(image).convert("RGB")
    short = min(image.size)
    width, height = (RESIZE if side == short else int(RESIZE * side / short) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - CROP) / 2.0), round((height - CROP) / 2.0)
    pixels = np.asarray(image.crop((left, top, left + CROP, top + CROP)), np.float32)
    return np.ascontiguousarray(((pixels / 255 - MEAN) / STD).transpose(2, 0, 1)[None])


class Classifier:
    """One session of the Wide ResNet. Several threads may call `run`."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(MODEL / CARD["file"], options, providers=["CPUExecutionProvider"])
        self.labels = json.loads((MODEL / "labels.json").read_text())

    def run(self, image: Image.Image) -> dict:
        """The answer of POST /classify."""
        (logits,) = self.session.run(["logits"], {"image": to_tensor(image)})
        weights = np.exp(logits[0] - logits[0].max())
        scores = weights / weights.sum()
        best = np.argsort(-scores)[:TOP]
        predictions = [{"index": int(i), **self.labels[i], "score": round(float(scores[i]), 6)} for i in best]
        return {"model": "wide-resnet", "predictions": predictions}

    def classify(self, data: bytes) -> dict:
        """Decodes and runs. Raises Unreadable."""
        return self.run(decode(data))


class Admission:
    """ASGI middleware: answers 503 beyond `limit` requests in flight."""

    def __init__(self, app, limit: int) -> None:
        self.app = app
        self.limit = limit
        self.in_flight = 0

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if self.in_flight >= self.limit:
            await send({"type": "http.response.start", "status": 503, "headers": [(b"retry-after", b"1")]})
            return await send({"type": "http.response.body", "body": b""})
        self.in_flight += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.in_flight -= 1
