"""What schemathesis sends as an upload, and what it checks beside the document."""

import os
from pathlib import Path

import schemathesis
from hypothesis import strategies

# Files that the function under test can read, or bytes that it cannot. By itself schemathesis sends JSON as image/gif.
samples = [Path(path).read_bytes() for path in os.environ["SAMPLES"].split(":")]
uploads = strategies.sampled_from(samples) | strategies.binary(min_size=1, max_size=64)
TYPES = ["image/jpeg", "image/png", "image/webp", "image/gif", "image/avif", "image/tiff", "application/octet-stream"]
schemathesis.openapi.media_type("image/*", uploads, aliases=TYPES)

DEFAULT_TOP = 5


@schemathesis.check
def as_many_predictions_as_asked(ctx, response, case):
    """The document allows 20 of them, whatever was asked."""
    if case.path != "/classify" or response.status_code != 200:
        return
    top = int((case.query or {}).get("top", DEFAULT_TOP))
    body = response.json()
    received = max(len(one.get("predictions", [])) for one in (body if isinstance(body, list) else [body]))
    assert received <= top, f"Expected at most {top} predictions but received {received}"
