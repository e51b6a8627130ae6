import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { documentedFetch } from '../support/documented.ts';
import type { RunningFunction } from '../support/function.ts';
import { form, photo } from '../support/posted.ts';
import { cleanAfterAll, expectFault } from '../support/served.ts';

const { startReady } = cleanAfterAll();

interface Sent {
  method?: string;
  headers?: Record<string, string>;
  body?: BodyInit;
}

const infer = '/v2/models/classify/infer';
const inBase64 = photo.toString('base64');
const json = { 'content-type': 'application/json' };

/** A request of the Open Inference Protocol in binary: JSON, then the length of the image and the image. */
function binary(request: object = {}, image: Buffer = photo): Sent {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(image.length);
  const parameters = { binary_data_size: image.length + 4 };
  const inputs = [{ name: 'image', shape: [1], datatype: 'BYTES', parameters }];
  const head = Buffer.from(JSON.stringify({ inputs, ...request }));
  return {
    headers: { 'inference-header-content-length': String(head.length) },
    body: Buffer.concat([head, length, image]),
  };
}

/** The same in JSON. */
function inJson(request: object = {}): Sent {
  const inputs = [{ name: 'image', shape: [1], datatype: 'BYTES', data: [inBase64] }];
  return { headers: json, body: JSON.stringify({ inputs, ...request }) };
}

/** An answer's JSON, and the bytes behind it. */
async function cut(answer: Response) {
  expect(answer.headers.get('content-type')).toBe('application/octet-stream');
  const body = Buffer.from(await answer.arrayBuffer());
  const length = Number(answer.headers.get('inference-header-content-length'));
  return [JSON.parse(body.toString('utf8', 0, length)), body.subarray(length)] as const;
}

describe.each([
  ['primary', 'wide-resnet', null],
  ['fallback', 'mobilenet', 'failover'],
] as const)('the doors of the %s function', (tier, model, reason) => {
  let fn: RunningFunction;
  const send = (path: string, { method = 'POST', headers = {}, body = new Uint8Array(photo) }: Sent = {}) =>
    documentedFetch(`${fn.url}${path}`, { method, headers, ...(method !== 'GET' && { body }) });
  /** What /classify says of the photo. */
  const classified = async (query = '') => (await send(`/classify${query}`)).json();

  beforeAll(async () => {
    fn = await startReady(tier);
  });

  it.each<[string, object, number]>([
    ['base64', { inputs: inBase64 }, 5],
    ['a data URL', { inputs: `data:image/jpeg;base64,${inBase64}` }, 5],
    ['as many predictions as it says', { inputs: inBase64, parameters: { top_k: 2 } }, 2],
  ])('POST /classify takes JSON with %s', async (_what, body, top) => {
    const answer = await send('/classify', { headers: json, body: JSON.stringify(body) });

    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual(await classified(`?top=${top}`));
  });

  it.each<[string, Sent]>([
    ['the photo', {}],
    ['a PUT', { method: 'PUT' }],
    ['a form', { body: form(photo) }],
    ['JSON', { headers: json, body: JSON.stringify({ inputs: inBase64 }) }],
  ])("POST /huggingface answers %s as Hugging Face's clients expect", async (_what, sent) => {
    const answer = await send('/huggingface', sent);

    const { predictions } = await classified();
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual(predictions.map(({ label, score }: never) => ({ label, score })));
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'application/json',
      'x-model': model,
      'x-tier': tier,
      ...(reason && { 'x-degraded': reason }),
    });
  });

  it('POST /predictions/classify answers as TorchServe does, in the order of scores', async () => {
    const answer = await send('/predictions/classify?top=3', { method: 'PUT' });

    const { predictions } = await classified('?top=3');
    expect(Object.entries(await answer.json())).toEqual(predictions.map(({ label, score }: never) => [label, score]));
    expect(answer.headers.get('x-model')).toBe(model);
  });

  it.each([
    ['binary', binary],
    ['JSON', inJson],
  ])('POST /v2/models/classify/infer answers a request in %s', async (_what, make) => {
    const answer = await send('/v2/models/classify/infer', make({ id: 'mine' }));

    const { predictions, version, degraded } = await classified();
    const column = (name: string) => predictions.map((prediction: Record<string, unknown>) => prediction[name]);
    expect(await answer.json()).toEqual({
      id: 'mine',
      model_name: model,
      model_version: version,
      parameters: { tier, degraded, ...(reason && { reason }) },
      outputs: [
        { name: 'label', datatype: 'BYTES', shape: [5], data: column('label') },
        { name: 'score', datatype: 'FP32', shape: [5], data: column('score') },
        { name: 'class', datatype: 'BYTES', shape: [5], data: column('class') },
      ],
    });
  });

  it('POST /v2/models/classify/infer gives the outputs that were asked for, and classes as Triton does', async () => {
    const outputs = [{ name: 'class' }, { name: 'score', parameters: { classification: 2 } }];
    const answer = await send('/v2/models/classify/infer', binary({ outputs }));

    const { predictions } = await classified('?top=2');
    const told = predictions.map(({ score, index, label }: Record<string, unknown>) => `${score}:${index}:${label}`);
    expect((await answer.json()).outputs).toEqual([
      { name: 'class', datatype: 'BYTES', shape: [2], data: predictions.map((one: { class: string }) => one.class) },
      { name: 'score', datatype: 'BYTES', shape: [2], data: told },
    ]);
  });

  it('POST /v2/models/classify/infer answers in binary where it is asked to', async () => {
    const whole = await send(infer, binary({ parameters: { binary_data_output: true } }));
    const outputs = [{ name: 'label' }, { name: 'score', parameters: { binary_data: true } }];
    const mixed = await send(infer, binary({ outputs }));

    const { predictions } = await classified();
    const sizeOf = (name: string) =>
      predictions.reduce((sum: number, one: never) => sum + 4 + String(one[name]).length, 0);
    const [wholeHead, wholeTail] = await cut(whole);
    expect(wholeHead.outputs).toEqual([
      { name: 'label', datatype: 'BYTES', shape: [5], parameters: { binary_data_size: sizeOf('label') } },
      { name: 'score', datatype: 'FP32', shape: [5], parameters: { binary_data_size: 20 } },
      { name: 'class', datatype: 'BYTES', shape: [5], parameters: { binary_data_size: sizeOf('class') } },
    ]);
    const [first] = predictions;
    expect(wholeTail.readUInt32LE(0)).toBe(first.label.length);
    expect(wholeTail.toString('latin1', 4, 4 + first.label.length)).toBe(first.label);
    expect(wholeTail).toHaveLength(sizeOf('label') + 20 + sizeOf('class'));
    const [mixedHead, mixedTail] = await cut(mixed);
    expect(mixedHead.outputs[0].data).toEqual(predictions.map((one: { label: string }) => one.label));
    expect(mixedTail.readFloatLE(0)).toBeCloseTo(first.score, 5);
    expect(mixedTail).toHaveLength(20);
  });

  it('describes what it infers where clients look for it', async () => {
    const get = async (path: string) => (await send(path, { method: 'GET' })).json();

    expect(await get('/v2')).toMatchObject({ extensions: ['binary_tensor_data', 'classification'] });
    expect(await get('/v2/models/classify/ready')).toEqual({ name: 'classify', ready: true });
    expect(await get('/v2/models/classify')).toEqual({
      name: 'classify',
      platform: 'understudy',
      inputs: [{ name: 'image', datatype: 'BYTES', shape: [1] }],
      outputs: [
        { name: 'label', datatype: 'BYTES', shape: [-1] },
        { name: 'score', datatype: 'FP32', shape: [-1] },
        { name: 'class', datatype: 'BYTES', shape: [-1] },
      ],
    });
  });

  const tensor = { name: 'image', shape: [1], datatype: 'BYTES' };
  const inferJson = (body: object): Sent => ({ headers: json, body: JSON.stringify(body) });

  it.each<[string, number, string, Sent]>([
    ['METHOD_NOT_ALLOWED', 405, '/huggingface', { method: 'GET' }],
    ['METHOD_NOT_ALLOWED', 405, infer, { method: 'GET' }],
    ['ROUTE_NOT_FOUND', 404, '/predictions/wide-resnet', {}],
    ['ROUTE_NOT_FOUND', 404, '/predictions/', {}],
    ['ROUTE_NOT_FOUND', 404, '/huggingface/', {}],
    ['METHOD_NOT_ALLOWED', 405, '/v2/models/classify', {}],
    ['UPLOAD_UNSUPPORTED', 415, '/huggingface', { headers: { 'content-type': 'text/plain' } }],
    ['UPLOAD_UNSUPPORTED', 415, infer, { ...binary(), headers: { 'content-encoding': 'gzip' } }],
    ['IMAGE_UNSUPPORTED', 422, '/huggingface', { body: readFileSync('tests/images/test_image_4.jpg') }],
    ['IMAGE_UNSUPPORTED', 422, infer, binary({}, Buffer.from('no image'))],
    ['PARAMETER_INVALID', 400, '/huggingface', inferJson({ inputs: 'http://127.0.0.1/photo.jpg' })],
    ['PARAMETER_INVALID', 400, '/classify', inferJson({ inputs: inBase64, parameters: { top_k: 21 } })],
    ['PARAMETER_INVALID', 400, '/classify', inferJson({ inputs: inBase64, parameters: { top_k: 1.5 } })],
    ['UPLOAD_EMPTY', 400, '/classify', inferJson({ inputs: '' })],
    ['UPLOAD_EMPTY', 400, '/huggingface', { headers: json, body: '' }],
    ['UPLOAD_EMPTY', 400, infer, binary({}, Buffer.alloc(0))],
    ['UPLOAD_EMPTY', 400, infer, inferJson({ inputs: [tensor] })],
    ['UPLOAD_MALFORMED', 400, infer, {}],
    ['UPLOAD_MALFORMED', 400, infer, { ...binary(), headers: {} }],
    ['PARAMETER_INVALID', 400, infer, { ...binary(), headers: { 'inference-header-content-length': '99999999' } }],
    ['PARAMETER_INVALID', 400, infer, inferJson({ inputs: [] })],
    ['PARAMETER_INVALID', 400, infer, inferJson({ inputs: [tensor, tensor] })],
    ['PARAMETER_INVALID', 400, infer, inferJson({ inputs: [{ ...tensor, name: 'text', data: [inBase64] }] })],
    ['PARAMETER_INVALID', 400, infer, inferJson({ inputs: [{ ...tensor, datatype: 'UINT8', data: [1] }] })],
    ['PARAMETER_INVALID', 400, infer, inferJson({ inputs: [{ ...tensor, shape: [2], data: [inBase64] }] })],
    ['PARAMETER_INVALID', 400, infer, inferJson({ inputs: [{ ...tensor, data: [inBase64, inBase64] }] })],
    ['PARAMETER_INVALID', 400, infer, binary({ outputs: [{ name: 'logits' }] })],
    ['PARAMETER_INVALID', 400, infer, binary({ outputs: [{ name: 'score', parameters: { classification: 21 } }] })],
    ['UPLOAD_MALFORMED', 400, infer, binary({ inputs: [{ ...tensor, parameters: { binary_data_size: 5 } }] })],
    [
      'UPLOAD_MALFORMED',
      400,
      infer,
      { ...binary(), body: Buffer.concat([binary().body as Buffer, Buffer.from('more')]) },
    ],
  ])('answers %s, %i at %s', async (code, status, path, sent) => {
    const answer = await send(path, sent);

    const problem = answer.clone().json();
    await expectFault(answer, code, status);
    const { detail, error } = await problem;
    const isKnown = status !== 404 && status !== 405; // before that no door was entered
    expect(error).toBe(isKnown && path !== '/classify' ? detail : undefined);
  });

  it('takes the largest photo in base64 that fits into the largest body, and no more', async () => {
    const most = 10_485_760 + 65_536;
    const frame = JSON.stringify({ inputs: '' }).length;
    const fill = (length: number) => JSON.stringify({ inputs: 'A'.repeat(length - frame) });

    // Zeros are no image, which is found out after the body was taken.
    await expectFault(await send('/classify', { headers: json, body: fill(most) }), 'IMAGE_UNSUPPORTED', 422);
    await expectFault(await send('/classify', { headers: json, body: fill(most + 4) }), 'UPLOAD_TOO_LARGE', 413);
  });

  it('takes a photo of 10 MB in binary, and no more', async () => {
    const zeros = (size: number) => send(infer, binary({}, Buffer.alloc(size)));

    await expectFault(await zeros(10_485_760), 'IMAGE_UNSUPPORTED', 422);
    await expectFault(await zeros(10_485_761), 'UPLOAD_TOO_LARGE', 413);
  });

  it('logs the door', async () => {
    await send('/predictions/classify', { headers: { 'x-request-id': 'by-door' } });
    const lines = () => fn.lines.filter(({ requestId }) => requestId === 'by-door');
    while (lines().length === 0) await new Promise((resolve) => setTimeout(resolve, 10));

    expect(lines()).toMatchObject([{ route: 'classify', door: 'torchserve', status: 200, model }]);
  });
});
