/**
 * Writes tests/images/patch.tif, a drawn Sentinel-2 patch of 128x128 pixels: `npm run build && node dist/tests/images/compose.js` from the
 * root; one of another size with `compose.js SIDE FILE`. Bands, level and place are in the file; the same numbers give the same file.
 */
import { writeFileSync } from 'node:fs';
import { drawGeoTiff } from '../support/geotiff.ts';
import { drawScene } from '../support/scene.ts';

/** The file's bytes. */
export function composePatch(side = 128): Buffer {
  const { bands } = drawScene({ seed: 4, side });
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

const [, program = '', side, file = 'tests/images/patch.tif'] = process.argv;
if (program.endsWith('compose.js')) writeFileSync(file, composePatch(side === undefined ? undefined : Number(side)));
