import type { IncomingHttpHeaders } from 'node:http';
import type { Envelope } from '../../core/task.ts';
import { parseJson, readBase64, readFields } from './json.ts';

/** The parameter of a query that says the same; the field of what is asked has its name. */
interface Parameter<Ask> {
  readonly name: string & keyof Ask;
  /** @throws Problem PARAMETER_INVALID */
  read(value: unknown): number;
}

/**
 * `{"inputs": BASE64, "parameters": {...}}`, as Hugging Face's clients send it; null is as good as absent. `options`, by which older
 * clients tell the hub how to wait, is passed over.
 */
export function inputsEnvelope<Ask>(parameters: Readonly<Record<string, Parameter<Ask>>>): Envelope<Ask> {
  const known = Object.keys(parameters);
  return {
    open(body, { ask }) {
      const fields = readFields('the JSON body', parseJson('the JSON body', body), ['inputs', 'parameters', 'options']);
      const bytes = readBase64('inputs', fields.inputs);
      const given = withoutNulls(fields.parameters ?? {});
      const asked = Object.entries(readFields('parameters', given, known)).map(([key, value]) => {
        const { name, read } = parameters[key] as Parameter<Ask>;
        return [name, read(value)] as const;
      });
      const query = Object.fromEntries(asked.map(([name, value]) => [name, String(value)]));
      return { bytes, ask: { ...ask, ...Object.fromEntries(asked) }, query };
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
