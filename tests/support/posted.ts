import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { documentedFetch } from './documented.ts';

/** What `post` sends unless told otherwise. */
export const photo = readFileSync('tests/images/test_image_1.jpg');

export function post(url: string, { query = '', headers = {}, body = photo as BodyInit } = {}): Promise<Response> {
  return documentedFetch(`${url}/classify${query}`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'image/jpeg', ...headers },
  });
}

export function form(...files: Uint8Array[]): FormData {
  const data = new FormData();
  for (const file of files) data.append('image', new Blob([new Uint8Array(file)]), 'photo.jpg');
  return data;
}

/** The answer to an upload without a Content-Type. */
export async function sendBare(port: number, path = '/classify', body = photo): Promise<unknown> {
  const sent = httpRequest({ port, path, method: 'POST', headers: { 'content-length': body.length } });
  sent.end(body);
  const [response] = await once(sent, 'response');
  return JSON.parse(Buffer.concat(await response.toArray()).toString());
}

/** Sends bytes on a plain connection and gives back all that came until it was closed. */
export async function raw(port: number, ...chunks: (string | Buffer)[]): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk;
  });
  socket.on('error', () => {});
  for (const chunk of chunks) socket.write(chunk);
  await once(socket, 'close');
  return answer;
}
