import type { JobEvent } from './event.ts';

/** A record of Kafka as far as it is our business. */
export interface Message {
  readonly key: string | undefined;
  readonly value: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
}

/** An event as a record: binary mode of the Kafka protocol binding for CloudEvents 1.0, its key the job. */
export function toMessage({ data, datacontenttype, ...attributes }: JobEvent): Message {
  const named = Object.entries(attributes).map(([name, value]) => [`ce_${name}`, value] as const);
  return {
    key: attributes.id,
    value: Buffer.from(JSON.stringify(data)),
    headers: { ...Object.fromEntries(named), 'content-type': datacontenttype },
  };
}

/** Not what the binding says of other headers than `ce_…` and `content-type`: they have no meaning to an event, and stay behind. */
export interface EventRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** A record as a request: binary mode of the HTTP protocol binding, or structured mode if the record has that. */
export function toRequest({ headers, value }: Message): EventRequest {
  const named = Object.entries(headers).flatMap(([name, text]) => {
    const attribute = /^ce_([a-z0-9]+)$/.exec(name)?.[1];
    return attribute === undefined ? [] : [[`ce-${attribute}`, encode(text)] as const];
  });
  return {
    headers: { ...Object.fromEntries(named), 'content-type': headers['content-type'] || 'application/octet-stream' },
    body: value,
  };
}

/** All but printable ASCII, and the three characters that the binding names. */
function encode(text: string): string {
  return text.replace(/[^\x21-\x7e]|["%]/gu, (character) =>
    Array.from(Buffer.from(character), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}
