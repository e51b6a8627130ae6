import { readFileSync } from 'node:fs';
import { startDriver } from './driver.ts';
import { type Stage, sendUsual } from './fault.ts';
import { moodyClasses, moodyVersion } from './faults/models.ts';
import { drawPhotos } from './photos.ts';
import { startStack } from './stack.ts';

/** Requests before the first fault warm everything up. */
const warmMs = 2000;

/** Starts the stack and the driver. The caller stops both, driver first. */
export async function openStage(perSecond: number, signal: AbortSignal): Promise<Stage> {
  const photos = await drawPhotos();
  const stack = await startStack();
  const shipped = (file: string) => JSON.parse(readFileSync(`models/wide-resnet/${file}`, 'utf8'));
  const { version } = shipped('model.json') as { version: string };
  const versions = new Map([
    [version, (shipped('labels.json') as unknown[]).length],
    [moodyVersion, moodyClasses],
  ]);
  const driver = startDriver({ origin: stack.origin, perSecond, versions });
  sendUsual({ driver, photos });
  await new Promise((resolve) => setTimeout(resolve, warmMs));
  return { stack, driver, photos, signal };
}

/** Stops what `openStage` started. */
export async function closeStage({ driver, stack }: Stage): Promise<void> {
  driver.stop();
  await stack.stop();
}
