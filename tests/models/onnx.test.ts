import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { readOnnx } from '../../models/onnx.ts';
import { labels } from '../support/add.ts';
import { encodeColors } from '../support/colors.ts';
import type { OnnxOptions } from '../support/onnx.ts';

const path = join(labels, '../graph.onnx');

function read(change: (graph: OnnxOptions) => OnnxOptions) {
  writeFileSync(path, encodeColors({ change }));
  return readOnnx(path);
}

describe('readOnnx', () => {
  it('finds nothing in a plain graph', () => {
    expect(read((graph) => graph)).toEqual({ externalFiles: [], metadata: {}, isQuantized: false });
  });

  it('names each file of weights once', () => {
    const outside = { dims: [3, 4], values: { file: 'weights.bin' } };
    const others = { dims: [4], values: { file: 'other.bin' } };

    const { externalFiles } = read((graph) => ({ ...graph, constants: { a: outside, b: outside, bias: others } }));

    expect(externalFiles).toEqual(['weights.bin', 'other.bin']);
  });

  it('gives metadata by lower-case keys', () => {
    const { metadata } = read((graph) => ({ ...graph, metadata: { 'Image.BitmapPixelFormat': 'Bgr8', empty: '' } }));

    expect(metadata).toEqual({ 'image.bitmappixelformat': 'Bgr8', empty: '' });
  });

  it.each(['QLinearConv', 'QuantizeLinear', 'DequantizeLinear', 'DynamicQuantizeLinear', 'ConvInteger'])(
    'knows %s for a graph in integers',
    (op) => {
      const { isQuantized } = read((graph) => ({ ...graph, nodes: [{ op, inputs: [], outputs: [] }] }));

      expect(isQuantized).toBe(true);
    },
  );

  it.each([
    ['text', Buffer.from('weights of a network')],
    ['nothing', Buffer.alloc(0)],
    ['zeros', Buffer.alloc(64)],
    ['a number that does not end', Buffer.alloc(64, 255)],
    ['a message longer than the file', Buffer.of(0x3a, 0x7f, 0)],
  ])('refuses %s', (_what, bytes) => {
    writeFileSync(path, bytes);

    expect(() => readOnnx(path)).toThrow(/^Expected an ONNX file for \S+ but received another or one cut short$/);
  });

  it('refuses a file cut anywhere, or reads what is left of it', () => {
    const whole = encodeColors();

    for (let length = 0; length < whole.length; length += 1) {
      writeFileSync(path, whole.subarray(0, length));
      try {
        expect(readOnnx(path).isQuantized).toBe(false);
      } catch (fault) {
        expect((fault as Error).name).toBe('DataError');
      }
    }
  });
});
