/** A kind of file that people take for an accepted picture. */
interface Foreign {
  /** As it is called in a sentence. */
  readonly name: string;
  /** What to do instead. */
  readonly advice: string;
  /** One of these in Latin-1, where it begins the file or its fifth byte, as in containers of ISO 14496-12. */
  readonly starts?: readonly string[];
  readonly boxes?: readonly string[];
  readonly pattern?: RegExp;
}

const saved = 'save it as JPEG or PNG';

/** The first one that matches counts. */
const kinds: readonly Foreign[] = [
  {
    name: 'HEIC',
    advice: 'save it as JPEG; on an iPhone, choose "Most Compatible" in Settings, Camera, Formats',
    boxes: ['ftyphei', 'ftyphev', 'ftypmif', 'ftypmsf'],
  },
  { name: "a camera's RAW file", advice: saved, boxes: ['ftypcrx '], starts: ['FUJIFILMCCD-RAW', 'IIRO', 'IIU\0'] },
  {
    name: 'a film',
    advice: 'send one of its pictures',
    boxes: ['ftyp', 'moov', 'mdat', 'wide'],
    starts: ['\x1aE\xdf\xa3'],
  },
  { name: 'JPEG XL', advice: saved, starts: ['\xff\x0a', '\0\0\0\x0cJXL '] },
  { name: 'JPEG 2000', advice: saved, starts: ['\0\0\0\x0cjP  ', '\xff\x4f\xff\x51'] },
  {
    name: 'TIFF, or a RAW file made of it such as DNG',
    advice: saved,
    starts: ['II*\0', 'MM\0*', 'II+\0', 'MM\0+'],
  },
  { name: 'PDF', advice: 'save its page as JPEG or PNG', starts: ['%PDF-'] },
  { name: 'a Photoshop file', advice: saved, starts: ['8BPS'] },
  { name: 'BMP', advice: saved, pattern: /^BM.{4}\0{4}/s },
  { name: 'an icon file', advice: saved, starts: ['\0\0\x01\0', '\0\0\x02\0'] },
  {
    name: 'SVG',
    advice: 'draw it as PNG',
    pattern: /^(?:\xef\xbb\xbf)?\s*(?:<svg|<(?:\?xml|!--|!doctype svg).*<svg)/is,
  },
  {
    name: 'a web page',
    advice: 'send the picture that it shows',
    pattern: /^(?:\xef\xbb\xbf)?\s*<(?:!doctype )?html/i,
  },
];

/** Enough for the comments before an SVG's first element. */
const startBytes = 1024;

/** What a file is that is no accepted picture, and what to do instead: `HEIC; save it as JPEG ...`. */
export function describeForeign(content: Buffer): string {
  const start = content.toString('latin1', 0, startBytes);
  const kind = kinds.find(
    ({ starts, boxes, pattern }) =>
      starts?.some((text) => start.startsWith(text)) ||
      boxes?.some((text) => start.startsWith(text, 4)) ||
      pattern?.test(start),
  );
  return kind ? `${kind.name}; ${kind.advice}` : 'other content';
}
