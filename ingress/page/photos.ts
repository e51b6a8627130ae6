import type { Answer } from './ask.ts';
import type { Preview, System } from './desk.ts';
import { bar, make } from './dom.ts';
import { shrink } from './shrink.ts';

interface Labeled extends Answer {
  readonly predictions: readonly {
    readonly index: number;
    readonly class: string;
    readonly label: string;
    readonly score: number;
  }[];
}

const jpeg = (label: string, file: string) => ({ label, file, type: 'image/jpeg', picture: file });

/** JPEG comes first: Safari converts HEIC to the first type that is accepted, and leaves it as it is for image/*. */
export const pictureTypes = 'image/jpeg,image/png,image/webp,image/gif,image/avif';

export const photos: System<Labeled> = {
  name: 'classify',
  path: '/classify',
  title: 'Your photo',
  choose: 'Choose a photo',
  camera: true,
  accept: pictureTypes,
  deadlineMs: 5000,
  samples: [
    jpeg('Goldfish', 'goldfish.jpg'),
    jpeg('School bus', 'school-bus.jpg'),
    jpeg('Butterfly', 'butterfly.jpg'),
    jpeg('A hard one', 'hard.jpg'),
    { label: 'A text called .jpg', file: 'notes.jpg', type: 'image/jpeg' },
  ],
  prepare: shrink,
  setUpPreview: (place) => showPicture(place),
  show({ predictions }, place) {
    const items = predictions.map(({ index, label, score, class: synset }) =>
      make('li', {}, ...bar(`class-${index}`, label, score, `${synset} · ${index}`)),
    );
    place.append(make('ol', { class: 'bars' }, ...items));
  },
};

/** The picture, or its name where this browser cannot show it. */
function showPicture(place: HTMLElement): Preview {
  place.append(make('span', { class: 'hint' }, 'No photo yet'));
  let address = '';
  return {
    show(file) {
      URL.revokeObjectURL(address);
      address = URL.createObjectURL(file);
      const picture = make('img', { src: address, alt: `What was chosen: ${file.name}` });
      picture.addEventListener('error', () =>
        place.replaceChildren(make('span', { class: 'hint' }, `${file.name}: no picture that this browser can show`)),
      );
      place.replaceChildren(picture);
    },
  };
}
