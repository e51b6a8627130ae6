import type { Filled, Graph, Slot } from '../functions/core/pool/session.ts';
import { goldenPixels, toTensor } from '../functions/tasks/classify/tensor.ts';
import type { Activation, ImageInput } from '../functions/tasks/image/card.ts';
import type { Pixels } from '../functions/tasks/image/image.ts';
import { DataError } from './labeled.ts';

type Layout = ImageInput['layout'];

/** The input of a graph that takes pictures. */
export interface PictureSlot {
  readonly name: string;
  readonly elementType: ImageInput['elementType'];
  /** Those that its shape allows, at least one. */
  readonly layouts: readonly Layout[];
  /** Pixels of a side, where that is fixed. */
  readonly size: number | undefined;
}

/** What a graph makes of generated pictures. */
export interface Trial {
  readonly layout: Layout;
  /** Number of values for a picture. */
  readonly count: number;
  /** `scores` add up to 1, `shares` are from 0 to 1 and do not, `logits` are anything. */
  readonly kind: 'scores' | 'shares' | 'logits';
}

/** The one input of a graph that takes one picture of three channels. @throws DataError for another graph */
export function pictureSlot({ inputs }: Graph, path: string): PictureSlot {
  const [input, ...others] = inputs;
  if (input === undefined || others.length > 0) {
    throw new DataError(`Expected one input for ${path} but received ${inputs.length}: ${namesOf(inputs)}`);
  }
  const { name, elementType, shape } = input;
  const refuse = (expected: string, received: string): never => {
    throw new DataError(`Expected ${expected} for the input "${name}" of ${path} but received ${received}`);
  };
  if (elementType !== 'float32' && elementType !== 'uint8') {
    return refuse('float32 or uint8', elementType ?? 'what is no tensor');
  }
  const told = `[${shape.map((side) => (side === '' ? '?' : side)).join(', ')}]`;
  if (shape.length !== 4) return refuse('[batch, 3, height, width] or [batch, height, width, 3]', told);
  const [batch] = shape;
  if (typeof batch === 'number' && batch !== 1) return refuse('a batch of 1, or of any number,', told);

  const channelsOf: Readonly<Record<Layout, Slot['shape'][number]>> = { NCHW: shape[1] ?? 0, NHWC: shape[3] ?? 0 };
  const possible = (['NCHW', 'NHWC'] as const).filter(
    (layout) => !isFixed(channelsOf[layout]) || channelsOf[layout] === 3,
  );
  const certain = possible.filter((layout) => channelsOf[layout] === 3);
  const layouts = certain.length > 0 ? certain : possible;
  if (layouts.length === 0) return refuse('3 channels, [batch, 3, height, width] or [batch, height, width, 3]', told);
  const sides = layouts.length > 1 ? [] : (layouts[0] === 'NCHW' ? shape.slice(2) : shape.slice(1, 3)).filter(isFixed);
  if (sides.length === 2 && sides[0] !== sides[1]) return refuse('a square, since the service cuts squares,', told);
  return { name, elementType, layouts, size: sides[0] };
}

/** Runs the graph on generated pictures. @throws DataError for outputs that are no row of scores */
export async function tryOut(
  graph: Graph,
  { path, output, recipes }: { readonly path: string; readonly output: Slot; readonly recipes: readonly ImageInput[] },
): Promise<readonly Trial[]> {
  const refuse = (expected: string, received: string): never => {
    throw new DataError(`Expected ${expected} for the output "${output.name}" of ${path} but received ${received}`);
  };
  if (output.elementType !== 'float32') refuse('float32', output.elementType ?? 'what is no tensor');
  const trials: Trial[] = [];
  const faults: string[] = [];
  for (const recipe of recipes) {
    const rows: Float32Array[] = [];
    try {
      for (const pixels of pictures(recipe.crop)) {
        const [{ dims, data }] = (await graph.run(recipe.name, toTensor(pixels, recipe), [output.name])) as [Filled];
        if (dims.filter((side) => side !== 1).length > 1) refuse('one row of scores', `[${dims.join(', ')}]`);
        rows.push(data as Float32Array);
      }
    } catch (fault) {
      if (fault instanceof DataError) throw fault;
      faults.push(tellFault(fault));
      continue;
    }
    const strange = rows.flatMap((row) => [...row]).find((value) => !Number.isFinite(value));
    if (strange !== undefined) refuse('numbers', `${strange}`);
    trials.push({ layout: recipe.layout, count: rows[0]?.length ?? 0, kind: kindOf(rows) });
  }
  if (trials.length > 0) return trials;
  throw new DataError(`Expected an answer of ${path} for a generated picture but received: ${faults.join(' ')}`);
}

/** The golden picture, and plain ones. */
function pictures(side: number): readonly Pixels[] {
  const plain = [0, 128, 255].map((value) => new Uint8Array(side * side * 3).fill(value));
  return [goldenPixels(side), ...plain.map((data) => ({ data, width: side, height: side }))];
}

/** Room for what a graph rounds off when it makes scores in float32. */
const rounding = 0.001;

function kindOf(rows: readonly Float32Array[]): Trial['kind'] {
  if (rows.some((row) => row.some((value) => value < -rounding || value > 1 + rounding))) return 'logits';
  const sums = rows.map((row) => row.reduce((sum, value) => sum + value, 0));
  const isAlone = rows[0]?.length === 1; // which may be 1 by itself
  return !isAlone && sums.every((sum) => Math.abs(sum - 1) <= rounding) ? 'scores' : 'shares';
}

/** What makes scores of such values by itself; undefined where they do not tell. */
export function activationFor({ kind, count }: Pick<Trial, 'kind' | 'count'>): Activation | undefined {
  if (kind === 'scores') return 'none';
  if (kind === 'shares') return undefined;
  return count === 1 ? 'sigmoid' : 'softmax'; // of one logit the softmax is always 1
}

/** Why such values are nothing for an activation, undefined where they may be. */
export function clash({ kind, count }: Pick<Trial, 'kind' | 'count'>, activation: Activation): string | undefined {
  if (kind === 'scores' && activation !== 'none') return 'its values add up to 1, so they are scores already';
  if (kind === 'logits' && activation === 'none') return 'some of its values are not from 0 to 1';
  return count === 1 && activation === 'softmax' ? 'it has one value, whose softmax is always 1' : undefined;
}

/** ONNX Runtime's words in one line, without places in its source. */
export function tellFault(fault: unknown): string {
  const text = fault instanceof Error ? fault.message : String(fault);
  return text.replace(/\s+/g, ' ').replace(/\/onnxruntime_src\/\S+ .*?\) (?=[A-Z])/g, '');
}

export function namesOf(slots: readonly Slot[]): string {
  return slots.map(({ name }) => name).join(', ');
}

function isFixed(side: number | string | undefined): side is number {
  return typeof side === 'number';
}
