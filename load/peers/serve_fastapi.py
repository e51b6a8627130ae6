"""FastAPI: a plain function as endpoint, which FastAPI runs in its thread pool. Started by uvicorn."""

from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI, HTTPException, UploadFile

from pipeline import IN_FLIGHT, LANES, TUNED, Admission, Classifier, Unreadable

state = {}


@asynccontextmanager
async def lifespan(_: FastAPI):
    state["classifier"] = Classifier()
    if TUNED:
        anyio.to_thread.current_default_thread_limiter().total_tokens = LANES
    yield


app = FastAPI(lifespan=lifespan)
if TUNED:
    app.add_middleware(Admission, limit=-(-IN_FLIGHT // LANES))  # one of LANES processes


@app.post("/classify")
def classify(image: UploadFile) -> dict:
    if not TUNED:
        return state["classifier"].classify(image.file.read())
    try:
        return state["classifier"].classify(image.file.read())
    except Unreadable as fault:
        raise HTTPException(400, "Expected an image") from fault
