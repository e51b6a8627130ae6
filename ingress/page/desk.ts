import { type Answer, ask, type Outcome } from './ask.ts';
import { setUpCode } from './calls.ts';
import { make, part } from './dom.ts';
import type { KeyHolder } from './key.ts';
import { setUpSettings } from './settings.ts';
import { tellBytes } from './shrink.ts';
import { showAnswer, showProblem } from './verdict.ts';

export interface Sample {
  readonly label: string;
  readonly file: string;
  readonly type: string;
  /** Shown on the button; undefined where the file is no picture that a browser shows. */
  readonly picture?: string | undefined;
}

/** What one system adds to a desk. */
export interface System<Kind extends Answer> {
  readonly name: 'classify' | 'clouds' | 'digits';
  /** Where it answers, with a query. */
  readonly path: string;
  readonly title: string;
  readonly choose: string;
  readonly camera?: boolean;
  readonly accept: string;
  /** Patience of a request that names none. */
  readonly deadlineMs: number;
  readonly samples: readonly Sample[];
  /** What is sent in place of the file; itself where nothing has to change. */
  prepare?(file: File): Promise<File>;
  /** Makes the place where the upload is seen; the second argument takes an upload made there. */
  setUpPreview(place: HTMLElement, take: (file: File) => void): Preview;
  /** Shows what the answer says, below who said it. */
  show(answer: Kind, place: HTMLElement): void;
}

export interface Preview {
  show(file: File): void;
  /** The answer, where it can be laid over the upload. */
  answered?(answer: Answer | undefined): void;
}

export interface Desk {
  /** Takes an upload and asks about it. */
  take(file: File): Promise<void>;
  /** Asks about the upload at hand, for the strip alone; undefined where there is none. */
  askAside(): Promise<Outcome> | undefined;
  /** Says what to choose where there is no upload. */
  askForUpload(): void;
}

/** One system's panel: the upload and how to ask on one side, the answer on the other. */
export function setUpDesk<Kind extends Answer>(
  panel: HTMLElement,
  system: System<Kind>,
  keyHolder: KeyHolder,
  onOutcome: (outcome: Outcome) => void,
): Desk {
  panel.append((document.querySelector('#desk') as HTMLTemplateElement).content.cloneNode(true));
  const id = (name: string) => `${system.name}-${name}`;
  const [status, output] = [part(panel, 'status'), part(panel, 'output')];
  let upload: File | undefined;
  let running: AbortController | undefined;

  const refresh = (): void => code.show(settings.call(), upload?.name ?? 'FILE');
  const settings = setUpSettings(panel, system, keyHolder, refresh);
  const code = setUpCode(panel, id);
  const preview = system.setUpPreview(part(panel, 'preview'), (file) => void take(file));

  const askNow = async (): Promise<void> => {
    if (upload === undefined) return askForUpload();
    running?.abort();
    running = new AbortController();
    const { signal } = running;
    status.textContent = 'Asking …';
    output.setAttribute('aria-busy', 'true');
    const outcome = await ask<Kind>(settings.call(), upload, signal).catch(() => undefined);
    if (outcome === undefined) return; // a later one has taken its place
    output.removeAttribute('aria-busy');
    preview.answered?.(outcome.kind === 'answer' ? outcome.answer : undefined);
    if (outcome.kind === 'answer') showAnswer(panel, outcome, system.show);
    else showProblem(panel, outcome, { relax, useKey });
    onOutcome(outcome);
  };
  const askOtherwise = (): void => {
    part(panel, 'output-title').focus(); // the button that was pressed is about to go
    void askNow();
  };
  const relax = (): void => {
    settings.relax();
    askOtherwise();
  };
  const useKey = (key: string): void => {
    keyHolder.keep(key);
    refresh();
    askOtherwise();
  };
  const take = async (file: File): Promise<void> => {
    upload = (await system.prepare?.(file)) ?? file;
    const shrunk = upload === file ? '' : `, ${tellBytes(file.size)} before this page has shrunk it`;
    part(panel, 'chosen').textContent = `${upload.name}: ${tellBytes(upload.size)}${shrunk}`;
    part(panel, 'ask').textContent = 'Ask again';
    preview.show(upload);
    refresh();
    await askNow();
  };
  const askForUpload = (): void => {
    status.textContent = `Nothing to ask about yet: ${system.choose.toLowerCase()} first, or try a sample.`;
    part(panel, 'file').focus();
  };

  nameParts(panel, system, id);
  listSamples(part(panel, 'samples'), system.samples, take, (text) => {
    status.textContent = text;
  });
  takeFiles(panel, take);
  part(panel, 'form').addEventListener('submit', (event) => {
    event.preventDefault();
    void askNow();
  });
  refresh();
  return {
    take,
    askForUpload,
    askAside: () => upload && ask(settings.call(), upload),
  };
}

function nameParts<Kind extends Answer>(panel: HTMLElement, system: System<Kind>, id: (name: string) => string): void {
  for (const [section, title] of [
    ['input', system.title],
    ['output', 'Answer'],
    ['call', 'The same call in code'],
  ]) {
    const heading = part(panel, `${section}-title`);
    heading.textContent = title as string;
    heading.id = id(`${section}-title`);
    part(panel, section as string).setAttribute('aria-labelledby', heading.id);
  }
  const file = part(panel, 'file', HTMLInputElement);
  file.accept = system.accept;
  part(panel, 'file-label').textContent = system.choose;
  if (!system.camera) part(panel, 'camera').remove();
  part(panel, 'chosen').textContent = 'Or drop it here, or paste it.';
  part(panel, 'status').textContent = `${system.choose}, or try a sample: the answer comes here.`;
}

function listSamples(
  list: HTMLElement,
  samples: readonly Sample[],
  take: (file: File) => Promise<void>,
  report: (text: string) => void,
): void {
  for (const { label, file, type, picture } of samples) {
    const address = (name: string) => new URL(`samples/${name}`, import.meta.url).href;
    const icon =
      picture === undefined
        ? make('span', { class: 'icon', 'aria-hidden': 'true' }, file.split('.').at(-1) as string)
        : make('img', { src: address(picture), alt: '', width: '72', height: '54' });
    const button = make('button', { type: 'button', class: 'sample' }, icon, make('span', {}, label));
    button.addEventListener('click', async () => {
      const content = await fetch(address(file)).then(
        (response) => response.blob(),
        () => undefined,
      );
      if (content === undefined) report('The sample could not be loaded.');
      else await take(new File([content], file, { type }));
    });
    list.append(make('li', {}, button));
  }
}

/** By choosing and dropping; pasting is the whole page's. */
function takeFiles(panel: HTMLElement, take: (file: File) => Promise<void>): void {
  const drop = part(panel, 'drop');
  for (const input of panel.querySelectorAll<HTMLInputElement>('input[type=file]')) {
    input.addEventListener('change', () => {
      const [file] = input.files ?? [];
      input.value = ''; // so that the same file can be chosen again
      if (file) void take(file);
    });
  }
  drop.addEventListener('dragover', (event) => {
    event.preventDefault();
    drop.classList.add('over');
  });
  drop.addEventListener('dragleave', () => drop.classList.remove('over'));
  drop.addEventListener('drop', (event) => {
    event.preventDefault();
    drop.classList.remove('over');
    const [file] = event.dataTransfer?.files ?? [];
    if (file) void take(file);
  });
}
