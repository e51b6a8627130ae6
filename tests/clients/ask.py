"""Asks a running stack through one client library and prints what it says as JSON: ask.py CLIENT ORIGIN FILE."""

import json
import sys


def hub(origin, file):
    from huggingface_hub import InferenceClient

    client = InferenceClient(model=f"{origin}/huggingface", token="none")
    raw = client.image_classification(file)
    three = client.image_classification(file, top_k=3)
    return {"raw": [dict(one) for one in raw], "three": [dict(one) for one in three]}


def hub_fault(origin, file):
    from huggingface_hub import InferenceClient
    from huggingface_hub.errors import HfHubHTTPError

    try:
        InferenceClient(model=f"{origin}/huggingface", token="none").image_classification(file)
    except HfHubHTTPError as fault:
        return {"status": fault.response.status_code, "message": fault.server_message}


def infer_arguments(http, file):
    import numpy

    with open(file, "rb") as opened:
        image = numpy.array([opened.read()], dtype=numpy.object_)
    tensor = http.InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(image)
    return [tensor]


def triton(origin, file):
    import tritonclient.http as http

    client = http.InferenceServerClient(origin.removeprefix("http://"))
    inputs = infer_arguments(http, file)
    everything = client.infer("classify", inputs, request_id="mine")
    wanted = [http.InferRequestedOutput("score", class_count=2), http.InferRequestedOutput("label", binary_data=False)]
    some = client.infer("classify", inputs, outputs=wanted)
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready() and client.is_model_ready("classify"),
        "metadata": client.get_model_metadata("classify"),
        "server": client.get_server_metadata(),
        "response": everything.get_response(),
        "label": [label.decode() for label in everything.as_numpy("label")],
        "class": [name.decode() for name in everything.as_numpy("class")],
        "score": everything.as_numpy("score").tolist(),
        "classes": [text.decode() for text in some.as_numpy("score")],
        "labels": some.as_numpy("label").tolist(),
    }


def triton_fault(origin, file):
    import tritonclient.http as http
    from tritonclient.utils import InferenceServerException

    try:
        http.InferenceServerClient(origin.removeprefix("http://")).infer("classify", infer_arguments(http, file))
    except InferenceServerException as fault:
        return {"status": fault.status(), "message": fault.message()}


def requests_put(origin, file):
    import requests

    with open(file, "rb") as opened:
        put = requests.put(f"{origin}/predictions/classify", data=opened)
    with open(file, "rb") as opened:
        form = requests.post(f"{origin}/predictions/classify", files={"data": opened})
    return {"put": put.json(), "form": form.json(), "degraded": put.headers.get("X-Degraded")}


clients = {
    "hub": hub,
    "hub_fault": hub_fault,
    "triton": triton,
    "triton_fault": triton_fault,
    "requests": requests_put,
}

if __name__ == "__main__":
    client, origin, file = sys.argv[1:]
    print(json.dumps(clients[client](origin, file)))
