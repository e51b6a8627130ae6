/** The bands of Sentinel-2's instrument. */
const bandNames = ['B01', 'B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B09', 'B10', 'B11', 'B12'];

/**
 * The band that a text names at its beginning, as products and tools spell it: B02, B2, b02, "B2, central wavelength 490 nm",
 * B02_10m; undefined for any other text.
 */
export function readBand(text: string): string | undefined {
  const [, name] = /^\s*B(0?[1-9]|1[0-2]|8A)(?![0-9A-Z])/i.exec(text) ?? [];
  return bandNames.find((band) => band === `B${name?.toUpperCase().padStart(2, '0')}`);
}

/** The first band that a list has twice. */
export function findTwice(names: readonly (string | undefined)[]): string | undefined {
  return names.find((name, index) => name !== undefined && names.indexOf(name) !== index);
}

/** The place of each band in a list of names, each there once, that may have gaps. */
export function placesOf(names: readonly (string | undefined)[]): ReadonlyMap<string, number> {
  return new Map(names.flatMap((name, index) => (name === undefined ? [] : [[name, index] as const])));
}
