import { readFileSync } from 'node:fs';
import { makeDocument } from '../../functions/image/document.ts';
import { type Document, resolverOf } from '../../ingress/docs/openapi.ts';

export const documentText = readFileSync('functions/openapi.yaml', 'utf8');

/** functions/openapi.yaml */
export const document = makeDocument(documentText) as Document;

export const resolve = resolverOf(document);
