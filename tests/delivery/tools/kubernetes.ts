import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from '../../support/yaml.ts';

type Schema = Readonly<Record<string, unknown>>;
type Definitions = Readonly<Record<string, Schema>>;

/** What of a CustomResourceDefinition is read here. */
interface CustomResource {
  readonly spec: {
    readonly group: string;
    readonly names: { readonly kind: string };
    readonly versions: readonly { readonly name: string; readonly schema: { readonly openAPIV3Schema: Schema } }[];
  };
}

/** The kinds that the overlays have. */
const kinds: Readonly<Record<string, string>> = {
  'namespace-v1': 'core.v1.Namespace',
  'configmap-v1': 'core.v1.ConfigMap',
  'service-v1': 'core.v1.Service',
  'deployment-apps-v1': 'apps.v1.Deployment',
  'horizontalpodautoscaler-autoscaling-v2': 'autoscaling.v2.HorizontalPodAutoscaler',
  'networkpolicy-networking-v1': 'networking.v1.NetworkPolicy',
  'poddisruptionbudget-policy-v1': 'policy.v1.PodDisruptionBudget',
};

/** Schemas that know every field of these kinds and of Knative's Services, of what install.sh left, in `folder`; named for kubeconform. */
export function writeSchemas(source: string, folder: string): void {
  const read = (name: string) => readFileSync(join(source, name), 'utf8');
  const write = (name: string, schema: unknown) => writeFileSync(join(folder, `${name}.json`), JSON.stringify(schema));
  const { definitions } = JSON.parse(read('swagger.json')) as { definitions: Definitions };
  const named = (name: string) => ({ $ref: `#/definitions/io.k8s.${name}` });
  for (const [file, name] of Object.entries(kinds)) write(file, close(named(`api.${name}`), definitions));
  const { spec } = load(read('service.yaml')) as CustomResource;
  for (const { name, schema } of spec.versions) {
    const { properties, ...rest } = schema.openAPIV3Schema;
    const whole = { ...(properties as Schema), metadata: named('apimachinery.pkg.apis.meta.v1.ObjectMeta') };
    const file = [spec.names.kind, spec.group.split('.', 1), name].join('-').toLowerCase();
    write(file, close({ ...rest, properties: whole }, definitions));
  }
}

/** A schema with its references in place, which refuses every field that it does not know, as the API server does when it is strict. */
function close(schema: Schema, definitions: Definitions): Schema {
  const { $ref, type, format, properties, items, additionalProperties, ...rest } = schema;
  if (typeof $ref === 'string') return close(definitions[$ref.replace('#/definitions/', '')] as Schema, definitions);
  const closed = (part: unknown) => close(part as Schema, definitions);
  return {
    ...Object.fromEntries(Object.entries(rest).filter(([key]) => !/^(x-|description$|default$)/.test(key))),
    ...typeOf(schema),
    ...(items === undefined ? {} : { items: closed(items) }),
    ...(additionalProperties instanceof Object ? { additionalProperties: closed(additionalProperties) } : {}),
    ...(properties === undefined ? {} : closedProperties(schema, closed)),
  };
}

/** A port may be a number or a name, a quantity a number or a text with a unit. */
function typeOf({ type, format, description, 'x-kubernetes-int-or-string': either }: Schema): Schema {
  if (either === true || format === 'int-or-string') return { type: ['integer', 'string'] };
  if (/^Quantity is a fixed-point/.test(String(description))) return { type: ['number', 'string'] };
  return type === undefined ? {} : { type };
}

function closedProperties(schema: Schema, closed: (part: unknown) => Schema): Schema {
  const properties = Object.entries(schema.properties as Schema).map(([name, part]) => [name, closed(part)]);
  const open = schema['x-kubernetes-preserve-unknown-fields'] === true;
  return { properties: Object.fromEntries(properties), ...(open ? {} : { additionalProperties: false }) };
}
