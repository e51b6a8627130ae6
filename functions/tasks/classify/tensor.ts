import type { Tensor } from '../../core/task.ts';
import type { ImageInput } from '../image/card.ts';
import type { Pixels } from '../image/image.ts';

type Recipe = Pick<ImageInput, 'elementType' | 'layout' | 'channels' | 'mean' | 'std' | 'lookup'>;

const channels = 3;

/**
 * The model's input: float32 is (value / 255 - mean) / std, uint8 the value itself or what the lookup makes of it. Written into
 * `former` if given: a tensor of the same recipe and size that is no longer needed.
 */
export function toTensor(pixels: Pixels, recipe: Recipe, former?: Tensor): Tensor {
  const { width, height } = pixels;
  const { elementType, layout } = recipe;
  const size = width * height * channels;
  const data = former?.data ?? createData(elementType, size);
  const [pixelStep, channelStep] = layout === 'NCHW' ? [1, width * height] : [channels, 1];
  const [red, green, blue] = recipe.channels === 'BGR' ? ([2, 1, 0] as const) : ([0, 1, 2] as const);
  const [reds, greens, blues] = [red, green, blue].map((channel) => tabulate(recipe, channel)) as [Data, Data, Data];
  const [redStep, greenStep, blueStep] = [red * channelStep, green * channelStep, blue * channelStep];
  // All three at once: a channel after the other takes two and a half times as long.
  for (let from = 0, to = 0; from < size; from += channels, to += pixelStep) {
    data[to + redStep] = reds[pixels.data[from] as number] as number;
    data[to + greenStep] = greens[pixels.data[from + 1] as number] as number;
    data[to + blueStep] = blues[pixels.data[from + 2] as number] as number;
  }
  return {
    elementType,
    data,
    dims: layout === 'NCHW' ? [1, channels, height, width] : [1, height, width, channels],
  };
}

type Data = Tensor['data'];

function createData(elementType: Tensor['elementType'], length: number): Data {
  return elementType === 'float32' ? new Float32Array(length) : new Uint8Array(length);
}

/** What each of the 256 values of a channel becomes. */
function tabulate({ elementType, mean, std, lookup }: Recipe, channel: number): Data {
  const table = createData(elementType, 256);
  for (let value = 0; value < table.length; value++) {
    table[value] =
      elementType === 'uint8'
        ? (lookup?.[channel]?.[value] ?? value)
        : (value / 255 - (mean?.[channel] ?? 0)) / (std?.[channel] ?? 1);
  }
  return table;
}

/** The generated image of a model card's golden case: `side` x `side`, byte i is (167 i + 59 floor(i / 64)) mod 256. */
export function goldenPixels(side: number): Pixels {
  const data = Uint8Array.from({ length: side * side * channels }, (_, i) => (167 * i + 59 * Math.floor(i / 64)) % 256);
  return { data, width: side, height: side };
}
