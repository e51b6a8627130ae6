import type { JobEvent } from '../../../functions/core/jobs/event.ts';

/** An event of a job that is nowhere, with these attributes in place of the usual ones. */
export function eventOf(attributes: Partial<JobEvent> = {}): JobEvent {
  return {
    specversion: '1.0',
    id: 'a'.repeat(26),
    source: '/jobs',
    type: 'io.understudy.job.v1',
    time: '2026-11-30T00:00:00.000Z',
    datacontenttype: 'application/json',
    data: {
      task: 'classify',
      parameters: { query: '', headers: {}, strict: false },
      photo: { uri: 'file:///nowhere', sha256: '0'.repeat(64), bytes: 1, mediaType: 'image/png' },
      deadline: '2026-12-01T00:00:00.000Z',
      requestId: 'request',
      attempts: 0,
    },
    ...attributes,
  };
}
