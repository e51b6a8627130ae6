import type { Answer } from './ask.ts';
import type { Preview, System } from './desk.ts';
import { bar, make } from './dom.ts';
import { readTrueColor } from './tiff.ts';

interface Masked extends Answer {
  readonly width: number;
  readonly height: number;
  readonly cloudFraction: number;
  readonly shadowFraction: number;
  readonly validFraction: number;
  readonly mask: { readonly values: readonly number[]; readonly counts: readonly number[] };
}

/** Red, green, blue and opacity over the patch, by the mask's value. */
const inks: Readonly<Record<number, readonly [number, number, number, number]>> = {
  1: [255, 77, 109, 150],
  2: [122, 92, 255, 150],
  255: [128, 128, 128, 255],
};

export const clouds: System<Masked> = {
  name: 'clouds',
  path: '/infer?format=rle',
  title: 'Your patch',
  choose: 'Choose a GeoTIFF',
  accept: 'image/tiff,.tif,.tiff',
  deadlineMs: 10_000,
  samples: [{ label: 'A drawn Sentinel-2 patch', file: 'patch.tif', type: 'image/tiff' }],
  setUpPreview: (place) => setUpPatch(place),
  show({ cloudFraction, shadowFraction, validFraction, width, height }, place) {
    const shares = [
      ['clouds', 'Clouds', cloudFraction],
      ['shadows', 'Their shadows', shadowFraction],
      ['clear', 'Clear', 1 - cloudFraction - shadowFraction],
    ] as const;
    const items = shares.map(([id, name, share]) =>
      make('li', { 'data-mask': id }, ...bar(`share-${id}`, name, Math.max(share, 0))),
    );
    place.append(make('ul', { class: 'bars' }, ...items));
    place.append(
      make(
        'p',
        { class: 'hint' },
        `Of the pixels with data: ${Math.round(validFraction * 100)} % of ${width} × ${height}.`,
      ),
    );
  },
};

/** The patch in true color, where this page can read it, and the mask over it. */
function setUpPatch(place: HTMLElement): Preview {
  const picture = make('canvas', { role: 'img', 'aria-label': 'No patch yet', width: '1', height: '1' });
  const mask = make('canvas', { 'aria-hidden': 'true', width: '1', height: '1' });
  const stack = make('div', { class: 'patch' }, picture, mask);
  const shown = make('input', { type: 'checkbox', checked: '' });
  const check = make('label', { class: 'check' }, shown, 'Show the mask: clouds red, shadows violet');
  check.hidden = true;
  place.append(make('span', { class: 'hint' }, 'No patch yet'));
  shown.addEventListener('change', () => {
    mask.hidden = !shown.checked;
  });
  return {
    async show(file) {
      place.replaceChildren(stack, check);
      const image = await readTrueColor(await file.arrayBuffer()).catch(() => undefined);
      draw(picture, image ?? new ImageData(1, 1));
      const told = image === undefined ? 'this page cannot show its colors' : 'in true color';
      picture.setAttribute('aria-label', `The patch ${file.name}, ${told}`);
    },
    answered(answer) {
      check.hidden = answer === undefined;
      draw(mask, answer === undefined ? new ImageData(1, 1) : paintMask(answer as Masked));
    },
  };
}

function draw(canvas: HTMLCanvasElement, image: ImageData): void {
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext('2d')?.putImageData(image, 0, 0);
}

function paintMask({ mask, width, height }: Masked): ImageData {
  const image = new ImageData(width, height);
  let at = 0;
  mask.values.forEach((value, run) => {
    const end = at + (mask.counts[run] as number);
    const ink = inks[value];
    for (; at < end; at += 1) if (ink) image.data.set(ink, at * 4);
  });
  return image;
}
