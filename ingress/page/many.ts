import type { Outcome } from './ask.ts';
import type { Desk } from './desk.ts';
import { part } from './dom.ts';
import { tellMs } from './timing.ts';

const count = 50;
/** Ten a second: slow enough to break something meanwhile. */
const everyMs = 100;

/** The button that asks many times about the upload of the current desk. */
export function setUpMany(root: HTMLElement, current: () => Desk, onOutcome: (outcome: Outcome) => void): void {
  const [button, status] = [part(root, 'send-many'), part(root, 'many-status')];
  let isRunning = false;
  const send = async (desk: Desk): Promise<void> => {
    const asked: Promise<Outcome>[] = [];
    status.textContent = `Sends ${count} requests, one every ${everyMs} ms …`;
    for (let i = 0; i < count; i += 1) {
      const outcome = desk.askAside();
      if (outcome === undefined) {
        status.textContent = 'Nothing to send yet.';
        return desk.askForUpload();
      }
      asked.push(outcome);
      void outcome.then(onOutcome);
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
    status.textContent = summarize(await Promise.all(asked));
  };
  button.addEventListener('click', async () => {
    if (isRunning) return;
    isRunning = true;
    await send(current());
    isRunning = false;
  });
}

function summarize(outcomes: readonly Outcome[]): string {
  const answered = outcomes.filter(({ kind }) => kind === 'answer').length;
  const slowest = Math.max(...outcomes.map(({ ms }) => ms));
  return `${answered} of ${outcomes.length} answered, the slowest after ${tellMs(slowest)}.`;
}
