import { type Revision, type State, shareOf, taggedOf, tags } from './state.ts';

/** A line for each revision, the newest first: its share of the traffic, its tags, whether it is ready, and what it is made from. */
export function listOf(state: State): string {
  const rows = [
    ['revision', 'share', 'tags', 'ready', 'pods', 'made', 'image'],
    ...state.revisions.map((one) => row(state, one)),
  ];
  const widths = (rows[0] as string[]).map((_, column) =>
    Math.max(...rows.map((cells) => String(cells[column]).length)),
  );
  const lines = rows.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  const notes = state.isRouted ? [] : ['The gateway does not follow yet, or cannot.'];
  return `${[...lines, ...state.revisions.filter(({ reason }) => reason !== '').map(why), ...notes].join('\n')}\n`;
}

function row(state: State, { name, isReady, pods, createdAt, image }: Revision): string[] {
  const share = shareOf(state, name);
  const tagged = tags.filter((tag) => taggedOf(state, tag) === name);
  const ready = isReady === null ? 'not yet' : isReady ? 'yes' : 'no';
  const made = createdAt.slice(0, 16).replace('T', ' ');
  return [name, share === 0 ? '-' : `${share} %`, tagged.join(', ') || '-', ready, String(pods), made, image];
}

function why({ name, reason }: Revision): string {
  return `${name}: ${reason}`;
}
