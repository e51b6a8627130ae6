import { describe, expect, it } from '@jest/globals';
import { judgeUploadHeaders, maxBodyBytes } from '../../functions/core/http/upload.ts';

const maxUploadBytes = 1000;
const rules = { mediaTypes: ['image/*', 'application/octet-stream'], maxUploadBytes };
const form = { 'content-type': 'multipart/form-data; boundary=x' };
const envelope = { open: () => ({ bytes: Buffer.alloc(0), ask: undefined }) };
const raw = { 'content-type': 'image/jpeg' };

describe('judgeUploadHeaders', () => {
  it.each([
    'image/jpeg',
    'image/anything-at-all',
    'IMAGE/PNG; q=1',
    'application/octet-stream',
    'multipart/form-data; boundary=x',
    'Multipart/Form-Data; boundary="with spaces"',
    '',
    undefined,
  ])('takes the Content-Type %s', (contentType) => {
    const headers = contentType === undefined ? {} : { 'content-type': contentType };

    expect(() => judgeUploadHeaders(headers, rules)).not.toThrow();
  });

  it.each([
    'text/plain',
    'application/json',
    'application/x-www-form-urlencoded',
    'multipart/mixed; boundary=x',
    'image/',
    'not-a-type',
  ])('refuses the Content-Type %s with UPLOAD_UNSUPPORTED', (contentType) => {
    expect(() => judgeUploadHeaders({ 'content-type': contentType }, rules)).toThrow(
      expect.objectContaining({ code: 'UPLOAD_UNSUPPORTED' }),
    );
  });

  it.each(['gzip', 'br', 'identity, gzip'])('refuses the Content-Encoding %s with UPLOAD_UNSUPPORTED', (encoding) => {
    expect(() => judgeUploadHeaders({ ...raw, 'content-encoding': encoding }, rules)).toThrow(
      expect.objectContaining({ code: 'UPLOAD_UNSUPPORTED' }),
    );
  });

  it('takes the Content-Encoding identity', () => {
    expect(() => judgeUploadHeaders({ ...raw, 'content-encoding': 'Identity' }, rules)).not.toThrow();
  });

  it.each([
    'multipart/form-data',
    'multipart/form-data; charset=utf-8',
    'multipart/form-data; boundary',
    'multipart/form-data; boundary=',
    'multipart/form-data; boundary=""',
    'multipart/form-data; boundary="x',
    'multipart/form-data; boundary="x\\"',
    'multipart/form-data; boundary="x"y',
    'multipart/form-data; charset="; boundary=x"',
  ])('refuses %s, which names no boundary, with UPLOAD_MALFORMED', (contentType) => {
    expect(() => judgeUploadHeaders({ 'content-type': contentType }, rules)).toThrow(
      expect.objectContaining({
        code: 'UPLOAD_MALFORMED',
        message: 'Expected a boundary for the multipart/form-data Content-Type but received none that can be read',
      }),
    );
  });

  it.each([
    ['raw', raw, 999],
    ['raw', raw, 1000],
    ['multipart', form, 1000 + 64 * 1024 - 1],
    ['multipart', form, 1000 + 64 * 1024],
  ])('takes a %s body of a declared length up to the limit', (_, headers, length) => {
    expect(() => judgeUploadHeaders({ ...headers, 'content-length': String(length) }, rules)).not.toThrow();
  });

  it.each([
    ['raw', raw, 1001],
    ['multipart', form, 1001 + 64 * 1024],
  ])('refuses a %s body declared one byte longer with UPLOAD_TOO_LARGE', (_, headers, length) => {
    expect(() => judgeUploadHeaders({ ...headers, 'content-length': String(length) }, rules)).toThrow(
      expect.objectContaining({ code: 'UPLOAD_TOO_LARGE' }),
    );
  });

  it.each([
    ['raw', raw],
    ['multipart', form],
  ])('refuses a %s body declared empty with UPLOAD_EMPTY', (_, headers) => {
    expect(() => judgeUploadHeaders({ ...headers, 'content-length': '0' }, rules)).toThrow(
      expect.objectContaining({ code: 'UPLOAD_EMPTY' }),
    );
  });
});

describe('maxBodyBytes', () => {
  it.each([
    ['raw', raw, 1000],
    ['multipart', form, 1000 + 64 * 1024],
  ])('leaves a %s body room for the upload and what surrounds it', (_, headers, expected) => {
    expect(maxBodyBytes(headers, { maxUploadBytes })).toBe(expected);
    expect(maxBodyBytes(headers, { maxUploadBytes, envelope })).toBe(1000 + 64 * 1024);
  });
});
