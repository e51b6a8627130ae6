"""Ray Serve: a deployment behind Ray's HTTP proxy, on a Ray of its own that lives as long as this process."""

import asyncio
import signal

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse

from pipeline import IN_FLIGHT, LANES, PATIENCE_S, PORT, TUNED, Classifier, Unreadable

ONGOING = 2  # for each replica: one runs, the next is at hand when it ends
TUNING = {
    "num_replicas": LANES,
    "max_ongoing_requests": ONGOING,
    "max_queued_requests": max(1, IN_FLIGHT - LANES * ONGOING),
}


@serve.deployment(**(TUNING if TUNED else {}))
class WideResnet:
    def __init__(self) -> None:
        self.classifier = Classifier()

    async def __call__(self, request: Request):
        form = await request.form()
        if TUNED and "image" not in form:
            return JSONResponse({"error": "Expected a file in the field image"}, 400)
        data = await form["image"].read()
        try:
            return await asyncio.to_thread(self.classifier.classify, data)
        except Unreadable:
            if TUNED:
                return JSONResponse({"error": "Expected an image"}, 400)
            raise


def stop(*_) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # Logical processors: the replicas' and one to spare for Ray's own actors.
    ray.init(num_cpus=LANES + 1, include_dashboard=False, log_to_driver=False)
    patience = {"request_timeout_s": PATIENCE_S} if TUNED else {}
    serve.start(http_options={"host": "127.0.0.1", "port": PORT, **patience})
    if TUNED:
        signal.signal(signal.SIGTERM, stop)  # what serve.run waits for to shut down in order
    serve.run(WideResnet.bind(), route_prefix="/classify", blocking=True)
