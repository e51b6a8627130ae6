"""Makes the pictures beside this file and reference.json: what torchvision gives for each of them.

    python tests/tasks/preprocessing/reference.py

Written with Pillow 13, numpy 2 and torchvision 0.29. Everything is drawn from fixed seeds, so running it again changes
nothing but what another version of these libraries does differently.
"""

import base64
import json
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor

FOLDER = Path(__file__).parent
ORIENTATION = 0x0112  # the EXIF tag

# By the names of model cards.
KERNELS = {"linear": InterpolationMode.BILINEAR, "cubic": InterpolationMode.BICUBIC}
# Shrunk, turned, reduced before, enlarged in both directions or in one, from a single pixel or line.
BY_BOTH = {
    "landscape.jpg", "odd.jpg", "wide.jpg", "medium.jpg", "medium-portrait.webp", "large.jpg", "large-portrait.webp", "same.png",
    "small.png", "small-narrow.png", "pixel.png", "line-upright.png", "alpha.png", "orientation-6.jpg",
}  # fmt: skip


def scene(width, height, seed, noise=6.0):
    """A sky over a ground with bright discs and fine stripes, never symmetric, with the noise of a sensor."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    ground = (y > 0.55 * height / max(width, height) + 0.04 * np.sin(9 * x))[..., None]
    sky = np.stack([90 + 90 * y, 140 + 60 * x, 235 - 60 * y], -1)
    earth = np.stack([150 - 60 * x, 110 + 50 * np.sin(40 * x + 25 * y), 60 + 50 * y], -1)
    image = np.where(ground, earth, sky)
    for _ in range(6):
        cx, cy, radius = rng.uniform(0, 1), rng.uniform(0, 0.8), rng.uniform(0.03, 0.16)
        distance = np.hypot(x - cx, y - cy)[..., None]
        color = rng.uniform(0, 255, 3) * np.clip(1.3 - distance / radius * 0.7, 0, 1)
        image = np.where(distance < radius, color, image)
    stripes = ((x - y) * 60 % 1 < 0.5) & (x > 0.7) & (y < 0.3)
    image = np.where(stripes[..., None], 245 - image, image)
    image = image + rng.normal(0, noise, image.shape)
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))


def faded(image):
    """The image with an alpha that rises from left to right, over colors that stay as they are."""
    alpha = np.tile(np.linspace(0, 255, image.width).astype(np.uint8), (image.height, 1))
    image.putalpha(Image.fromarray(alpha))
    return image


def inks(image):
    """The image as cyan, magenta, yellow and a black that takes up half of what the three share."""
    cmy = 255 - np.asarray(image).astype(np.int32)
    black = cmy.min(-1, keepdims=True) // 2
    return Image.fromarray(np.concatenate([cmy - black, black], -1).astype(np.uint8), "CMYK")


def turned(orientation):
    """EXIF data of nothing but this orientation."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def pictures():
    """Name, image, options of `save`, resize, crop."""
    photo = {"quality": 80}
    # 85 - 64 = 21: half of it is 10.5, which Python rounds to 10.
    yield "landscape.jpg", scene(500, 375, 1), photo, 64, 64
    yield "portrait.jpg", scene(300, 400, 2), photo, 64, 64
    # 87 - 64 = 23: 11.5, rounded to 12.
    yield "odd.jpg", scene(301, 411, 3), photo, 64, 64
    # 171 - 64 = 107: 53.5, rounded to 54; and a crop smaller than the resized image in both directions.
    yield "wide.jpg", scene(320, 120, 4), photo, 64, 48
    # This one also has to be turned.
    yield "medium.jpg", scene(1000, 760, 5, noise=3.0), {"quality": 70, "exif": turned(6)}, 64, 64
    yield "medium-portrait.webp", scene(700, 900, 6, noise=3.0), {"quality": 70}, 64, 64
    # Over 1,000,000 pixels in the crop: libvips reduces them first. One and a half as wide and high as that, and a little wider.
    yield "large.jpg", scene(2000, 1500, 23, noise=1.0), {"quality": 50, "exif": turned(6)}, 64, 64
    yield "large-portrait.webp", scene(1050, 1400, 24, noise=1.0), {"quality": 60}, 64, 64
    yield "same.png", scene(64, 64, 7), {}, 64, 64
    yield "same-height.png", scene(97, 64, 8), {}, 64, 64
    yield "small.png", scene(40, 30, 9), {}, 64, 64
    yield "small-narrow.png", scene(20, 64, 10), {}, 64, 64
    yield "small-odd.png", scene(63, 63, 11), {}, 64, 64
    yield "pixel.png", Image.new("RGB", (1, 1), (200, 100, 50)), {}, 64, 64
    yield "line-upright.png", scene(1, 500, 12), {}, 64, 64
    yield "line-flat.png", scene(500, 1, 13), {}, 64, 64
    yield "two-rows.png", scene(31, 2, 14), {}, 64, 64
    yield "gray.jpg", scene(150, 110, 15).convert("L"), photo, 32, 32
    yield "gray-alpha.png", faded(scene(60, 50, 16)).convert("LA"), {}, 32, 32
    yield "inks.jpg", inks(scene(150, 110, 17)), photo, 32, 32
    yield "alpha.png", faded(scene(70, 50, 18)), {}, 32, 32
    yield "palette.png", scene(90, 70, 19).quantize(16), {}, 32, 32
    frames = {"save_all": True, "append_images": [scene(60, 45, 21).quantize(64)]}
    yield "first-frame.gif", scene(60, 45, 20).quantize(64), frames, 32, 32
    for orientation in range(1, 9):
        options = {"quality": 85, "exif": turned(orientation)}
        yield f"orientation-{orientation}.jpg", scene(75, 50, 22), options, 32, 24


def main():
    normalize = Compose([ToTensor(), Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
    cases = []
    for name, image, options, resize, crop in pictures():
        image.save(FOLDER / name, **options)
        upright = ImageOps.exif_transpose(Image.open(FOLDER / name)).convert("RGB")
        for kernel in KERNELS if name in BY_BOTH else ["linear"]:
            pixels = CenterCrop(crop)(Resize(resize, KERNELS[kernel])(upright))
            packed = base64.b64encode(zlib.compress(np.asarray(pixels).tobytes(), 9)).decode()
            size = {"width": upright.width, "height": upright.height}
            cases.append({"name": name, **size, "resize": resize, "crop": crop, "kernel": kernel, "pixels": packed})
    upright = Image.open(FOLDER / "landscape.jpg")
    tensor = normalize(CenterCrop(12)(Resize(16)(upright)))
    values = [round(value, 6) for value in tensor.flatten().tolist()]
    tensors = {"name": "landscape.jpg", "resize": 16, "crop": 12, "values": values}
    lines = ",\n".join("    " + json.dumps(case) for case in cases)
    text = f'{{\n  "cases": [\n{lines}\n  ],\n  "tensor": {json.dumps(tensors)}\n}}\n'
    (FOLDER / "reference.json").write_text(text)


if __name__ == "__main__":
    main()
