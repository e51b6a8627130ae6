import { readBand } from './bands.ts';
import { type Level, levels } from './patch.ts';

/** What a file says of itself beside its pixels. */
export interface Metadata {
  /** What each band is called, '' where nothing says so. */
  readonly descriptions: readonly string[];
  /** The band of Sentinel-2 that each description names. */
  readonly bands: readonly (string | undefined)[];
  /** Undefined where nothing tells, or several things differ. */
  readonly level: Level | undefined;
  /** The processing baseline, such as 04.00; NaN where the file names none. */
  readonly baseline: number;
}

/** Items that hold a product's level, as GDAL's Sentinel-2 driver and product names write it. */
const levelItems = ['PROCESSING_LEVEL', 'PRODUCT_TYPE', 'PRODUCT_URI', 'LEVEL'];
const nameAttribute = /(?:^|\s)name="([^"]*)"/;
const sampleAttribute = /(?:^|\s)sample="([^"]*)"/;
const levelPattern = /(?:^|Level-|S2MSI|_MSI)L?(1C|2A)/i;

/**
 * Reads GDAL's metadata tag: `<Item name="DESCRIPTION" sample="0" role="description">B02</Item>` for what a band is called, or its
 * BANDNAME; other items for the whole file. Takes time in proportion to the text, whatever that is.
 */
export function readMetadata(xml: string, bandCount: number): Metadata {
  const items = [...xml.matchAll(/<Item\s([^<>]*)>([^<]*)<\/Item>/g)].map(([, attributes = '', value = '']) => ({
    name: nameAttribute.exec(attributes)?.[1],
    sample: sampleAttribute.exec(attributes)?.[1],
    value: value.trim(),
  }));
  const descriptions = Array.from({ length: bandCount }, (_, index) => {
    const ofBand = items.filter(({ sample }) => sample === String(index));
    const find = (wanted: string) => ofBand.find(({ name }) => name?.toUpperCase() === wanted)?.value;
    return find('DESCRIPTION') ?? find('BANDNAME') ?? '';
  });
  const ofFile = items.filter(({ sample }) => sample === undefined);
  const found = ofFile
    .filter(({ name }) => levelItems.includes(name ?? ''))
    .map(({ value }) => levelPattern.exec(value)?.[1]?.toUpperCase());
  const told = levels.filter((level) => found.includes(level.slice(1)));
  return {
    descriptions,
    bands: descriptions.map(readBand),
    level: told.length === 1 ? told[0] : undefined,
    baseline: Number.parseFloat(ofFile.find(({ name }) => name === 'PROCESSING_BASELINE')?.value ?? ''),
  };
}
