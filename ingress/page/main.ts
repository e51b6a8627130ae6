import type { Answer, Outcome } from './ask.ts';
import { clouds } from './clouds.ts';
import { type Desk, type System, setUpDesk } from './desk.ts';
import { digits } from './digits.ts';
import { make, part } from './dom.ts';
import { setUpFaults } from './faults.ts';
import { createKeyHolder } from './key.ts';
import { setUpMany } from './many.ts';
import { photos } from './photos.ts';
import { setUpStrip } from './strip.ts';
import { setUpTabs } from './tabs.ts';

const answers = document.querySelector('#answers') as HTMLElement;
const strip = setUpStrip(answers);
const keyHolder = createKeyHolder();
const onOutcome = (outcome: Outcome): void => strip.add(outcome);

function open<Kind extends Answer>(system: System<Kind>) {
  const panel = document.querySelector(`#panel-${system.name}`) as HTMLElement;
  const tab = document.querySelector(`#tab-${system.name}`) as HTMLElement;
  return {
    name: system.name,
    path: system.path.replace(/\?.*/, ''),
    panel,
    tab,
    desk: setUpDesk(panel, system, keyHolder, onOutcome),
  };
}

const systems = [open(photos), open(clouds), open(digits)];
let current: Desk = systems[0]?.desk as Desk;

const select = setUpTabs(
  systems.map(({ tab }) => tab),
  (index) => {
    systems.forEach(({ panel, desk }, i) => {
      panel.hidden = i !== index;
      if (i === index) current = desk;
    });
  },
);
select(0);
setUpMany(answers, () => current, onOutcome);

document.addEventListener('paste', (event) => {
  const [file] = event.clipboardData?.files ?? [];
  if (file === undefined) return;
  event.preventDefault();
  void current.take(file);
});
// A file that misses its place would open in place of this page.
for (const name of ['dragover', 'drop']) document.addEventListener(name, (event) => event.preventDefault());

/** What nginx tells about this installation. */
interface Installation {
  readonly systems: readonly string[];
  readonly operator: string;
}

const response = await fetch('/page.json').catch(() => undefined);
if (response?.ok) {
  const installation: Installation = await response.json();
  const deployed = systems.map(({ name }) => installation.systems.includes(name));
  systems.forEach(({ panel, path, tab }, i) => {
    if (deployed[i]) return;
    part(panel, 'desk').remove();
    part(panel, 'absent').hidden = false;
    part(panel, 'absent').textContent =
      `${tab.textContent} are not deployed here: ${path} answers 404 ROUTE_NOT_FOUND.`;
  });
  select(Math.max(deployed.indexOf(true), 0));
  if (installation.operator !== '' && deployed[0]) setUpFaults(answers, installation.operator);
} else {
  document
    .querySelector('main')
    ?.prepend(make('p', { class: 'notice' }, 'This page could not ask what is deployed here.'));
}
