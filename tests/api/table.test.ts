import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { readParameters } from '../../functions/core/http/request.ts';
import { jobProblems } from '../../functions/core/jobs/problems.ts';
import { problems as common, problemType } from '../../functions/core/problem.ts';
import { parseAsk as parseClassify } from '../../functions/tasks/classify/ask.ts';
import { classify } from '../../functions/tasks/classify/task.ts';
import { parseAsk as parseClouds } from '../../functions/tasks/clouds/ask.ts';
import { clouds } from '../../functions/tasks/clouds/task.ts';
import { digitProblems } from '../../functions/tasks/digits/problems.ts';
import { digits } from '../../functions/tasks/digits/task.ts';
import { imageProblems } from '../../functions/tasks/image/problems.ts';
import { readImageSettings } from '../../functions/tasks/image/settings.ts';
import { type Answer, type Operation, operationsOf, type Parameter, type Schema } from '../../ingress/docs/openapi.ts';
import { document, resolve } from '../support/document.ts';

const problems = { ...common, ...imageProblems, ...digitProblems, ...jobProblems };
const codes = Object.keys(problems).sort();
const readme = readFileSync('README.md', 'utf8');
const nginx = readFileSync('ingress/nginx.conf', 'utf8');
const { examples, schemas, responses } = document.components;

/** Every response that answers problems, with its codes and its status. */
const answers = Object.entries(responses).flatMap(([name, { content = {} }]) => {
  const { schema, examples = {} } = content['application/problem+json'] ?? {};
  if (schema === undefined) return [];
  const [, { properties }] = (schema as { allOf: [object, { properties: Properties }] }).allOf;
  const { code, status } = properties;
  return [{ name, codes: code.enum ?? [String(code.const)], status: status.const, examples: Object.keys(examples) }];
});

interface Properties {
  readonly code: { readonly const?: string; readonly enum?: readonly string[] };
  readonly status: { readonly const: number };
}

describe('the codes of problems', () => {
  it('are the same in code and document, each with an example', () => {
    expect([...(schemas.Code?.enum ?? [])].sort()).toEqual(codes);
    expect(Object.keys(examples).sort()).toEqual(codes);
    expect([...new Set(answers.flatMap((answer) => answer.codes))].sort()).toEqual(codes);
  });

  it.each(codes)('%s has the same type, title and status in code, document and README', (code) => {
    const { status, title } = problems[code as keyof typeof problems];
    const type = problemType(code);

    expect(examples[code]?.value).toMatchObject({ type, title, status, code });
    expect(readme).toMatch(new RegExp(`^\\| \`${code}\` \\| ${status} \\|`, 'm'));
    for (const answer of answers.filter((answer) => answer.codes.includes(code))) expect(answer.status).toBe(status);
  });

  it.each(codes)('%s says when it is answered and what to do', (code) => {
    expect(examples[code]?.summary).toMatch(/^[A-Z].*\.$/s);
    expect(examples[code]?.description).toMatch(/^[A-Z].*\.$/s);
  });

  it.each(answers)('of $name are those of its examples', (answer) => {
    expect(answer.examples).toEqual(answer.codes);
  });

  it('are those of nginx.conf, with type, title and status', () => {
    const told = [...nginx.matchAll(/return (\d+) '(\{"type".*\})';/g)].map(([, status, text]) => ({
      status: Number(status),
      problem: JSON.parse(String(text)),
    }));

    expect(told.length).toBeGreaterThan(10);
    for (const { status, problem } of told) {
      const { code } = problem as { code: keyof typeof problems };
      expect(problem).toMatchObject({ type: problemType(code), ...problems[code], status });
    }
  });
});

/** The operation by which a task is asked. */
function operationOf(path: string): Operation {
  return document.paths[path]?.post as Operation;
}

function schemaOf(path: string, name: string): Schema {
  const parameters = operationOf(path).parameters?.map((parameter) => resolve<Parameter>(parameter)) ?? [];
  return parameters.find((parameter) => parameter.name === name)?.schema as Schema;
}

describe('the limits of uploads', () => {
  const { maxPixels } = readImageSettings((_name, { fallback }) => fallback);

  it.each([
    [classify, maxPixels],
    [digits, maxPixels],
    [clouds, undefined],
  ])('are the same in code, document and nginx.conf: $path', ({ path, defaults }, pixels) => {
    const { maxUploadBytes: uploadBytes, deadlineMs } = defaults;

    expect(operationOf(path)['x-limits']).toEqual({
      uploadBytes,
      deadlineMs,
      maxDeadlineMs: schemaOf(path, 'X-Deadline-Ms').maximum,
      ...(pixels !== undefined && { pixels }),
    });
    const [, largest = ''] = /map \$uri \$largest \{ (.*) \}/.exec(nginx) ?? [];
    const ofPath = new RegExp(`${path} (\\d+);`).exec(largest) ?? /default (\d+);/.exec(largest);
    expect(Number(ofPath?.[1])).toBe(uploadBytes);
  });

  it('are those of the README', () => {
    expect(readme).toContain('at most 10 MB and 40 megapixels');
    expect(operationOf('/classify')['x-limits']).toMatchObject({ uploadBytes: 10 * 1024 ** 2, pixels: 40e6 });
    expect(readme).toContain('a GeoTIFF of at most 16 MB');
    expect(operationOf('/infer')['x-limits']).toMatchObject({ uploadBytes: 16 * 1024 ** 2 });
    const { deadlineMs, maxDeadlineMs } = operationOf('/classify')['x-limits'] ?? {};
    const { deadlineMs: longer } = operationOf('/infer')['x-limits'] ?? {};
    expect(readme).toContain(`1 to ${maxDeadlineMs} ms, default ${deadlineMs}, for \`/infer\` ${longer};`);
  });
});

describe('the bounds of parameters', () => {
  const ask = (parse: typeof parseClassify | typeof parseClouds, name: string) => (value: number) =>
    parse(new URLSearchParams({ [name]: String(value) }), {});
  const patience = (value: number) => readParameters({ 'x-deadline-ms': String(value) }, 5000, undefined);

  it.each<[string, string, (value: number) => object, number]>([
    ['/classify', 'top', ask(parseClassify, 'top'), 1],
    ['/classify', 'min_score', ask(parseClassify, 'min_score'), 0.001],
    ['/infer', 'dilate', ask(parseClouds, 'dilate'), 1],
    ['/classify', 'X-Deadline-Ms', patience, 1],
    ['/infer', 'X-Deadline-Ms', patience, 1],
  ])('of %s: %s is taken at them and refused beyond', (path, name, take, step) => {
    const { minimum, maximum } = schemaOf(path, name) as { minimum: number; maximum: number };

    for (const right of [minimum, maximum]) expect(() => take(right)).not.toThrow();
    for (const wrong of [minimum - step, maximum + step])
      expect(() => take(wrong)).toThrow(/^Expected .* but received/);
  });

  it('are the README\'s "1 to 20 predictions, default 5"', () => {
    const { minimum, maximum, default: usual } = schemaOf('/classify', 'top');

    expect(readme).toContain(`${minimum} to ${maximum} predictions, default ${usual};`);
    expect(parseClassify(new URLSearchParams(), {}).top).toBe(usual);
  });
});

describe('what a page of another origin may send and read', () => {
  const listed = (map: string) => new RegExp(`\\$${map} \\{.* "([A-Z][^"]+)"; `).exec(nginx)?.[1]?.split(', ') ?? [];
  const operations = operationsOf(document).map(([, , operation]) => operation);
  /** Browsers send, answer and hide these themselves, or always let a page have them; X-Reason is told to nginx alone. */
  const ofNoPage = /^(?:Origin|Access-Control-.*|Timing-.*|Accept|Content-Language|Vary|WWW-Authenticate|X-Reason)$/;

  it('are all headers of its operations', () => {
    const parameters = operations.flatMap(({ parameters = [] }) => parameters.map((one) => resolve<Parameter>(one)));
    const sent = parameters.filter((one) => one.in === 'header' && !ofNoPage.test(one.name)).map(({ name }) => name);

    expect(sent.length).toBeGreaterThan(10);
    expect(listed('cors_headers')).toEqual(expect.arrayContaining(sent));
  });

  it('are all headers of its answers', () => {
    const answered = operations.flatMap(({ responses }) => Object.values(responses).map((one) => resolve<Answer>(one)));
    const told = answered.flatMap(({ headers = {} }) => Object.keys(headers)).filter((name) => !ofNoPage.test(name));

    expect(told.length).toBeGreaterThan(10);
    expect(listed('cors_exposed')).toEqual(expect.arrayContaining(told));
  });
});

describe('the version', () => {
  it("is the package's", () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8'));

    expect(document.info.version).toBe(version);
  });
});
