import { line, text } from './html.ts';
import type { Resolve, Schema } from './openapi.ts';

/** What a schema allows, in words as HTML: "integer, 1 to 20, default 5". */
export function typeOf(schema: Schema): string {
  const { type, enum: values, minimum, maximum, minItems, maxItems } = schema;
  const parts: string[] = [];
  if (values !== undefined) parts.push(values.map((value) => `<code>${text(String(value))}</code>`).join(' or '));
  else if (schema.const !== undefined) parts.push(`<code>${text(String(schema.const))}</code>`);
  else if (type !== undefined) parts.push([type].flat().join(' or '));
  if (minimum !== undefined) parts.push(maximum === undefined ? `from ${minimum} on` : `${minimum} to ${maximum}`);
  if (maxItems !== undefined) parts.push(minItems === maxItems ? `${maxItems} of them` : `${maxItems} at most`);
  if (schema.default !== undefined) parts.push(`default ${text(String(schema.default))}`);
  return parts.join(', ');
}

/** The fields of an object or a list, those of its objects and lists included: `predictions[].index` and what it is. */
export function fieldsOf(schema: Schema, resolve: Resolve, prefix = ''): readonly (readonly [string, string])[] {
  if (schema.items) return fieldsOf(resolve(schema.items), resolve, `${prefix.replace(/\.$/, '')}[].`);
  return Object.entries(schema.properties ?? {}).flatMap(([name, value]) => {
    const field = resolve(value);
    const alternatives = field.oneOf?.map((other) => resolve(other)) ?? [field];
    const meaning = [field, ...(field.oneOf ? alternatives : [])].flatMap((one) => describe(one, resolve)).join(' ');
    const inner = alternatives.flatMap((one) => fieldsOf(one, resolve, `${prefix}${name}.`));
    return [[`<code>${prefix}${text(name)}</code>`, meaning] as const, ...inner];
  });
}

function describe(schema: Schema, resolve: Resolve): string[] {
  const items = schema.items && resolve(schema.items);
  const type = typeOf(schema) + (items ? ` of: ${typeOf(items)}` : '');
  return [schema.description && line(schema.description), type && `<span class="type">${type}</span>`].filter(
    (part): part is string => Boolean(part),
  );
}
