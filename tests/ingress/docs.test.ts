import { beforeAll, describe, expect, it } from '@jest/globals';
import { problemType } from '../../functions/core/problem.ts';
import { operationsOf } from '../../ingress/docs/openapi.ts';
import { type Sent, send } from '../support/client.ts';
import { document } from '../support/document.ts';
import { useIngress } from '../support/ingress.ts';

const ingress = useIngress();
const get = (path: string) => send(ingress.nginx.origin, { path, method: 'GET' });

beforeAll(() => ingress.start());

/** The section of a page with this anchor, without its tags. */
function sectionOf(html: string, anchor: string): string | undefined {
  const [, section] = new RegExp(`<section [^>]*id="${anchor}">(.*?)</section>`, 's').exec(html) ?? [];
  return section?.replaceAll(/<[^>]+>/g, '').replaceAll('&quot;', '"');
}

describe('/openapi.json', () => {
  it('is functions/openapi.yaml, which a browser asks for each time', async () => {
    const { status, headers, text } = await get('/openapi.json');

    expect([status, headers['content-type'], headers['cache-control']]).toEqual([200, 'application/json', 'no-cache']);
    expect(JSON.parse(text)).toEqual(document);
  });
});

describe.each(['/docs', '/problems'])('%s', (path) => {
  it('is HTML without scripts, in the style of the page and with its policy', async () => {
    const [docs, page] = [await get(path), await get('/')];

    expect(docs.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(docs.headers['content-security-policy']).toBe(page.headers['content-security-policy']);
    expect(docs.text).toMatch(/^<!doctype html>\n<html lang="en">.*<\/html>\n$/s);
    expect(docs.text).not.toMatch(/<script|<style| style=| on\w+=|undefined|\[object/);
  });

  it('links to what exists, on its own origin', async () => {
    const { text } = await get(path);
    const links = [...text.matchAll(/ (?:href|src)="([^"]+)"/g)].map(([, link = '']) => link);

    expect(links.length).toBeGreaterThan(20);
    for (const link of new Set(links)) {
      const { origin, pathname, hash } = new URL(link, `${ingress.nginx.origin}${path}`);
      const target = await get(pathname);
      expect([link, origin, target.status]).toEqual([link, ingress.nginx.origin, 200]);
      if (hash !== '') expect(sectionOf(target.text, hash.slice(1))).toBeDefined();
    }
  });
});

describe('/docs', () => {
  it.each(
    operationsOf(document).map(([method, path, operation]) => [`${method.toUpperCase()} ${path}`, operation] as const),
  )('tells of %s what it takes and answers', async (name, { operationId, summary, parameters = [], responses }) => {
    const section = sectionOf((await get('/docs')).text, operationId);

    expect(section).toContain(name);
    expect(section).toContain(summary.replaceAll('`', ''));
    for (const status of Object.keys(responses)) expect(section).toContain(`\n${status}`);
    for (const parameter of parameters) if ('name' in parameter) expect(section).toContain(parameter.name);
  });
});

describe('/problems', () => {
  it.each(Object.entries(document.components.examples))('explains %s where its type leads', async (code, example) => {
    const { pathname, hash } = new URL(problemType(code), ingress.nginx.origin);
    const section = sectionOf((await get(pathname)).text, hash.slice(1));

    for (const text of [code, String(example.value.title), String(example.value.status)])
      expect(section).toContain(text);
    expect(section).toContain(example.summary.replaceAll('`', '').trim());
    expect(section).toContain(example.description.replaceAll('`', '').trim());
  });

  it.each<[string, Sent]>([
    ['UPLOAD_UNSUPPORTED', { body: Buffer.from('x'), headers: { 'content-encoding': 'gzip' } }],
    ['METHOD_NOT_ALLOWED', { method: 'GET' }],
    ['ROUTE_NOT_FOUND', { path: '/nowhere' }],
  ])('is where an answer leads: %s', async (code, sent) => {
    const { type } = JSON.parse((await send(ingress.nginx.origin, sent)).text);

    const { pathname, hash } = new URL(type, ingress.nginx.origin);
    expect(sectionOf((await get(pathname)).text, hash.slice(1))).toContain(code);
  });
});
