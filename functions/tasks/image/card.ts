import { type CardRules, type Json, ModelError } from '../../core/card/card.ts';
import {
  checked,
  fields,
  fileName,
  numbers,
  oneOf,
  optional,
  positive,
  text,
  wholeNumber,
} from '../../core/card/schema.ts';
import { type Ancestor, readAncestors } from './ancestors.ts';
import { type Language, languageFiles, readLanguages } from './languages.ts';
import type { GoldenLogits } from './logits.ts';

/** How an image becomes the model's input: the shorter side is resized to `resize` pixels, the middle `crop` x `crop` kept. */
export interface ImageInput {
  readonly name: string;
  readonly elementType: 'float32' | 'uint8';
  readonly layout: 'NCHW' | 'NHWC';
  /** The order of the channels, and so of `mean`, `std` and `lookup`. @default 'RGB' */
  readonly channels?: 'RGB' | 'BGR';
  readonly resize: number;
  readonly crop: number;
  /** How pixels are weighted: as Pillow's bilinear or bicubic resize does it. */
  readonly kernel: 'linear' | 'cubic';
  /** With float32: per channel of 0 to 1, subtracted from the value. */
  readonly mean?: readonly number[];
  /** With float32: per channel of 0 to 1, what the difference is divided by. */
  readonly std?: readonly number[];
  /** With uint8, where the graph wants other bytes than the pixels: three tables of 256 bytes. */
  readonly lookup?: readonly (readonly number[])[];
}

/** What makes scores of the output: of all logits together, of each logit by itself, or nothing, since they are scores already. */
export type Activation = 'softmax' | 'sigmoid' | 'none';

export const activations: readonly Activation[] = ['softmax', 'sigmoid', 'none'];

export interface Label {
  /** Such as a WordNet id, n02099601; for a model without ids the same as the label. */
  readonly class: string;
  /** What a person would say. */
  readonly label: string;
}

/** What a card says of a model that names what a picture shows. */
export interface ImageModel {
  readonly input: ImageInput;
  readonly activation: Activation;
  /** One for each logit. */
  readonly labels: readonly Label[];
  /** The logits that the generated golden image must give, each within `tolerance`. */
  readonly golden: GoldenLogits;
  /** What the logits are divided by before they become scores, so that a score is the share of answers like it that are right. */
  readonly temperature: number;
  /** The graph's output that is an embedding of the picture, where it has one. */
  readonly features?: { readonly name: string };
  /** What the classes have in common; absent where the folder does not say. */
  readonly ancestors?: readonly Ancestor[];
  /** Labels in other languages than English. */
  readonly languages?: readonly Language[];
}

const isFloat = ({ elementType }: ImageInput) => elementType === 'float32';

const isByteTable = (value: unknown) => {
  const isByte = (entry: unknown) => Number.isInteger(entry) && Number(entry) >= 0 && Number(entry) <= 255;
  return Array.isArray(value) && value.length === 256 && value.every(isByte);
};

const side = wholeNumber(1, 1024);
const tables = 'three tables of 256 bytes';

/** The cards of models that name what a picture shows. */
export const imageCard: CardRules<ImageModel> = {
  input: fields<ImageInput>(
    {
      name: text,
      elementType: oneOf(['float32', 'uint8'], '"float32" or "uint8"'),
      layout: oneOf(['NCHW', 'NHWC'], '"NCHW" or "NHWC"'),
      channels: optional(oneOf(['RGB', 'BGR'], '"RGB" or "BGR"')),
      resize: side,
      crop: side,
      kernel: optional(oneOf(['linear', 'cubic'], '"linear" or "cubic"')),
      mean: optional(numbers('three numbers', 3)),
      std: optional(numbers('three numbers above 0', 3, (value) => value > 0)),
      lookup: optional(
        checked((value) => Array.isArray(value) && value.length === 3 && value.every(isByteTable), tables),
      ),
    },
    [
      { field: 'resize', what: 'a whole number from input.crop to 1024', isMet: ({ resize, crop }) => resize >= crop },
      { field: 'mean', what: 'three numbers', isMet: (input) => !isFloat(input) || input.mean !== undefined },
      { field: 'std', what: 'three numbers above 0', isMet: (input) => !isFloat(input) || input.std !== undefined },
    ],
  ),
  output: fields({
    name: text,
    activation: optional(oneOf(activations, '"softmax", "sigmoid" or "none"')),
  }),
  graph: {
    golden: fields({
      logits: numbers('numbers'),
      tolerance: positive,
    }),
    temperature: optional(positive),
    features: optional(fields({ name: text })),
  },
  card: { labels: fileName, ancestors: optional(fileName), languages: optional(languageFiles) },
  details(card, graph, read) {
    const { path, json } = read(String(card.labels));
    if (!areLabels(json)) {
      throw new ModelError(`${path}: Expected a list of {"class", "label"} for labels but received something else`);
    }
    const golden = graph.golden as ImageModel['golden'];
    if (golden.logits.length !== json.length) {
      const expected = `Expected ${golden.logits.length} labels (one a logit of ${graph.file})`;
      throw new ModelError(`${path}: ${expected} but received ${json.length}`);
    }
    const { activation = activationOf(card) ?? 'softmax' } = graph.output as Partial<ImageModel>;
    const temperature = graph.temperature ?? card.temperature;
    if (activation === 'none' && temperature !== undefined) {
      throw new ModelError(
        `${path}: Expected no temperature for an output that is scores already but received ${temperature}`,
      );
    }
    if (activation === 'sigmoid' && card.ancestors !== undefined) {
      throw new ModelError(`${path}: Expected no ancestors for classes with scores of their own but received some`);
    }
    return {
      input: { kernel: 'linear', ...(graph.input as Omit<ImageInput, 'kernel'>) },
      activation,
      labels: json,
      golden,
      temperature: Number(temperature ?? 1),
      ...(graph.features !== undefined && { features: graph.features as { name: string } }),
      ...(card.ancestors !== undefined && { ancestors: readAncestors(read(String(card.ancestors)), json) }),
      ...(card.languages !== undefined && { languages: readLanguages(card.languages as Record<string, string>, read) }),
    };
  },
};

/** Of the portable file; a variant that says nothing else is of the same network. */
function activationOf({ output }: Json): Activation | undefined {
  return (output as Partial<ImageModel> | undefined)?.activation;
}

function areLabels(value: unknown): value is readonly Label[] {
  const isText = (entry: unknown) => typeof entry === 'string' && entry !== '';
  return Array.isArray(value) && value.every((entry) => isText(entry?.class) && isText(entry?.label));
}
