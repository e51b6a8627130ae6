import { describe, expect, it } from '@jest/globals';
import { readLabelFile } from '../../models/label-file.ts';
import { writeLabels } from '../support/add.ts';

const read = (text: string) => readLabelFile(writeLabels(text)).labels;
const tenchAndGoldfish = [
  { class: 'n01440764', label: 'tench' },
  { class: 'n01443537', label: 'goldfish' },
];
const catAndDog = ['cat', 'dog'].map((name) => ({ class: name, label: name }));

describe('readLabelFile', () => {
  it.each([
    ['a name a line', 'cat\ndog\n'],
    ['the same without a last line break', 'cat\ndog'],
    ["the same of Windows, with blanks and Unicode's mark", '\uFEFFcat \r\ndog\r\n\r\n'],
    ["Teachable Machine's numbers", '0 cat\n1 dog\n'],
    ['a list', '["cat", "dog"]'],
    ['a list of classes and labels', JSON.stringify(catAndDog)],
    ['an object from numbers', '{"1": "dog", "0": "cat"}'],
    ["Keras' class_indices", '{"dog": 1, "cat": 0}'],
    ["Hugging Face's config.json", '{"id2label": {"0": "cat", "1": "dog"}, "label2id": {"cat": 0, "dog": 1}}'],
  ])('takes %s', (_what, text) => {
    expect(read(text)).toEqual(catAndDog);
  });

  it.each([
    ['WordNet ids before names', 'n01440764 tench\nn01443537 goldfish\n'],
    ["Stanford Dogs' folders", 'n01440764-tench\nn01443537-goldfish\n'],
    ["Keras' class_index", '{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}'],
    ['a list of pairs', '[["n01440764", "tench"], ["n01443537", "goldfish"]]'],
  ])('tells classes from labels in %s', (_what, text) => {
    expect(read(text)).toEqual(tenchAndGoldfish);
  });

  it.each([
    ['numbers that do not count the lines', '1 cat\n2 dog', ['1 cat', '2 dog']],
    ['numbers alone', '0\n90\n180', ['0', '90', '180']],
    ['a number before one of them', '0 cat\ndog', ['0 cat', 'dog']],
    ['a WordNet id before one of them', 'n01440764 tench\ngoldfish', ['n01440764 tench', 'goldfish']],
    ['names of several words', 'golden retriever\ntiger cat', ['golden retriever', 'tiger cat']],
  ])('leaves %s alone', (_what, text, names) => {
    expect(read(text).map(({ label }) => label)).toEqual(names);
  });

  it.each([
    ['{"id2label": {"0": "cat"}, "problem_type": "multi_label_classification"}', true],
    ['{"id2label": {"0": "cat"}, "problem_type": "single_label_classification"}', false],
    ['{"0": "cat"}', false],
  ])('tells whether classes exclude each other: %s', (text, isMultiLabel) => {
    expect(readLabelFile(writeLabels(text)).isMultiLabel).toBe(isMultiLabel);
  });

  it.each([
    ['an empty line', 'cat\n\ndog', /none in line 2$/],
    ['nothing', ' \n', /none in line 1$/],
    ['JSON that is none', '["cat",', /JSON with a fault: /],
    ['a number that is left out', '{"0": "cat", "2": "dog"}', /none for 1$/],
    ['a number twice', '{"cat": 0, "dog": 0}', /none for 1$/],
    ['a name that is empty', '["cat", ""]', /"" for 1$/],
    ['a name that is a number', '["cat", 1]', /1 for 1$/],
    ['a name that is neither', '[{"name": "cat"}]', /\{"name":"cat"\} for 0$/],
  ])('refuses %s', (_what, text, message) => {
    expect(() => read(text)).toThrow(message);
    expect(() => read(text)).toThrow(/^Expected a name for each class for \S+ but received/);
  });
});
