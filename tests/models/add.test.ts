import { describe, expect, it } from '@jest/globals';
import { addGraph, type Circumstance, expectedScores, picture, pixel, scoresIn } from '../support/add.ts';
import { scoresOf } from '../support/colors.ts';

const unit = (value: number) => value / 255;
const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const byImagenet = (value: number, channel: number) =>
  (value / 255 - (imagenet.mean[channel] as number)) / (imagenet.std[channel] as number);
const caffeMean = [123.68, 116.779, 103.939];
const byCaffe = (value: number, channel: number) => value - (caffeMean[channel] as number);

describe('models add', () => {
  it.each<[string, Circumstance, (value: number, channel: number) => number, ('softmax' | 'sigmoid')?, number?]>([
    ['NCHW', {}, unit],
    ['NHWC', { graph: { layout: 'NHWC' } }, unit],
    [
      'bytes in NHWC',
      { graph: { layout: 'NHWC', type: 'uint8', gain: 0.01 }, args: ['--like', 'raw'] },
      (value) => value,
      'softmax',
      0.01,
    ],
    [
      'bytes in NCHW',
      { graph: { type: 'uint8', gain: 0.01 }, args: ['--like', 'raw'] },
      (value) => value,
      'softmax',
      0.01,
    ],
    ['blue first', { graph: { order: 'BGR' }, args: ['--channels', 'BGR'] }, unit],
    [
      'bytes, blue first',
      { graph: { order: 'BGR', type: 'uint8', gain: 0.01 }, args: ['--channels', 'BGR', '--like', 'raw'] },
      (value) => value,
      'softmax',
      0.01,
    ],
    ['a batch of 1', { graph: { batch: 1 } }, unit],
    ['a size that is not fixed', { graph: { size: 'side' }, args: ['--size', '6'] }, unit],
    ['-1 to 1', { args: ['--like', 'tf'] }, (value) => value / 127.5 - 1],
    ['0 to 255', { graph: { gain: 0.01 }, args: ['--like', 'raw'] }, (value) => value, 'softmax', 0.01],
    ["ImageNet's mean and deviation", { args: ['--like', 'imagenet'] }, byImagenet],
    ['the same in numbers', { args: ['--mean', '0.485,0.456,0.406', '--std', '0.229,0.224,0.225'] }, byImagenet],
    [
      'the same of 255',
      { args: ['--mean', '123.675,116.28,103.53', '--std', '58.395,57.12,57.375', '--range', '255'] },
      byImagenet,
    ],
    ["Caffe's", { graph: { order: 'BGR', gain: 0.01 }, args: ['--like', 'caffe'] }, byCaffe, 'softmax', 0.01],
    ['one number for three', { args: ['--mean', '0.5', '--std', '0.25'] }, (value) => (value / 255 - 0.5) / 0.25],
    ['scores by softmax in the graph', { graph: { ending: 'Softmax' } }, unit],
    [
      'scores by sigmoid in the graph',
      { graph: { ending: 'Sigmoid' }, args: ['--activation', 'none'] },
      unit,
      'sigmoid',
    ],
    [
      'logits for a sigmoid',
      { args: ['--activation', 'sigmoid', '--like', 'tf'] },
      (value) => value / 127.5 - 1,
      'sigmoid',
    ],
  ])('gives the right scores with %s', async (_what, circumstance, toNumber, activation = 'softmax', gain = 1) => {
    const { told, fault } = await addGraph({ ...circumstance, args: [...(circumstance.args ?? []), '--try', picture] });

    expect(fault).toBeUndefined();
    expect(scoresIn(told)).toEqual(expectedScores(scoresOf([...pixel], toNumber, activation, gain)));
  });
});
