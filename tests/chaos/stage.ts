import { shippedVersions } from '../support/models.ts';
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
  const versions = new Map([...shippedVersions(), [moodyVersion, moodyClasses]]);
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
