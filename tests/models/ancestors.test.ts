import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from '@jest/globals';
import { readModelSpec } from '../../functions/core/card/catalog.ts';
import { classify } from '../../functions/tasks/classify/task.ts';
import { changeCard } from '../support/models.ts';
import { runProgram } from '../support/program.ts';

const program = fileURLToPath(new URL('../../models/ancestors.js', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'understudy-ancestors-'));
afterAll(() => rmSync(root, { recursive: true }));

const ancestors = (...args: string[]) => runProgram(program, ...args);
const table = JSON.parse(readFileSync('models/pipeline/ancestors.json', 'utf8')) as { class: string; label: string }[];

function folderWith(name: string, classes: string[]): string {
  const folder = join(root, name);
  cpSync('tests/models/moody', folder, { recursive: true });
  changeCard(folder, (card) => ({ ...card, name, labels: 'names.json' }));
  writeFileSync(join(folder, 'names.json'), JSON.stringify(classes.map((id) => ({ class: id, label: id }))));
  return folder;
}

describe('ancestors', () => {
  it('gives a folder those of its classes, and names them in the card', () => {
    const folder = folderWith('dogs', ['n02099601', 'n02099712']);

    expect(ancestors(folder)).toMatchObject({ status: 0, stderr: '' });
    expect(ancestors(folder)).toMatchObject({ status: 0 }); // again

    expect(readModelSpec(root, 'dogs', classify.card).details.ancestors).toEqual([
      { class: 'n02099029', label: 'retriever', indices: [0, 1] },
    ]);
  });

  it('leaves out what is so general that it tells nothing', () => {
    const folder = folderWith('unlike', ['n02099601', 'n07753592']); // a dog and a banana

    expect(ancestors(folder)).toMatchObject({ status: 1, stderr: expect.stringContaining('for') });
  });

  it.each(['wide-resnet', 'mobilenet'])('made the table of %s', (name) => {
    const folder = join(root, name);
    cpSync(join('models', name), folder, { recursive: true });

    ancestors(folder);

    for (const file of ['ancestors.json', 'model.json']) {
      expect(readFileSync(join(folder, file), 'utf8')).toBe(readFileSync(join('models', name, file), 'utf8'));
    }
  });

  it("makes the table of WordNet's file of nouns", () => {
    const wordnet = join(root, 'wordnet');
    mkdirSync(wordnet);
    const nouns = [
      '  1 a license',
      '00001740 03 n 01 entity 0 000 | all there is',
      '02083346 05 n 02 canine 0 canid 0 001 @ 00001740 n 0000 | dogs and wolves',
      '02084071 05 n 03 dog 0 domestic_dog 0 Canis_familiaris 0 002 @ 02083346 n 0000 ~ 02085000 n 0000 | a pet',
      '02085000 05 n 01 hunting_dog 0 001 @ 02084071 n 0000 | one that hunts',
      '02090000 05 n 01 beagle 0 001 @ 02085000 n 0000 | small',
      '02090001 05 n 01 collie 0 001 @ 02084071 n 0000 | with sheep',
      '02090002 05 n 01 Fenrir 0 001 @i 02083346 n 0000 | a wolf',
    ];
    writeFileSync(join(wordnet, 'data.noun'), `${nouns.join('\n')}\n`);
    writeFileSync(join(root, 'ids'), '"n02090000", "n02090001"\n');
    writeFileSync(join(root, 'others'), 'n02090002');

    const { status } = runProgram(
      program,
      '--wordnet',
      wordnet,
      '--ids',
      join(root, 'ids'),
      '--ids',
      join(root, 'others'),
      '--table',
      join(root, 'table.json'),
    );

    expect(status).toBe(0);
    expect(JSON.parse(readFileSync(join(root, 'table.json'), 'utf8'))).toEqual([
      { class: 'n02084071', label: 'dog', narrower: ['n02090000', 'n02090001'] },
      { class: 'n02083346', label: 'canine', narrower: ['n02084071', 'n02090002'] },
    ]);
  });

  it('knows what dogs, cats and cars are', () => {
    expect(table.filter(({ label }) => ['dog', 'cat', 'car'].includes(label)).map((entry) => entry.class)).toEqual(
      expect.arrayContaining(['n02084071', 'n02121620', 'n02958343']),
    );
  });

  it.each([
    ['nothing', []],
    ['ids without WordNet', ['--ids', 'x', 'models/mobilenet']],
    ['WordNet without ids', ['--wordnet', 'x']],
    ['WordNet and folders', ['--wordnet', 'x', '--ids', 'y', 'models/mobilenet']],
  ])('answers %s with its usage and status 2', (_circumstance, args) => {
    expect(ancestors(...args)).toMatchObject({ status: 2, stderr: expect.stringContaining('Usage: node') });
  });

  it('refuses a folder that holds no model', () => {
    expect(ancestors(root)).toMatchObject({
      status: 1,
      stderr: `Expected a model folder for FOLDER but received "${root}"\n`,
    });
  });
});
