/**
 * Assembles what nginx serves to people: the page at / with all that belongs to it. `npm start` does it at its start, the image when it is
 * built: `node dist/ingress/site.js FOLDER`, after `npm run build`.
 */
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { readDocument } from '../functions/image/document.ts';
import { renderDocs, renderProblems } from './docs/pages.ts';

/** A file of the site. */
export interface SiteFile {
  /** Its path below the site: NAME.html is served as /NAME, too. */
  readonly name: string;
  readonly content: Buffer;
}

const root = fileURLToPath(new URL('../../', import.meta.url));
const modules = fileURLToPath(new URL('page/', import.meta.url));

/** Below /assets/HASH/: named after what is in all of them, so that a browser keeps them for ever. In html they are called /assets/NAME. */
function readAssets(): readonly SiteFile[] {
  return [
    read('docs.css', 'ingress/docs/docs.css'),
    ...['base.css', 'desk.css', 'answer.css', 'strip.css'].map((file) => read(file, `ingress/page/${file}`)),
    ...readdirSync(join(root, 'ingress', 'page')) // not of what is compiled: a module that is gone may still lie there
      .filter((file) => file.endsWith('.ts'))
      .map((file) => file.replace(/ts$/, 'js'))
      .map((name) => ({ name, content: readModule(join(modules, name)) })),
    ...['goldfish.jpg', 'school-bus.jpg', 'butterfly.jpg', 'hard.jpg', 'digit.jpg'].map((file) =>
      read(`samples/${file}`, `ingress/page/samples/${file}`),
    ),
    read('samples/notes.jpg', 'tests/images/test_image_4.jpg'), // a text
    read('samples/patch.tif', 'tests/images/patch.tif'),
  ];
}

/** Of names that stay, which a browser asks for each time. */
function readPages(): readonly SiteFile[] {
  const text = readDocument();
  const document = JSON.parse(text);
  return [
    read('index.html', 'ingress/page/index.html'),
    read('favicon.svg', 'ingress/page/favicon.svg'),
    { name: 'openapi.json', content: Buffer.from(text) },
    { name: 'docs.html', content: renderDocs(document) },
    { name: 'problems.html', content: renderProblems(document) },
  ];
}

function read(name: string, source: string): SiteFile {
  return { name, content: readFileSync(join(root, source)) };
}

// Without the line that names its source map, which is not served.
function readModule(path: string): Buffer {
  return Buffer.from(readFileSync(path, 'utf8').replace(/^\/\/# sourceMappingURL=.*\n?/m, ''));
}

/** All files of the site, as they are served. */
export function readSite(): readonly SiteFile[] {
  const assets = readAssets();
  const hash = createHash('sha256');
  for (const { name, content } of assets) hash.update(`${name}\0${content.length}\0`).update(content);
  const folder = `assets/${hash.digest('hex').slice(0, 16)}/`;
  return [
    ...readPages().map((page) => (page.name.endsWith('.html') ? nameAssets(page, folder) : page)),
    ...assets.map(({ name, content }) => ({ name: `${folder}${name}`, content })),
  ];
}

function nameAssets({ name, content }: SiteFile, folder: string): SiteFile {
  return { name, content: Buffer.from(content.toString('utf8').replaceAll('"/assets/', `"/${folder}`)) };
}

/** Writes the site into a folder, and beside each text what gzip makes of it, for nginx to send. Everyone may read it: nginx's workers run as another user. */
export function buildSite(folder: string): void {
  for (const { name, content } of readSite()) {
    const path = join(folder, name);
    makeFolder(dirname(path), folder);
    write(path, content);
    if (/\.(html|css|js|json|svg|yaml)$/.test(name)) write(`${path}.gz`, gzipSync(content, { level: 9 }));
  }
}

function makeFolder(path: string, top: string): void {
  if (path !== top) makeFolder(dirname(path), top);
  mkdirSync(path, { recursive: true });
  chmodSync(path, 0o755);
}

function write(path: string, content: Buffer): void {
  writeFileSync(path, content);
  chmodSync(path, 0o644);
}

const [, program = '', target] = process.argv;
if (program.endsWith('/site.js') && target !== undefined) buildSite(target);
