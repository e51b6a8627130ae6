/** What a JPEG says of itself before its first scan. */
export interface JpegHeader {
  /** Whether the end marker follows the first scan. */
  readonly isComplete: boolean;
  /** Pixels, where they can be told without a decoder: gray or three channels of 8 bits, and no EXIF, which might turn the image. */
  readonly size?: { readonly width: number; readonly height: number };
}

/** Second byte of markers, ITU-T T.81 table B.1; the first one is 0xff, which may be repeated to fill space. */
const marker = { fill: 0xff, startOfScan: 0xda, app1: 0xe1 };
/** Baseline, extended and progressive frames; libvips decodes no others but arithmetic ones. */
const startsOfFrame = [0xc0, 0xc1, 0xc2];
/** Markers without a length: TEM and RST0 to RST7. Nobody writes them here, but decoders pass over them. */
const isAlone = (code: number) => code === 0x01 || (code >= 0xd0 && code <= 0xd7);
const endOfImage = Buffer.of(0xff, 0xd9);

/** Ten megabytes of fill bytes, or of segments without content and bytes between them, would hold the event loop for 20 ms; the largest color profile has 255. */
const maxFillers = 1000;
const maxSegments = 1000;

/**
 * Reads the markers of a JPEG. That it ends is looked for, because rows below the crop are not decoded, so that libvips would not
 * notice that they are missing. Thumbnails before the scan and films behind do not count.
 */
export function readJpegHeader(content: Buffer): JpegHeader {
  let frameAt: number | undefined;
  let mayBeTurned = false;
  let fillers = 0;
  let segments = 0;
  let at = 2;
  while (at + 4 <= content.length && fillers <= maxFillers && segments <= maxSegments) {
    const code = content[at + 1] as number;
    if (content[at] !== 0xff || code === 0) {
      // Cameras leave bytes between segments, or count a segment's one short: decoders go on at the next marker.
      segments += 1;
      const next = content.indexOf(0xff, at + 1);
      if (next < 0) break;
      at = next;
      continue;
    }
    if (code === marker.startOfScan) {
      const isComplete = content.includes(endOfImage, at);
      const size = frameAt === undefined || mayBeTurned ? undefined : readFrameSize(content.subarray(frameAt));
      return size ? { isComplete, size } : { isComplete };
    }
    if (code === marker.app1) mayBeTurned = true;
    if (startsOfFrame.includes(code)) frameAt ??= at + 4; // of two, decoders refuse the second
    if (code === marker.fill) {
      fillers += 1;
      at += 1;
    } else {
      segments += 1;
      at += 2 + (isAlone(code) ? 0 : content.readUInt16BE(at + 2));
    }
  }
  return { isComplete: false };
}

/** Of a frame header (T.81 B.2.2): bits a channel, height, width, channels. */
function readFrameSize(frame: Buffer): JpegHeader['size'] {
  if (frame.length < 6) return undefined;
  const height = frame.readUInt16BE(1);
  const width = frame.readUInt16BE(3);
  // A height of 0 is told after the scan; four channels are ink, which may be inverted.
  const isPlain = frame[0] === 8 && width > 0 && height > 0 && (frame[5] === 1 || frame[5] === 3);
  return isPlain ? { width, height } : undefined;
}
