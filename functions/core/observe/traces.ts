import type { ExporterOptions } from './otlp.ts';
import type { Span } from './trace.ts';

/** Where the spans of a process go. */
export interface Traces {
  /** Never waits and never throws: spans are lost before an answer is. */
  add(spans: readonly Span[]): void;
  /** Sends what is left, for `withinMs` at most; nothing can be added afterwards. */
  close(withinMs: number): Promise<void>;
}

/** Loads the exporter with the first span, when its answer has been sent. */
export function createTraces(options: ExporterOptions): Traces {
  let exporter: Promise<Traces> | undefined;
  return {
    add(spans) {
      exporter ??= import('./otlp.ts').then(({ createExporter }) => createExporter(options));
      exporter.then((loaded) => loaded.add(spans));
    },
    close: async (withinMs) => (await exporter)?.close(withinMs),
  };
}
