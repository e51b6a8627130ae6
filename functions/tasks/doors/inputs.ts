import type { IncomingHttpHeaders } from 'node:http';
import type { Envelope } from '../../core/task.ts';
import { parseJson, readBase64, readFields } from './json.ts';

/** What each parameter makes of what is asked. @throws Problem PARAMETER_INVALID */
type Parameters<Ask> = Readonly<Record<string, (value: unknown, ask: Ask) => Ask>>;

/**
 * `{"inputs": BASE64, "parameters": {...}}`, as Hugging Face's clients send it; null is as good as absent. `options`, by which older
 * clients tell the hub how to wait, is passed over.
 */
export function inputsEnvelope<Ask>(parameters: Parameters<Ask>): Envelope<Ask> {
  const known = Object.keys(parameters);
  return {
    open(body, { ask }) {
      const fields = readFields('the JSON body', parseJson('the JSON body', body), ['inputs', 'parameters', 'options']);
      const bytes = readBase64('inputs', fields.inputs);
      const given = withoutNulls(fields.parameters ?? {});
      const asked = Object.entries(readFields('parameters', given, known));
      return { bytes, ask: asked.reduce((sum, [name, value]) => parameters[name]?.(value, sum) ?? sum, ask) };
    },
  };
}

function withoutNulls(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== null));
}

export function isJson(headers: IncomingHttpHeaders): boolean {
  return /^\s*application\/json\s*(?:;|$)/i.test(headers['content-type'] ?? '');
}
