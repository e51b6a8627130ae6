/** The topics of a queue. The readers of a topic are the consumer group of the same name. */
export interface Topics {
  readonly main: string;
  /** For jobs that are to be delivered again, by the count of their deliveries; the last one takes all that come after. */
  readonly retries: readonly { readonly name: string; readonly delayMs: number }[];
  /** For what can never be processed. */
  readonly dead: string;
}

/** The pauses after the first, the second and every further delivery that led to nothing: as long as those after runs that failed. */
const delaysMs = [1000, 5000, 25_000];

export function topicsOf(main: string): Topics {
  const retries = delaysMs.map((delayMs, i) => ({ name: `${main}-retry-${i + 1}`, delayMs }));
  return { main, retries, dead: `${main}-dead` };
}

/** What Kafka takes for a topic's name, with room for what is put behind it. */
export function isTopic(text: string): boolean {
  return /^[A-Za-z0-9._-]{1,200}$/.test(text) && !/^\.+$/.test(text);
}
