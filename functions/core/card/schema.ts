import * as v from 'valibot';

/** A rule for a value; its message says what was expected. */
// biome-ignore lint/suspicious/noExplicitAny: valibot's own types name every step of a rule
export type Rule = v.GenericSchema<any>;
type Rules = Readonly<Record<string, Rule>>;

export const text = v.pipe(v.string('text'), v.nonEmpty('text'));
/** A file of the model's folder itself. */
export const fileName = v.pipe(v.string('a file name'), v.regex(/^[\w@-][\w.@-]*$/, 'a file name'));

export function isFileName(value: unknown): boolean {
  return v.is(fileName, value);
}

export const sha256 = v.pipe(v.string('64 hexadecimal digits'), v.regex(/^[0-9a-f]{64}$/, '64 hexadecimal digits'));
export const anything = v.optional(v.unknown());
export const optional = (rule: Rule): Rule => v.optional(rule);
export const nullable = (rule: Rule, what: string): Rule =>
  v.custom((value) => value === null || v.is(rule, value), what);

export function oneOf(values: readonly string[], what = `one of ${values.join(', ')}`): Rule {
  return v.picklist(values, what);
}

/** Whatever the check accepts. */
export function checked(check: (value: unknown) => boolean, what: string): Rule {
  return v.custom(check, what);
}

export const positive: Rule = v.custom((value) => typeof value === 'number' && value > 0, 'a number above 0');

export function wholeNumber(min: number, max: number): Rule {
  const what = `a whole number from ${min} to ${max}`;
  return v.custom((value) => Number.isInteger(value) && Number(value) >= min && Number(value) <= max, what);
}

/** A list of finite numbers, not empty; of exactly `length` where that is given. */
export function numbers(what: string, length?: number, isAllowed: (value: number) => boolean = () => true): Rule {
  const isList = (value: unknown) =>
    Array.isArray(value) &&
    (length === undefined ? value.length > 0 : value.length === length) &&
    value.every((entry) => Number.isFinite(entry) && isAllowed(entry));
  return v.custom(isList, what);
}

/** A rule about several fields that blames one of them, looked at once each field follows its own. */
export interface Check<T> {
  readonly field: string;
  readonly what: string;
  isMet(value: T): boolean;
}

/** An object with these fields and no others. One that is missing counts as an empty object, so that each field it lacks is reported. */
export function fields<T = never>(rules: Rules, checks: readonly Check<T>[] = []): Rule {
  const known = Object.keys(rules).join(', ');
  // Of the rule for an object itself: a field that is not known, or no object.
  const message = ({ expected }: { readonly expected: string | null }) => (expected === 'never' ? known : 'an object');
  const complete = (value: unknown) => {
    if (value !== undefined && (typeof value !== 'object' || value === null || Array.isArray(value))) return null;
    return { ...Object.fromEntries(Object.keys(rules).map((field) => [field, undefined])), ...value };
  };
  const all = v.rawCheck<Record<string, unknown>>(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    const { value } = dataset;
    if (dataset.issues) return; // each field follows its own rule first
    for (const { field, what } of checks.filter((check) => !check.isMet(value as T))) {
      addIssue({
        message: what,
        path: [{ type: 'object', origin: 'value', input: value, key: field, value: value[field] }],
      });
    }
  });
  return v.pipe(v.unknown(), v.transform(complete), v.strictObject(rules, message), all);
}

export function list(rule: Rule): Rule {
  return v.array(rule, 'a list');
}

/**
 * Each fault of a value in a sentence, none where it follows the rule. A field that no rule knows is a typo.
 * @param path of the file, named in each sentence
 */
export function faultsOf(rule: Rule, value: unknown, path: string): readonly string[] {
  const { issues = [] } = v.safeParse(rule, value);
  const typos: string[] = [];
  const faults: string[] = [];
  for (const { type, expected, message, path: steps = [] } of issues) {
    const last = steps.at(-1);
    if (type === 'strict_object' && expected === 'never') {
      const known = message.split(', ');
      for (const field of Object.keys(last?.input ?? {}).filter((field) => !known.includes(field))) {
        const received = join(placeOf(steps.slice(0, -1)), field);
        typos.push(`${path}: Expected one of ${message} for a field of the card but received "${received}"`);
      }
    } else {
      const found = last === undefined ? value : last.value;
      faults.push(
        `${path}: Expected ${message} for ${placeOf(steps) || 'the file'} but received ${shorten(tell(found))}`,
      );
    }
  }
  return [...typos, ...faults];
}

/** A value of JSON in words. */
export function tell(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value);
}

function placeOf(steps: readonly { readonly key: unknown }[]): string {
  return steps.reduce((text, { key }) => join(text, key), '');
}

function join(text: string, key: unknown): string {
  if (typeof key === 'number') return `${text}[${key}]`;
  return text === '' ? String(key) : `${text}.${String(key)}`;
}

/** Keeps a table of hundreds of numbers out of the message. */
function shorten(received: string): string {
  return received.length > 200 ? `${received.slice(0, 200)}…` : received;
}
