import type { Call } from './ask.ts';
import { part } from './dom.ts';
import type { KeyHolder } from './key.ts';

/** Milliseconds of the slider's steps: from less than any model takes to the most that the service grants. */
const steps = [20, 50, 100, 200, 300, 500, 750, 1000, 2000, 3000, 5000, 10_000, 30_000];

export interface Settings {
  /** As they stand. */
  call(): Call;
  /** Lets the standby model answer, too. */
  relax(): void;
}

/** The switch for strict requests and the slider for the deadline; the step of the system's own deadline names none. */
export function setUpSettings(
  panel: HTMLElement,
  system: { readonly path: string; readonly deadlineMs: number },
  keyHolder: KeyHolder,
  onChange: () => void,
): Settings {
  const strict = part(panel, 'strict', HTMLInputElement);
  const deadline = part(panel, 'deadline', HTMLInputElement);
  const text = part(panel, 'deadline-text');
  deadline.max = String(steps.length - 1);
  deadline.value = String(steps.indexOf(system.deadlineMs));

  const chosenMs = () => steps[Number(deadline.value)] as number;
  const tell = (): void => {
    const ms = chosenMs();
    const time = ms < 1000 ? `${ms} ms` : `${ms / 1000} s`;
    text.textContent = ms === system.deadlineMs ? `${time}, as by default` : time;
    deadline.setAttribute('aria-valuetext', text.textContent);
  };
  tell();
  deadline.addEventListener('input', () => {
    tell();
    onChange();
  });
  strict.addEventListener('change', onChange);
  return {
    call: () => ({
      path: system.path,
      isStrict: strict.checked,
      deadlineMs: chosenMs() === system.deadlineMs ? undefined : chosenMs(),
      key: keyHolder.key(),
    }),
    relax() {
      strict.checked = false;
      onChange();
    },
  };
}
