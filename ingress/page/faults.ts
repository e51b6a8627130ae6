import { part } from './dom.ts';

/** Buttons that break the primary function, by the operator port of `npm start`; no other installation has one. */
export function setUpFaults(root: HTMLElement, operator: string): void {
  const status = part(root, 'fault-status');
  part(root, 'faults').hidden = false;
  for (const button of root.querySelectorAll<HTMLButtonElement>('[data-fault]')) {
    button.addEventListener('click', async () => {
      const sent = { method: 'POST', headers: { 'Understudy-Operator': 'page' } };
      const response = await fetch(`${operator}/${button.dataset.fault}`, sent).catch(() => undefined);
      status.textContent =
        response === undefined ? 'The operator port does not answer.' : (await response.json()).message;
    });
  }
}
