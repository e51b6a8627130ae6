import { describe, expect, it } from '@jest/globals';
import { loadBoot, loadConfig } from '../../functions/core/config.ts';
import { classify } from '../../functions/tasks/classify/task.ts';

describe('loadConfig', () => {
  it('has the defaults of the contract', () => {
    expect(loadConfig(classify, 3, {})).toEqual({
      maxUploadBytes: 10_485_760,
      deadlineMs: 5000,
      primaryBudgetMs: 1000,
      workers: 3,
      modelsDir: 'models',
      models: [
        { folder: 'wide-resnet', embedded: 'wide-resnet' },
        { folder: 'mobilenet', embedded: 'mobilenet' },
      ],
      settings: { maxPixels: 40_000_000 },
      shadowShare: 0,
      drainMs: 25_000,
      wakeUrl: '',
      peerUrl: '',
      revision: '',
      logLevel: 'info',
    });
  });

  it.each([
    ['MAX_UPLOAD_BYTES', '1', 'maxUploadBytes', 1],
    ['MAX_UPLOAD_BYTES', '1073741824', 'maxUploadBytes', 1_073_741_824],
    ['MAX_PIXELS', '1', 'settings.maxPixels', 1],
    ['MAX_PIXELS', '268402689', 'settings.maxPixels', 268_402_689],
    ['DEADLINE_MS', '30000', 'deadlineMs', 30_000],
    ['PRIMARY_BUDGET_MS', '4999', 'primaryBudgetMs', 4999],
    ['WORKERS', '64', 'workers', 64],
    ['DRAIN_MS', '0', 'drainMs', 0],
    ['LOG_LEVEL', 'silent', 'logLevel', 'silent'],
    ['MODELS_DIR', 'elsewhere', 'modelsDir', 'elsewhere'],
    ['WORKERS', '', 'workers', 2],
    ['PRIMARY_MODEL', 'wide-resnet-50-2@imagenet_1.k-2', 'models.0.folder', 'wide-resnet-50-2@imagenet_1.k-2'],
    ['PRIMARY_MODEL', '', 'models.0.folder', 'wide-resnet'],
    ['FALLBACK_MODEL', 'mobilenet@2', 'models.1.folder', 'mobilenet@2'],
    ['SHADOW_SHARE', '0', 'shadowShare', 0],
    ['SHADOW_SHARE', '.05', 'shadowShare', 0.05],
    ['SHADOW_SHARE', '1', 'shadowShare', 1],
    ['WAKE_URL', 'http://ingress:8081/readyz', 'wakeUrl', 'http://ingress:8081/readyz'],
    ['WAKE_URL', '', 'wakeUrl', ''],
    ['PEER_URL', 'http://ingress:8081/primary/readyz', 'peerUrl', 'http://ingress:8081/primary/readyz'],
    ['PEER_URL', '', 'peerUrl', ''],
    ['K_REVISION', 'classify-primary-00012', 'revision', 'classify-primary-00012'],
    ['K_REVISION', '', 'revision', ''],
  ])('takes %s=%s', (name, text, field, value) => {
    expect(loadConfig(classify, 2, { [name]: text })).toHaveProperty(field, value);
  });

  it.each([
    ['MAX_UPLOAD_BYTES', '0', 'a whole number from 1 to 1073741824'],
    ['MAX_UPLOAD_BYTES', '1073741825', 'a whole number from 1 to 1073741824'],
    ['MAX_PIXELS', '268402690', 'a whole number from 1 to 268402689'],
    ['DEADLINE_MS', '30001', 'a whole number from 1 to 30000'],
    ['PRIMARY_BUDGET_MS', '-1', 'a whole number from 1 to 30000'],
    ['WORKERS', '65', 'a whole number from 1 to 64'],
    ['WORKERS', '1.5', 'a whole number from 1 to 64'],
    ['WORKERS', '0x10', 'a whole number from 1 to 64'],
    ['DRAIN_MS', 'soon', 'a whole number from 0 to 600000'],
    ['PRIMARY_MODEL', '../models', 'a model folder, NAME or NAME@VERSION,'],
    ['PRIMARY_MODEL', 'a/b', 'a model folder, NAME or NAME@VERSION,'],
    ['PRIMARY_MODEL', '..', 'a model folder, NAME or NAME@VERSION,'],
    ['PRIMARY_MODEL', 'wide resnet', 'a model folder, NAME or NAME@VERSION,'],
    ['FALLBACK_MODEL', 'mobilenet@', 'a model folder, NAME or NAME@VERSION,'],
    ['FALLBACK_MODEL', '@2', 'a model folder, NAME or NAME@VERSION,'],
    ['SHADOW_SHARE', '1.1', 'a number from 0 to 1'],
    ['SHADOW_SHARE', '-0.1', 'a number from 0 to 1'],
    ['SHADOW_SHARE', '5%', 'a number from 0 to 1'],
    ['SHADOW_SHARE', '.', 'a number from 0 to 1'],
    ['WAKE_URL', 'ingress:8081/readyz', 'an http URL'],
    ['WAKE_URL', 'https://ingress/readyz', 'an http URL'],
    ['WAKE_URL', '/readyz', 'an http URL'],
    ['PEER_URL', 'ingress:8081/readyz', 'an http URL'],
    ['K_REVISION', 'Primary', 'lower-case letters, digits, - and .'],
    ['K_REVISION', 'a b', 'lower-case letters, digits, - and .'],
  ])('refuses %s=%s', (name, text, expected) => {
    expect(() => loadConfig(classify, 2, { [name]: text })).toThrow(
      `Expected ${expected} for ${name} but received "${text}"`,
    );
  });

  it('refuses a budget that is not below the deadline', () => {
    expect(() => loadConfig(classify, 2, { DEADLINE_MS: '1000' })).toThrow(
      'Expected less than DEADLINE_MS (1000) for PRIMARY_BUDGET_MS but received "1000"',
    );
  });

  it.each([
    [{ PRIMARY_MODEL: 'mobilenet' }, 'mobilenet', 'mobilenet'],
    [{ FALLBACK_MODEL: 'wide-resnet@2' }, 'wide-resnet', 'wide-resnet@2'],
  ])('refuses two models of one name: %j', (env, leading, other) => {
    expect(() => loadConfig(classify, 2, env)).toThrow(
      `Expected another model than PRIMARY_MODEL's (${leading}) for FALLBACK_MODEL but received "${other}"`,
    );
  });

  it.each([
    ['', ['net', 'rule']],
    ['net', ['net', 'rule']],
    ['large', ['large', 'net', 'rule']],
    ['net@2', ['net@2', 'rule']],
    ['rule', ['rule', 'net']],
  ])('serves each model once in a chain of three: %j', (chosen, folders) => {
    const models = [{ embedded: 'net', variable: 'NET' }, { embedded: 'net' }, { embedded: 'rule' }] as const;
    const config = loadConfig({ ...classify, models }, 2, { NET: chosen });

    expect(config.models.map(({ folder }) => folder)).toEqual(folders);
    expect(config.models[0]?.embedded).toBe('net');
  });

  it('reports all faults at once', () => {
    expect(() => loadConfig(classify, 2, { WORKERS: 'many', WAKE_URL: 'ingress', LOG_LEVEL: 'loud' })).toThrow(
      /WORKERS.*\n.*WAKE_URL.*\n.*LOG_LEVEL/,
    );
  });
});

describe('loadBoot', () => {
  const targets = ['primary', 'fallback'];

  it('listens on 8080 for the primary unless told otherwise', () => {
    expect(loadBoot(targets, {})).toEqual({ port: 8080, target: 'primary' });
    expect(loadBoot(targets, { PORT: '0', FUNCTION_TARGET: 'fallback' })).toEqual({ port: 0, target: 'fallback' });
  });

  it('reports all faults at once', () => {
    expect(() => loadBoot(targets, { PORT: '65536', FUNCTION_TARGET: 'other' })).toThrow(
      /PORT.*"65536"\n.*FUNCTION_TARGET.*"other"/,
    );
  });
});
