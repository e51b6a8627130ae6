import { isKey } from './store.ts';

/** Whether a text names a bucket: s3://BUCKET, or s3://BUCKET/PREFIX with or without a slash at its end. */
export function isS3Address(text: string): boolean {
  const { bucket, prefix } = readAddress(text);
  return text.startsWith('s3://') && /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket) && isKey(`${prefix}key`);
}

export function readAddress(address: string): { readonly bucket: string; readonly prefix: string } {
  const [bucket = '', ...folders] = address.replace(/^s3:\/\//, '').split('/');
  const names = folders.filter((name) => name !== '');
  return { bucket, prefix: names.map((name) => `${name}/`).join('') };
}

/** The address of a key in a bucket. */
export function uriOf(address: string, key: string): string {
  const { bucket, prefix } = readAddress(address);
  return `s3://${bucket}/${prefix}${key}`;
}
