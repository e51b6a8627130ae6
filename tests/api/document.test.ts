import { describe, expect, it } from '@jest/globals';
import { Validator } from '@seriousme/openapi-schema-validator';
import { makeDocument } from '../../functions/image/document.ts';
import { operationsOf } from '../../ingress/docs/openapi.ts';
import { document, documentText } from '../support/document.ts';

/** What the official schema of OpenAPI says of a text. */
async function lint(text: string) {
  const validator = new Validator();
  const { valid } = await validator.validate(makeDocument(text) as Record<string, unknown>);
  return { valid, version: validator.version };
}

describe('functions/openapi.yaml', () => {
  it('is OpenAPI 3.1', async () => {
    expect(await lint(documentText)).toEqual({ valid: true, version: '3.1' });
  });

  it.each([
    ['a misspelt key', 'requestBody:', 'requestBodies:'],
    ['a header without a schema', 'schema: { type: string, pattern:', 'scheme: { type: string, pattern:'],
    ['a parameter in no place', 'in: query', 'in: body'],
    ['a response without a description', 'description: Predictions by falling score.', 'x-description: none'],
  ])('would not be with %s', async (_what, right, wrong) => {
    expect(documentText).toContain(right);

    expect((await lint(documentText.replace(right, wrong))).valid).toBe(false);
  });

  it('refers to what it has, and has nothing else', () => {
    const keys = document.security.flatMap((way) => Object.keys(way).map((name) => `securitySchemes/${name}`));
    const named = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/(\w+\/\w+)/g)].map(([, name]) => name);
    const referred = new Set([...keys, ...named]);
    const defined = Object.entries(document.components).flatMap(([kind, all]) =>
      Object.keys(all).map((name) => `${kind}/${name}`),
    );

    expect(referred).toEqual(new Set(defined));
  });

  it('has no PUT that is not the POST of its path', () => {
    const pairs = Object.values(document.paths).filter(({ post, put }) => post ?? put);

    expect(pairs.length).toBeGreaterThan(5);
    for (const { post, put } of pairs) {
      expect(put).toEqual({ ...post, operationId: `${post?.operationId}ByPut` });
    }
  });

  it('names each operation once', () => {
    const names = operationsOf(document).map(([, , { operationId }]) => operationId);

    expect(new Set(names).size).toBe(names.length);
  });
});
