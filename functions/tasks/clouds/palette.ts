import { classes } from './mask.ts';

/** Red, green, blue and opacity of each value of a mask, 0 to 255: clouds white, shadows slate, no data gray, clear sky unseen. */
export const palette: readonly (readonly [red: number, green: number, blue: number, opacity: number])[] = Array.from(
  { length: 256 },
  (_, value) => {
    if (value === classes.cloud) return [255, 255, 255, 255];
    if (value === classes.shadow) return [72, 61, 112, 255];
    if (value === classes.none) return [128, 128, 128, 255];
    return [0, 0, 0, 0];
  },
);
