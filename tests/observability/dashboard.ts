import { readFileSync } from 'node:fs';

/** A query of a panel. */
export interface Query {
  readonly panel: string;
  readonly expr: string;
}

interface Panel {
  readonly title: string;
  readonly type: string;
  readonly targets?: readonly { readonly expr: string }[];
}

export const dashboardPath = 'knative/observability/dashboard.json';

/** What the dashboard asks, with Grafana's variables as they stand when it is opened. */
export function readQueries(text = readFileSync(dashboardPath, 'utf8')): readonly Query[] {
  const { panels, annotations } = JSON.parse(text) as {
    panels: readonly Panel[];
    annotations: { list: readonly { name: string; expr: string }[] };
  };
  const found = panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ panel: title, expr })));
  const notes = annotations.list.map(({ name, expr }) => ({ panel: `annotation ${name}`, expr }));
  return [...found, ...notes].map(({ panel, expr }) => ({
    panel,
    expr: expr.replaceAll('$__rate_interval', '1m').replaceAll('$task', '.*'),
  }));
}

/** The names of metrics in an expression: what no function, keyword or label is. */
export function metricsIn(expr: string): readonly string[] {
  const bare = expr.replaceAll(/\{[^}]*\}/g, '').replaceAll(/\b(?:by|on|ignoring|group_left|without) \([^)]*\)/g, '');
  const words = bare.match(/[a-z_][a-z0-9_:]*/g) ?? [];
  return words
    .filter((word) => word === 'up' || /_/.test(word))
    .filter((word) => !/^(?:histogram_quantile|label_replace|group_left)$/.test(word));
}
