import type { CardRules } from '../../core/card/card.ts';
import {
  checked,
  fields,
  list,
  nullable,
  numbers,
  oneOf,
  positive,
  text,
  wholeNumber,
} from '../../core/card/schema.ts';
import type { GoldenLogits } from '../image/logits.ts';
import { type Level, levels, usedBands } from './patch.ts';

/** Squares in which a patch is run, where a graph has a fixed size. */
export interface Tile {
  /** Pixels of a side, after the patch was averaged. */
  readonly size: number;
  /** Pixels over which a tile fades into the next one; probabilities are blended. */
  readonly overlap: number;
}

/** How a patch becomes the graph's input: float32 [1, channels, height, width]. */
export interface CloudsInput {
  readonly name: string;
  /** Bands without which the model is not asked, in the order of the channels. */
  readonly bands: readonly string[];
  /** Bands of the channels after these; where a patch lacks one of them, all of these channels are 0. */
  readonly optional: readonly string[];
  /** Whether one more channel says, by 1 or 0, whether the optional bands are there. */
  readonly flag: boolean;
  /** For each band of `bands` and `optional`: subtracted from the reflectance. */
  readonly mean: readonly number[];
  /** ... and what the difference is divided by. */
  readonly std: readonly number[];
  /** Both sides of a run are multiples of this: the patch is continued by its mirror image, to the right and below. */
  readonly multiple: number;
  /** Null where the graph takes the whole patch. */
  readonly tile: Tile | null;
  /** Meters a pixel. For 20, 2x2 pixels are averaged before the run, and each of its scores stands for four pixels after it. */
  readonly meters: number;
  /** Which products the model knows. */
  readonly levels: readonly Level[];
}

/** What a card says of a model that finds clouds. */
export interface CloudsModel {
  readonly input: CloudsInput;
  /** What the generated golden patch must give, each number within `tolerance`: see golden.ts. */
  readonly golden: GoldenLogits;
}

/** Logits of a class for each place of the golden case's grid. */
export const goldenLogits = 48;

const isBands = (value: unknown) =>
  Array.isArray(value) && value.every((band) => usedBands.includes(band)) && new Set(value).size === value.length;
const bandNames = `names of ${usedBands.join(', ')}, each once`;
const isOfEachBand = (values: readonly number[], { bands, optional }: CloudsInput) =>
  values.length === bands.length + optional.length;

/** The cards of models that find clouds: three classes a pixel, in the order clear, cloud, shadow. */
export const cloudsCard: CardRules<CloudsModel> = {
  input: fields<CloudsInput>(
    {
      name: text,
      bands: checked((value) => isBands(value) && (value as []).length > 0, bandNames),
      optional: checked(isBands, `${bandNames}, or none`),
      flag: checked((value) => typeof value === 'boolean', 'true or false'),
      mean: numbers('numbers'),
      std: numbers('numbers above 0', undefined, (value) => value > 0),
      multiple: wholeNumber(1, 256),
      tile: nullable(
        fields<Tile>({ size: wholeNumber(32, 1024), overlap: wholeNumber(1, 512) }),
        '{"size", "overlap"} or null',
      ),
      meters: checked((value) => value === 10 || value === 20, '10 or 20'),
      levels: list(oneOf(levels)),
    },
    [
      {
        field: 'optional',
        what: 'no band of input.bands',
        isMet: ({ bands, optional }) => isBands([...bands, ...optional]),
      },
      { field: 'mean', what: 'a number for each band', isMet: (input) => isOfEachBand(input.mean, input) },
      { field: 'std', what: 'a number for each band', isMet: (input) => isOfEachBand(input.std, input) },
      {
        field: 'tile',
        what: 'an overlap of less than half the size',
        isMet: ({ tile }) => !tile || 2 * tile.overlap < tile.size,
      },
      {
        field: 'tile',
        what: 'a size that is a multiple of input.multiple',
        isMet: ({ tile, multiple }) => !tile || tile.size % multiple === 0,
      },
      { field: 'levels', what: 'one level at least', isMet: ({ levels }) => levels.length > 0 },
    ],
  ),
  graph: {
    golden: fields({
      logits: numbers(`${goldenLogits} numbers`, goldenLogits),
      tolerance: positive,
    }),
  },
  card: {},
  details: (_card, { input, golden }) => ({
    input: input as CloudsInput,
    golden: golden as CloudsModel['golden'],
  }),
};
