"""LitServe: one process for HTTP, one for each worker, a queue between them."""

import litserve as ls
from fastapi import HTTPException

from pipeline import IN_FLIGHT, LANES, MAX_UPLOAD_BYTES, PATIENCE_QUEUED_S, PORT, TUNED, Admission, Classifier, Unreadable


class WideResnet(ls.LitAPI):
    def setup(self, device) -> None:
        self.classifier = Classifier()

    def decode_request(self, request) -> bytes:
        if TUNED and "image" not in request:
            raise HTTPException(400, "Expected a file in the field image")
        return request["image"].file.read()

    def predict(self, data: bytes) -> dict:
        if not TUNED:
            return self.classifier.classify(data)
        try:
            return self.classifier.classify(data)
        except Unreadable as fault:
            raise HTTPException(400, "Expected an image") from fault

    def encode_response(self, output: dict) -> dict:
        return output


if __name__ == "__main__":
    tuning = {
        "workers_per_device": LANES,
        "timeout": PATIENCE_QUEUED_S,
        "max_payload_size": MAX_UPLOAD_BYTES,
        "restart_workers": True,
        "middlewares": [(Admission, {"limit": IN_FLIGHT})],
    }
    server = ls.LitServer(WideResnet(api_path="/classify"), accelerator="cpu", **(tuning if TUNED else {}))
    # One process for HTTP, so that there is one count of the requests in flight.
    servers = {"num_api_servers": 1} if TUNED else {}
    server.run(host="127.0.0.1", port=PORT, generate_client_file=False, **servers)
