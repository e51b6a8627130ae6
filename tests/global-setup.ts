import { ensureNginx } from '../ingress/install.ts';

/** nginx is there before any test file asks for it, so that no two of them install it at once. */
export default async function setUp(): Promise<void> {
  await ensureNginx();
}
