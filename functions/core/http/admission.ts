import type { ServerResponse } from 'node:http';
import { busy } from '../chain/refusal.ts';

/** Bounds how many uploads, and how many bytes of them, are held at a time. */
export interface Admission {
  /**
   * Takes the upload's share of memory until its answer is sent; what it returns is called once the upload is whole.
   * @param after when to come again, for the refusal
   * @throws Problem BUSY
   */
  hold(bytes: number, response: ServerResponse, after: () => string): () => void;
  /** Whether no upload is held. */
  isEmpty(): boolean;
  /** Uploads that are not whole yet, so that no decoder knows of them. */
  arriving(): number;
}

/** Uploads held at a time for each worker: more than any deadline lets it answer ... */
const uploadsPerWorker = 64;
/** ... and their bytes, as so many of the largest upload: of 10 MB, these are 84 MB of a core's memory at the most. */
const largestUploadsPerWorker = 8;

export function createAdmission(workers: number, maxUploadBytes: number): Admission {
  const most = workers * uploadsPerWorker;
  const mostBytes = workers * largestUploadsPerWorker * maxUploadBytes;
  let held = 0;
  let heldBytes = 0;
  let arriving = 0;
  return {
    hold(bytes, response, after) {
      if (held >= most) throw busy(`${most} uploads are held already`, after());
      if (heldBytes + bytes > mostBytes) throw busy(`${heldBytes} bytes of uploads are held already`, after());
      held += 1;
      heldBytes += bytes;
      arriving += 1;
      let isArriving = true;
      const markArrived = () => {
        if (isArriving) arriving -= 1;
        isArriving = false;
      };
      response.once('close', () => {
        held -= 1;
        heldBytes -= bytes;
        markArrived();
      });
      return markArrived;
    },
    isEmpty: () => held === 0,
    arriving: () => arriving,
  };
}
