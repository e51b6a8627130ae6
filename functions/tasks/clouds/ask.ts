import type { IncomingHttpHeaders } from 'node:http';
import { readInteger, readOne } from '../../core/parameter.ts';
import { Problem } from '../../core/problem.ts';
import { findTwice, readBand } from './bands.ts';
import { type Form, type Level, levels, requiredBands } from './patch.ts';

/** What a client may choose. */
export interface CloudsAsk {
  /** A name for each band of the file, undefined for one that is no band of Sentinel-2; absent where the file is to tell. */
  readonly bands?: readonly (string | undefined)[] | undefined;
  /** Absent where the file is to tell. */
  readonly level?: Level | undefined;
  /** What is subtracted from the file's numbers; absent where the file is to tell. */
  readonly offset?: number | undefined;
  /** Radius in pixels of the disk by which clouds grow, 0 to 32. */
  readonly dilate: number;
  readonly form: Form;
}

/** 320 m at 10 m a pixel: the reference masks' margins are narrower, and the work grows with it. */
const maxDilate = 32;

/** Sentinel-2 has 13 bands; files of Google Earth Engine have up to 26, with masks among them. */
export const maxBands = 32;

/** @throws Problem PARAMETER_INVALID */
export function parseAsk(query: URLSearchParams, headers: IncomingHttpHeaders): CloudsAsk {
  const bands = readOne(query, 'bands');
  const offset = readChoice(query, 'offset', ['0', '1000']);
  return {
    bands: bands === undefined ? undefined : readBands(bands),
    level: readChoice(query, 'level', levels),
    offset: offset === undefined ? undefined : Number(offset),
    dilate: readInteger('dilate', readOne(query, 'dilate'), { fallback: 0, min: 0, max: maxDilate }),
    form: readChoice(query, 'format', ['rle']) ?? formOf(headers.accept),
  };
}

/** B02,B03,-,B08: in the order of the file, - for what is no band. */
function readBands(text: string): readonly (string | undefined)[] {
  const names = text.split(',').map((name) => [name, readBand(name)] as const);
  const strange = names.find(([name, band]) => band === undefined && name !== '-');
  if (strange) throw invalid('a band of Sentinel-2 (B02) or - for one that is none', 'bands', strange[0]);
  const bands = names.map(([, band]) => band);
  if (bands.length > maxBands) throw invalid(`at most ${maxBands} names`, 'bands', String(bands.length));
  const twice = findTwice(bands);
  if (twice !== undefined) throw invalid('each band once', 'bands', `${twice} twice`);
  if (requiredBands.every((band) => bands.includes(band))) return bands;
  throw invalid(`${requiredBands.join(', ')} among the names`, 'bands', text);
}

function readChoice<T extends string>(query: URLSearchParams, name: string, choices: readonly T[]): T | undefined {
  const text = readOne(query, name);
  if (text === undefined) return undefined;
  const choice = choices.find((known) => known === text);
  if (choice === undefined) throw invalid(choices.join(' or '), name, text);
  return choice;
}

function invalid(what: string, name: string, received: string): Problem {
  const told = JSON.stringify(received.slice(0, 60));
  return new Problem('PARAMETER_INVALID', `Expected ${what} for ${name} but received ${told}`);
}

const forms: Readonly<Record<string, Form>> = {
  'application/json': 'json',
  'image/png': 'png',
  'image/tiff': 'tiff',
};

/**
 * What an Accept header likes best (RFC 9110 12.5.1): by weight, then what it names in full, then in our order. JSON where it names
 * nothing of ours: an answer of another type is of more use than none.
 */
export function formOf(accept = '*/*'): Form {
  const ranges = accept.split(',').map((text) => {
    const [range = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase());
    const weight = Number(parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? 1);
    return { range, weight: weight >= 0 && weight <= 1 ? weight : 0 };
  });
  const named = ranges.map(({ range }) => range);
  const liked = Object.entries(forms).map(([type, form]) => {
    const names = [type, type.replace(/\/.*/, '/*'), '*/*'];
    const rank = names.findIndex((name) => named.includes(name));
    const weight = ranges.find(({ range }) => range === names[rank])?.weight ?? 0;
    return { form, weight, rank };
  });
  const [best] = liked
    .filter(({ weight }) => weight > 0)
    .sort((one, other) => other.weight - one.weight || one.rank - other.rank);
  return best?.form ?? 'json';
}
