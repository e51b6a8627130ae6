/** A GeoTIFF's red, green and blue band as a picture; the forms that GDAL writes by default, since the service reads all others. */

interface Layout {
  readonly view: DataView;
  readonly isLittle: boolean;
  readonly width: number;
  readonly height: number;
  readonly samples: number;
  readonly isPlanar: boolean;
  readonly isDeflated: boolean;
  readonly isPredicted: boolean;
  readonly blockWidth: number;
  readonly blockHeight: number;
  readonly offsets: readonly number[];
  readonly lengths: readonly number[];
  readonly metadata: string;
}

/** Reflectance that is shown as white, in the numbers of Sentinel-2 (10000 is 1): clouds are brighter, land and sea darker. */
const white = 4000;

/** @throws Error where the file is of another form, or does not name the bands B02, B03 and B04 */
export async function readTrueColor(file: ArrayBuffer): Promise<ImageData> {
  const layout = readLayout(new DataView(file));
  const { width, height, metadata } = layout;
  const names = [...metadata.matchAll(/sample="(\d+)" role="description">\s*B0?(\w+)/g)];
  const image = new ImageData(width, height);
  image.data.fill(255);
  for (const [color, band] of ['4', '3', '2'].entries()) {
    const sample = Number(names.find(([, , name]) => name === band)?.[1] ?? Number.NaN);
    if (!(sample < layout.samples)) throw new Error(`Expected a band B0${band} but received none`);
    await readBand(layout, sample, (pixel, value) => {
      image.data[pixel * 4 + color] = 255 * Math.min(value / white, 1) ** (1 / 1.8);
    });
  }
  return image;
}

/** Bytes of a value by the type of its field: BYTE, ASCII, SHORT, LONG. */
const sizes: Readonly<Record<number, number>> = { 1: 1, 2: 1, 3: 2, 4: 4 };

function readLayout(view: DataView): Layout {
  const isLittle = view.getUint16(0) === 0x4949;
  if (view.getUint16(2, isLittle) !== 42) throw new Error('Expected a TIFF of 32 bits');
  const directory = view.getUint32(4, isLittle);
  const fields = new Map<number, readonly number[]>();
  for (let i = 0; i < view.getUint16(directory, isLittle); i += 1) {
    const at = directory + 2 + i * 12;
    const [type, count] = [view.getUint16(at + 2, isLittle), view.getUint32(at + 4, isLittle)];
    const size = sizes[type];
    if (size === undefined) continue;
    const from = size * count <= 4 ? at + 8 : view.getUint32(at + 8, isLittle);
    const read = (k: number) => {
      if (size === 1) return view.getUint8(from + k);
      return size === 2 ? view.getUint16(from + k * 2, isLittle) : view.getUint32(from + k * 4, isLittle);
    };
    fields.set(
      view.getUint16(at, isLittle),
      Array.from({ length: count }, (_, k) => read(k)),
    );
  }
  return checkLayout(view, isLittle, fields);
}

function checkLayout(view: DataView, isLittle: boolean, fields: ReadonlyMap<number, readonly number[]>): Layout {
  const list = (tag: number) => fields.get(tag) ?? [];
  const one = (tag: number, fallback = 0) => fields.get(tag)?.[0] ?? fallback;
  const [width, height] = [one(256), one(257)];
  const isKnown = [1, 8, 32946].includes(one(259, 1)) && one(317, 1) <= 2 && one(339, 1) <= 2;
  if (!isKnown || list(258).some((bits) => bits !== 16))
    throw new Error('Expected numbers of 16 bits, plain or deflated');
  const isTiled = fields.has(322);
  return {
    view,
    isLittle,
    width,
    height,
    samples: one(277, 1),
    isPlanar: one(284, 1) === 2,
    isDeflated: one(259, 1) !== 1,
    isPredicted: one(317, 1) === 2,
    blockWidth: isTiled ? one(322) : width,
    blockHeight: isTiled ? one(323) : one(278, height),
    offsets: list(isTiled ? 324 : 273),
    lengths: list(isTiled ? 325 : 279),
    metadata: String.fromCharCode(...list(42112)),
  };
}

async function readBand(layout: Layout, sample: number, put: (pixel: number, value: number) => void): Promise<void> {
  const { width, height, blockWidth, blockHeight, isPlanar, samples } = layout;
  const [across, down] = [Math.ceil(width / blockWidth), Math.ceil(height / blockHeight)];
  const step = isPlanar ? 1 : samples;
  for (let block = 0; block < across * down; block += 1) {
    const values = await readBlock(layout, isPlanar ? sample * across * down + block : block, step);
    const [left, top] = [(block % across) * blockWidth, Math.floor(block / across) * blockHeight];
    for (let y = 0; y < Math.min(blockHeight, height - top); y += 1) {
      for (let x = 0; x < Math.min(blockWidth, width - left); x += 1) {
        const value = values[(y * blockWidth + x) * step + (isPlanar ? 0 : sample)] as number;
        put((top + y) * width + left + x, value);
      }
    }
  }
}

async function readBlock(layout: Layout, block: number, step: number): Promise<Uint16Array> {
  const { view, isLittle, isDeflated, isPredicted, blockWidth, offsets, lengths } = layout;
  const stored = new Uint8Array(view.buffer as ArrayBuffer, offsets[block], lengths[block]);
  const bytes = isDeflated ? await inflate(stored) : stored;
  const numbers = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = Uint16Array.from({ length: bytes.length >> 1 }, (_, i) => numbers.getUint16(i * 2, isLittle));
  if (!isPredicted) return values;
  const row = blockWidth * step;
  for (let i = 0; i < values.length; i += 1) {
    if (i % row >= step) values[i] = (values[i] as number) + (values[i - step] as number);
  }
  return values;
}

async function inflate(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
