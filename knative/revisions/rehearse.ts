import { addressByHand, forwardByHand } from './gateway.ts';
import { comparisonOf, smokeOf, trialToShell } from './judge.ts';
import { toShell } from './kn.ts';
import {
  afterRouting,
  type Change,
  deleteLine,
  type Line,
  planCanary,
  planDeployment,
  planPromotion,
  planRollback,
  prunable,
  type Routing,
  routeLine,
  templateLine,
  unneeded,
} from './plan.ts';
import { stages, type Terms } from './release.ts';
import { candidateOf, currentOf, type Recipe, type Revision, type State } from './state.ts';

/** What a verb is given. */
export interface Asked {
  readonly percent: number;
  readonly change: Change;
  readonly terms: Omit<Terms, 'k6'>;
}

/** The lines that a verb would run, were the cluster in that state and did everything go well. */
export function rehearse(verb: string, state: State, asked: Asked): readonly string[] {
  switch (verb) {
    case 'deploy':
      return deployment(state, asked).lines;
    case 'canary':
      return shells(routeLine(state, planCanary(state, asked.percent)));
    case 'promote':
      return shells(routeLine(state, planPromotion(state)));
    case 'rollback':
      return retreat(state, planRollback(state));
    case 'prune':
      return shells(deleteLine(state, prunable(state)));
    case 'release':
      return wholeRelease(state, asked);
    default:
      return shells(['revision', 'list', '--service', state.service, '--namespace', state.namespace]);
  }
}

function wholeRelease(state: State, asked: Asked): readonly string[] {
  const { address = addressByHand, seconds } = asked.terms;
  const deployed = deployment(state, asked);
  let now = deployed.state;
  const sides = { current: currentOf(now), candidate: candidateOf(now) };
  const lines = [...deployed.lines, trialToShell(smokeOf(state, address, sides.candidate, seconds / 2))];
  if (asked.terms.address === undefined) lines.unshift(forwardByHand);
  for (const percent of stages) {
    const routing = planCanary(now, percent);
    lines.push(...shells(routeLine(now, routing)), trialToShell(comparisonOf(state, address, sides, seconds)));
    now = afterRouting(now, routing);
  }
  return [...lines, ...shells(routeLine(now, planPromotion(now)))];
}

function deployment(state: State, { change, terms }: Asked): { lines: readonly string[]; state: State } {
  const { make, held, tagged } = planDeployment(state, change, terms.waitSeconds);
  if (make === undefined) {
    const routing = tagged(state.revisions[0]?.name ?? '');
    return { lines: shells(routeLine(state, routing)), state: afterRouting(state, routing) };
  }
  const made = withNewest(afterRouting(state, held), change);
  const routing = tagged(made.revisions[0]?.name ?? '');
  return { lines: shells(make, routeLine(made, routing)), state: afterRouting(made, routing) };
}

function retreat(state: State, routing: Routing): readonly string[] {
  const after = afterRouting(state, routing);
  const restore = templateLine(after, currentOf(after));
  return shells(routeLine(state, routing), restore, restore && deleteLine(after, unneeded(after)));
}

/** A revision more, ready, of the name that Knative would give it. */
function withNewest(state: State, { image, env }: Change): State {
  const serving = state.revisions.find(({ name }) => name === currentOf(state)) as Revision;
  const number = Number(/-(\d{5})$/.exec(state.revisions[0]?.name ?? '')?.[1] ?? 0) + 1;
  const recipe: Recipe = { image: image ?? serving.image, env: { ...serving.env, ...env } };
  const name = `${state.service}-${String(number).padStart(5, '0')}`;
  const made: Revision = { name, ...recipe, isReady: true, reason: '', pods: 1, createdAt: '' };
  return { ...state, template: recipe, revisions: [made, ...state.revisions] };
}

function shells(...lines: readonly (Line | undefined)[]): readonly string[] {
  return lines.filter((line) => line !== undefined).map(toShell);
}
