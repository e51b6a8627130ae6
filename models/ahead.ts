/** Enough for the decoding threads to stay busy while what came before is used. */
const itemsAhead = 4;

/** What `prepare` makes of each item, in order; the next few are being prepared meanwhile. Rejects as `prepare` does. */
export async function* prepareAhead<Item, Prepared>(
  items: readonly Item[],
  prepare: (item: Item) => Promise<Prepared>,
): AsyncGenerator<Prepared, void> {
  const waiting: Promise<Prepared>[] = [];
  for (const item of items) {
    const prepared = prepare(item);
    prepared.catch(() => undefined); // awaited below, in its turn
    waiting.push(prepared);
    if (waiting.length > itemsAhead) yield await (waiting.shift() as Promise<Prepared>);
  }
  for (const prepared of waiting) yield await prepared;
}
