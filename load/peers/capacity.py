"""Prints how many requests a tuned server may hold: what a bare loop of decode and run, one thread a lane, does in 0.4 s.

    PEER_MODEL=../../models/wide-resnet python capacity.py PHOTO...
"""

import sys
import threading
import time
from pathlib import Path

from pipeline import LANES, Classifier

WARM_UP_S, MEASURED_S = 1, 5
ADMITTED_S = 0.4  # of the 1 s that a client waits: a run and, beyond the capacity, refusals take the rest


def main() -> None:
    photos = [Path(path).read_bytes() for path in sys.argv[1:]]
    classifier = Classifier()
    runs = [0] * LANES

    def loop(lane: int, end: float) -> None:
        while time.perf_counter() < end:
            classifier.classify(photos[runs[lane] % len(photos)])
            runs[lane] += 1

    for seconds in (WARM_UP_S, MEASURED_S):
        runs[:] = [0] * LANES
        started = time.perf_counter()
        threads = [threading.Thread(target=loop, args=(lane, started + seconds)) for lane in range(LANES)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        per_second = sum(runs) / (time.perf_counter() - started)
    print(f"{per_second:.1f} photos a second by a bare loop", file=sys.stderr)
    print(max(1, int(per_second * ADMITTED_S)))


if __name__ == "__main__":
    main()
