import type { Answer } from './ask.ts';
import type { Preview, System } from './desk.ts';
import { bar, make } from './dom.ts';
import { pictureTypes } from './photos.ts';
import { shrink } from './shrink.ts';

interface Read extends Answer {
  readonly digit: number;
  readonly probabilities: readonly number[];
}

const side = 280;
/** A tenth of the side, as a felt pen's on a note. */
const stroke = 26;
/** A digit may have several strokes: it is read when none has begun for this long. */
const pauseMs = 700;

export const digits: System<Read> = {
  name: 'digits',
  path: '/predict',
  title: 'Your digit',
  choose: 'Choose a picture',
  camera: true,
  accept: pictureTypes,
  deadlineMs: 5000,
  samples: [{ label: 'A seven on paper', file: 'digit.jpg', type: 'image/jpeg', picture: 'digit.jpg' }],
  prepare: shrink,
  setUpPreview: (place, take) => setUpDrawing(place, take),
  show({ digit, probabilities }, place) {
    place.append(make('p', { class: 'digit' }, make('span', { class: 'unseen' }, 'It reads '), String(digit)));
    const items = probabilities.map((share, value) => make('li', {}, ...bar(`digit-${value}`, String(value), share)));
    place.append(make('ul', { class: 'bars narrow' }, ...items));
  },
};

/** A sheet to draw on by mouse, finger or pen; a picture that was chosen is shown on it. */
function setUpDrawing(place: HTMLElement, take: (file: File) => void): Preview {
  const sheet = make('canvas', {
    class: 'sheet',
    width: String(side),
    height: String(side),
    role: 'img',
    'aria-label': 'A sheet to draw a digit on, with the mouse or a finger',
  });
  const clear = make('button', { type: 'button', class: 'button slim' }, 'Clear the sheet');
  place.append(sheet, clear);
  const pen = sheet.getContext('2d') as CanvasRenderingContext2D;
  let isDrawn = true;
  let drawn: File | undefined;
  let timer = 0;
  const wipe = (): void => {
    window.clearTimeout(timer);
    pen.fillStyle = '#fff';
    pen.fillRect(0, 0, side, side);
    isDrawn = true;
  };
  const send = (): void =>
    sheet.toBlob((blob) => {
      if (blob === null) return;
      drawn = new File([blob], 'drawn.png', { type: 'image/png' });
      take(drawn);
    }, 'image/png');

  wipe();
  drawStrokes(sheet, pen, {
    begin: () => (isDrawn ? window.clearTimeout(timer) : wipe()),
    end: () => {
      timer = window.setTimeout(send, pauseMs);
    },
  });
  clear.addEventListener('click', wipe);
  return {
    async show(file) {
      if (file === drawn) return;
      wipe();
      isDrawn = false;
      const picture = await createImageBitmap(file).catch(() => undefined);
      if (picture === undefined) return;
      const scale = Math.min(side / picture.width, side / picture.height);
      const [width, height] = [picture.width * scale, picture.height * scale];
      pen.drawImage(picture, (side - width) / 2, (side - height) / 2, width, height);
    },
  };
}

function drawStrokes(
  sheet: HTMLCanvasElement,
  pen: CanvasRenderingContext2D,
  on: { readonly begin: () => void; readonly end: () => void },
): void {
  const at = ({ offsetX, offsetY }: PointerEvent): readonly [number, number] => [
    (offsetX * side) / sheet.clientWidth,
    (offsetY * side) / sheet.clientHeight,
  ];
  sheet.addEventListener('pointerdown', (event) => {
    event.preventDefault();
    sheet.setPointerCapture(event.pointerId);
    on.begin();
    pen.lineWidth = stroke;
    pen.lineCap = 'round';
    pen.lineJoin = 'round';
    pen.strokeStyle = '#111';
    pen.beginPath();
    pen.moveTo(...at(event));
    pen.lineTo(...at(event)); // a dot
    pen.stroke();
  });
  sheet.addEventListener('pointermove', (event) => {
    if (!sheet.hasPointerCapture(event.pointerId)) return;
    pen.lineTo(...at(event));
    pen.stroke();
  });
  sheet.addEventListener('lostpointercapture', () => on.end());
}
