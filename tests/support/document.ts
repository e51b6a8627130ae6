import { readFileSync } from 'node:fs';
import { type Document, resolverOf } from '../../ingress/docs/openapi.ts';
import { load } from './yaml.ts';

export const documentText = readFileSync('functions/openapi.yaml', 'utf8');

/** functions/openapi.yaml */
export const document = load(documentText) as Document;

export const resolve = resolverOf(document);
