import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from '@jest/globals';
import sharp from 'sharp';
import { drawGeoTiff } from '../support/geotiff.ts';
import { changeCard } from '../support/models.ts';
import { runProgram } from '../support/program.ts';

const program = fileURLToPath(new URL('../../models/evaluate.js', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'understudy-evaluate-clouds-'));
afterAll(() => rmSync(root, { recursive: true }));

const side = 64;
const [left, right] = [0.5, 0.2]; // reflectance of green: the index test takes what is above 0.39 for cloud
const row = (pixel: number) => Math.floor(pixel / side);

/** Green and white in the left half, dark in the right one. */
const draw = (bands: (string | null)[], items: Record<string, string> = {}) =>
  drawGeoTiff({
    width: side,
    height: side,
    bands,
    items,
    value: (_, pixel) => 10_000 * (pixel % side < side / 2 ? left : right / 2),
  });

/** One band of bytes. */
const label = (value: (pixel: number) => number) =>
  sharp(
    Uint8Array.from({ length: side * side }, (_, pixel) => value(pixel)),
    { raw: { width: side, height: side, channels: 1 } },
  )
    .toColourspace('b-w')
    .tiff({ compression: 'deflate' })
    .toBuffer();

const data = join(root, 'data');
for (const folder of ['on_cloud_n', 'sen12mscr', 'others']) mkdirSync(join(data, folder), { recursive: true });
const four = ['B02', 'B03', 'B04', 'B08'];
writeFileSync(join(data, 'on_cloud_n', 'chip.tif'), draw(four));
// The upper three quarters of the left half and the lower quarter of the right one are cloud; two rows are unknown.
const isCloud = (pixel: number) => pixel % side < side / 2 === row(pixel) < 48;
const reference = await label((pixel) => (row(pixel) < 2 ? 255 : Number(isCloud(pixel))));
writeFileSync(join(data, 'on_cloud_n', 'chip_label.tif'), reference);
writeFileSync(join(data, 'on_cloud_n', 'unlabeled.tif'), draw(four));
writeFileSync(join(data, 'sen12mscr', 'a_clear.tif'), draw(Array.from({ length: 13 }, () => null)));
writeFileSync(join(data, 'sen12mscr', 'a_cloudy.tif'), draw(four));
writeFileSync(join(data, 'others', 'odd_clear.tif'), draw(four)); // of no level

const modelsDir = join(root, 'models');
cpSync('models/clouds-index', join(modelsDir, 'clouds-index'), { recursive: true });

const evaluate = (...args: string[]) =>
  runProgram(program, 'clouds', '--models-dir', modelsDir, '--models', 'clouds-index', ...args);

describe('evaluate clouds', () => {
  it('counts pixels against references, and cloud where there is none', () => {
    const { status, stdout } = evaluate('--data', data, '--json');

    const { scores, refused } = JSON.parse(stdout);
    const [{ patches, clearPatches, cloud, shadow, falseCloud, rows }] = scores;
    expect(status).toBe(0);
    expect(refused).toEqual({ 'others/odd_clear': 'PARAMETER_INVALID' });
    expect([patches, clearPatches, shadow]).toEqual([1, 1, null]);
    // Of 62 known rows: 46 x 32 hits, 16 x 32 missed, 16 x 32 invented.
    expect(rows[0].cloud).toEqual({ hit: 46 * 32, invented: 16 * 32, missed: 16 * 32, all: 62 * 64 });
    expect(cloud.iou).toBeCloseTo(46 / 78, 9);
    expect([cloud.precision, cloud.recall, cloud.f1]).toEqual([46 / 62, 46 / 62, 46 / 62]);
    expect(falseCloud).toBe(0.5);
  });

  it('grows the clouds before it counts', () => {
    const { stdout } = evaluate('--data', data, '--only', 'a_clear', '--dilate', '2', '--json');

    expect(JSON.parse(stdout).scores[0].falseCloud).toBe(34 / 64);
  });

  it('counts shadows where the reference has them', async () => {
    const folder = join(root, 'shadows', 'on_cloud_n');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'chip.tif'), draw(four));
    writeFileSync(join(folder, 'chip_label.tif'), await label((pixel) => (row(pixel) < 9 ? 2 : 0)));

    const { stdout } = evaluate('--data', join(root, 'shadows'), '--json');

    expect(JSON.parse(stdout).scores[0].shadow).toMatchObject({ iou: 0, recall: 0, precision: 1 });
  });

  it('writes the figures into the card and draws the first labeled patch', async () => {
    changeCard(join(modelsDir, 'clouds-index'), (card) => ({ ...card, accuracy: [{ data: 'others' }] }));
    const picture = join(root, 'chip.png');

    const { status } = evaluate('--data', data, '--only', 'chip', '--write-card', 'halves', '--picture', picture);

    const { accuracy } = JSON.parse(readFileSync(join(modelsDir, 'clouds-index', 'model.json'), 'utf8'));
    const { data: pixels, info } = await sharp(readFileSync(picture)).raw().toBuffer({ resolveWithObject: true });
    const color = (x: number, y: number) => [
      ...pixels.subarray(3 * (y * info.width + x), 3 * (y * info.width + x) + 3),
    ];
    expect(status).toBe(0);
    expect(accuracy[0]).toEqual({ data: 'others' });
    expect(accuracy[1]).toMatchObject({ data: 'halves', patches: 1, cloud: { iou: 0.5897 } });
    expect([info.width, info.height]).toEqual([3 * side + 16, side]);
    const panels = [0, 1, 2].map((panel) => color(panel * (side + 8) + 10, 20));
    expect(panels).toEqual([
      [255, 255, 255],
      [255, 255, 255],
      [255, 255, 255],
    ]);
    const lower = [0, 1, 2].map((panel) => color(panel * (side + 8) + 40, 60));
    expect(lower[1]).toEqual([255, 255, 255]); // cloud by the reference
    expect(lower[2]).toEqual([0, 0, 0]); // clear by the model
  });

  it.each([
    [['--data', join(root, 'nowhere')], 1, /Expected a folder for --data/],
    [['--data', root], 1, /Expected folders with X.tif/],
    [['--data', data, '--only', 'odd'], 1, /Expected patches that the models take .*PARAMETER_INVALID/],
    [[], 2, /Expected a path for --data/],
    [['--data', data, '--models', 'a,a'], 2, /Expected different names/],
  ])('refuses %j with status %d', (args, expected, message) => {
    const { status, stderr } = evaluate(...args);

    expect({ status, stderr }).toEqual({ status: expected, stderr: expect.stringMatching(message) });
  });

  it('refuses a reference of another size', async () => {
    const folder = join(root, 'sizes', 'on_cloud_n');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'chip.tif'), draw(four));
    const small = sharp(Buffer.alloc(32 * 32), { raw: { width: 32, height: 32, channels: 1 } });
    writeFileSync(join(folder, 'chip_label.tif'), await small.tiff().toBuffer());

    const { status, stderr } = evaluate('--data', join(root, 'sizes'));

    expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringMatching(/64x64 pixels .* received 32x32/) });
  });
});
