/**
 * Writes tests/images/patch.tif, a drawn Sentinel-2 patch of 128x128 pixels: `npm run build && node dist/tests/images/compose.js` from the
 * root. Bands, level and place are in the file; the same numbers give the same file.
 */
import { writeFileSync } from 'node:fs';
import { drawGeoTiff } from '../support/geotiff.ts';
import { drawScene } from '../support/scene.ts';

/** The file's bytes. */
export function composePatch(): Buffer {
  const { side, bands } = drawScene({ seed: 4 });
  const names = Object.keys(bands);
  return drawGeoTiff({
    width: side,
    height: side,
    bands: names,
    value: (band, pixel) => bands[names[band] as string]?.[pixel] as number,
    compression: 'adobe',
    predictor: 2,
    items: { PROCESSING_LEVEL: 'Level-2A' },
  });
}

if (process.argv[1]?.endsWith('compose.js')) writeFileSync('tests/images/patch.tif', composePatch());
