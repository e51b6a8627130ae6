"""The single model's capacity: how many photos a second a bare loop decodes and runs on all lanes, without any server.

    PEER_MODEL=build/models/wide-resnet python capacity.py PHOTO... [--seconds 10]

Prints one line of JSON.
"""

import argparse
import json
import threading
import time
from pathlib import Path

from pipeline import LANES, Classifier

parser = argparse.ArgumentParser()
parser.add_argument("photos", nargs="+", type=Path)
parser.add_argument("--seconds", type=float, default=10)
args = parser.parse_args()

photos = [path.read_bytes() for path in args.photos]
classifier = Classifier()
latencies: list[float] = []


def lane(first: int, until: float) -> None:
    turn = first
    while time.perf_counter() < until:
        started = time.perf_counter()
        classifier.classify(photos[turn % len(photos)])
        latencies.append(time.perf_counter() - started)
        turn += 1


for seconds in (args.seconds / 5, args.seconds):  # the first round warms up
    latencies.clear()
    started, cpu = time.perf_counter(), time.process_time()
    threads = [threading.Thread(target=lane, args=(first, started + seconds)) for first in range(LANES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, spent = time.perf_counter() - started, time.process_time() - cpu

print(
    json.dumps(
        {
            "lanes": LANES,
            "perSecond": round(len(latencies) / took, 3),
            "perCpuSecond": round(len(latencies) / spent, 3),
            "p50Ms": round(sorted(latencies)[len(latencies) // 2] * 1000, 2),
        }
    )
)
