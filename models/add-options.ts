import { isFolderName } from '../functions/core/config.ts';
import { type Activation, activations } from '../functions/tasks/image/card.ts';
import { readCommand } from '../ingress/command.ts';
import { type AddOptions, folderOf } from './add.ts';
import { likes } from './likes.ts';

export const usage = `Usage: npm run models -- add FILE.onnx --labels FILE [options]
       npm run models -- build RECIPE [options]    (in Python, as compare, features, optimize, retrain and train: build --help)

Makes a model folder of an image classifier in ONNX and proves it by the service's own steps. What the file tells is read from it;
what neither it nor the options tell is asked for in one sentence, with status 2.

  --labels FILE        a name a line, or JSON: a list, {"0": "name"}, {"name": 0}, Keras' class_index, Hugging Face's config.json
  --size N             pixels of the square that the graph takes, where its shape does not say
  --like NAME          what a pixel becomes: imagenet (torchvision, timm), tf (-1 to 1), caffe (0 to 255 less a mean, blue first),
                       raw (0 to 255), unit (0 to 1)
  --mean A,B,C         in its place: (value - mean) / std, in the order of the graph's channels; one number stands for three
  --std A,B,C
  --range 1|255        what --mean and --std are of: values of 0 to 1 (default) or of 0 to 255
  --channels RGB|BGR   their order (default RGB, with --like caffe BGR)
  --resize N           the shorter side before the middle is cut out (default --size, with --like imagenet 256 for 224)
  --kernel NAME        linear (default) or cubic, as Pillow's bilinear and bicubic
  --layout NAME        NCHW or NHWC, where the graph takes both
  --activation NAME    what makes scores of the output: softmax, sigmoid (each class by itself) or none
  --output NAME        the output with the scores, of several
  --try PICTURE        classify this picture as well; may be given several times
  --name NAME          the folder's name (default the file's)
  --version VERSION    makes NAME@VERSION (default: version is the beginning of the file's hash, the folder NAME)
  --models-dir PATH    folder of model folders (default models)`;

/** @throws TypeError about the command line */
export function readAddOptions(args = process.argv.slice(2)): AddOptions {
  const text = { type: 'string' } as const;
  const { values, positionals } = readCommand(usage, {
    args: [...args],
    allowPositionals: true,
    options: {
      labels: text,
      size: text,
      like: text,
      mean: text,
      std: text,
      range: { type: 'string', default: '1' },
      channels: text,
      resize: text,
      kernel: { type: 'string', default: 'linear' },
      layout: text,
      activation: text,
      output: text,
      try: { type: 'string', multiple: true, default: [] },
      name: text,
      version: text,
      'models-dir': { type: 'string', default: 'models' },
    },
  });
  const [command, path, ...others] = positionals;
  if (command !== 'add')
    throw new TypeError(`Expected add or build for the command but received ${command ?? 'nothing'}`);
  if (path === undefined || others.length > 0) {
    throw new TypeError(`Expected one ONNX file for add but received ${positionals.length - 1}`);
  }
  const { like, mean, std, version, name } = values;
  if (like !== undefined && !Object.hasOwn(likes, like)) {
    throw new TypeError(`Expected one of ${Object.keys(likes).join(', ')} for --like but received "${like}"`);
  }
  if ((mean === undefined) !== (std === undefined) || (mean !== undefined && like !== undefined)) {
    const given = [mean && '--mean', std && '--std', like && '--like'].filter(Boolean).join(' and ');
    throw new TypeError(`Expected --mean and --std together, or --like alone, but received ${given}`);
  }
  const range = Number(oneOf('range', values.range, ['1', '255']));
  const folder = folderOf({ path, name, version });
  if (!isFolderName(folder) || name?.includes('@') || version === '') {
    throw new TypeError(`Expected letters, digits, dots and dashes for --name and --version but received "${folder}"`);
  }
  return {
    path,
    labels: values.labels,
    size: readSide('size', values.size),
    resize: readSide('resize', values.resize),
    kernel: oneOf('kernel', values.kernel, ['linear', 'cubic'] as const) ?? 'linear',
    like,
    mean: readNumbers('mean', mean, range),
    std: readNumbers('std', std, range),
    channels: oneOf('channels', values.channels, ['RGB', 'BGR'] as const),
    layout: oneOf('layout', values.layout, ['NCHW', 'NHWC'] as const),
    activation: oneOf<Activation>('activation', values.activation, activations),
    output: values.output,
    name,
    version,
    modelsDir: values['models-dir'],
    pictures: values.try,
  };
}

function oneOf<T extends string>(option: string, received: string | undefined, values: readonly T[]): T | undefined {
  const found = values.find((value) => value === received);
  if (found !== undefined || received === undefined) return found;
  throw new TypeError(`Expected ${values.join(' or ')} for --${option} but received "${received}"`);
}

function readSide(option: string, received: string | undefined): number | undefined {
  if (received === undefined) return undefined;
  const side = Number(received);
  if (/^\d+$/.test(received) && side >= 1 && side <= 1024) return side;
  throw new TypeError(`Expected a whole number from 1 to 1024 for --${option} but received "${received}"`);
}

/** Three numbers of 0 to 1, of which `range` is 1. */
function readNumbers(
  option: 'mean' | 'std',
  received: string | undefined,
  range: number,
): readonly number[] | undefined {
  if (received === undefined) return undefined;
  const numbers = received.split(',').map((number) => (number.trim() === '' ? Number.NaN : Number(number) / range));
  const three = numbers.length === 1 ? [0, 1, 2].map(() => numbers[0] as number) : numbers;
  const isAllowed = (number: number) => Number.isFinite(number) && (option === 'mean' || number > 0);
  if (three.length !== 3 || !three.every(isAllowed)) {
    const expected = option === 'mean' ? 'three numbers, or one,' : 'three numbers above 0, or one,';
    throw new TypeError(`Expected ${expected} for --${option} but received "${received}"`);
  }
  // A mean of pixels that is no pixel: it is of another range.
  if (option === 'std' || three.every((number) => Math.abs(number) <= 1)) return three;
  const limit = range === 1 ? '1, or --range 255,' : String(range);
  throw new TypeError(`Expected numbers up to ${limit} for --mean but received "${received}"`);
}
