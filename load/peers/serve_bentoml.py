"""BentoML: a service class whose endpoint takes a Pillow image or, tuned, the file, so that it can say what is wrong with it.

Started by `bentoml serve`.
"""

from pathlib import Path

import bentoml
from bentoml.exceptions import InvalidArgument
from PIL.Image import Image

from pipeline import IN_FLIGHT, LANES, PATIENCE_S, TUNED, Classifier, Unreadable

TUNING = {
    "workers": LANES,
    "threads": LANES,
    "traffic": {"timeout": PATIENCE_S, "max_concurrency": IN_FLIGHT},
}


Upload = Path if TUNED else Image


@bentoml.service(**(TUNING if TUNED else {}))
class WideResnet:
    def __init__(self) -> None:
        self.classifier = Classifier()

    @bentoml.api(route="/classify")
    def classify(self, image: Upload) -> dict:
        if isinstance(image, Image):
            return self.classifier.run(image)
        try:
            return self.classifier.classify(image.read_bytes())
        except Unreadable as fault:
            raise InvalidArgument("Expected an image") from fault
