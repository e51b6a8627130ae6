import { randomBytes } from 'node:crypto';

/** Where a request belongs, as W3C's `traceparent` tells it. */
export interface TraceContext {
  /** 32 lowercase hexadecimal digits. */
  readonly traceId: string;
  /** 16 of them: the span that sent the request; undefined where none did. */
  readonly parentId: string | undefined;
  /** Whether the sender has chosen this trace to be recorded. */
  readonly isSampled: boolean;
}

export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** A span that has ended. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string | undefined;
  readonly name: string;
  readonly kind: 'internal' | 'server' | 'client';
  /** Milliseconds since 1970, with a fraction. */
  readonly startMs: number;
  readonly ms: number;
  /** Those that are undefined are left out. */
  readonly attributes: Attributes;
  readonly isFailed: boolean;
}

/** The context that version 00 of `traceparent` names; undefined for anything else, several of them included. */
export function readTraceparent(header: string | string[] | undefined): TraceContext | undefined {
  const [, traceId, parentId, flags] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(String(header)) ?? [];
  if (traceId === undefined || parentId === undefined || /^0*$/.test(traceId) || /^0*$/.test(parentId))
    return undefined;
  return { traceId, parentId, isSampled: (Number(`0x${flags}`) & 1) === 1 };
}

/** A trace that begins here. */
export function beginTrace(): TraceContext {
  return { traceId: randomBytes(16).toString('hex'), parentId: undefined, isSampled: true };
}

export function makeSpanId(): string {
  return randomBytes(8).toString('hex');
}
