import type { Answer, Problem } from './ask.ts';

const reasons: Readonly<Record<string, string>> = {
  error: 'the lead model raised an error, or must not be served',
  timeout: 'no time was left for the lead model',
  overload: 'the lead model would have answered too late',
  warming: 'the lead model is still loading',
  failover: 'the primary function failed, was full or was silent, so the fallback function answered',
};

/** Who answered and, where it was not the lead model, why. */
export function tellAnswer({ model, degraded, reason }: Answer): string {
  if (!degraded) return `${model}, the lead model, answered.`;
  const why = reasons[reason ?? ''] ?? `of ${reason}`;
  return `${model} answered in place of the lead model: ${why}.`;
}

const advice: Readonly<Record<string, string>> = {
  PARAMETER_INVALID: 'Change what it names and ask again.',
  UPLOAD_EMPTY: 'The file has no bytes. Choose another one.',
  UPLOAD_TOO_LARGE: 'Choose a smaller file, or one that this browser can show: it shrinks photos by itself.',
  UPLOAD_TIMEOUT: 'The upload took too long. Try a smaller file or a better network.',
  IMAGE_UNSUPPORTED:
    'The content counts, not the name. Save it as JPEG, PNG, WebP, GIF or AVIF, for clouds as GeoTIFF.',
  IMAGE_UNREADABLE: 'The file is damaged or ends too soon. Save it again, or choose another one.',
  IMAGE_TOO_MANY_PIXELS: 'Save it with fewer pixels.',
  IMAGE_NO_DIGIT: 'Write one digit, large, with thick strokes.',
  KEY_REQUIRED: 'This service answers only clients that have a key. This page forgets it when it is closed.',
  RATE_LIMITED: 'You ask more often than one client may.',
  BUSY: 'All models are busy; nothing is wrong with your photo.',
  STARTING: 'The models are still loading; nothing is wrong with your photo.',
  UNAVAILABLE: 'No function could answer; nothing is wrong with your photo.',
  PRIMARY_REQUIRED: 'You asked for the lead model alone, and it cannot answer now. The standby model can.',
  DEADLINE_EXCEEDED: 'Grant more patience and ask again.',
  ROUTE_NOT_FOUND: 'This system is not deployed here.',
  NO_ANSWER: 'Look whether this device is online and the service runs, then ask again. What you chose is still here.',
  INTERNAL: 'This is our fault. Name the request id to whoever runs this service.',
};

/** What to do about a problem. */
export function advise({ code, retryAfter }: Problem): string {
  const wait = retryAfter === undefined ? '' : ` Try again in ${retryAfter} s.`;
  return `${advice[code] ?? 'Ask again, or choose another file.'}${wait}`;
}
