import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from '../support/yaml.ts';

/** Text of files by path; the tests plant faults in copies. */
export type Files = Readonly<Record<string, string>>;

export type Tree = Readonly<Record<string, unknown>>;

export const paths = {
  publish: '.github/workflows/publish.yml',
  cd: '.github/workflows/cd.yml',
  ci: '.github/workflows/ci.yml',
  gitlab: '.gitlab-ci.yml',
  azure: 'azure-pipelines.yml',
  compose: 'compose.yaml',
  composeJobs: 'compose.jobs.yaml',
  recipe: 'functions/Dockerfile',
  images: 'tests/cluster/images.sh',
  deploy: '.github/scripts/deploy.sh',
  package: 'package.json',
} as const;

/** What delivery consists of. */
export function readFiles(): Files {
  const all = [...Object.values(paths), ...listed('.github/workflows'), ...listed('.github/scripts')];
  return Object.fromEntries(all.map((path) => [path, readFileSync(path, 'utf8')]));
}

const listed = (folder: string) => readdirSync(folder).map((name) => join(folder, name));

export function parse(files: Files, path: string): Tree {
  return load(String(files[path])) as Tree;
}

/** The GitHub workflows, by path. */
export function workflows(files: Files): readonly [path: string, workflow: Tree][] {
  const found = Object.keys(files).filter((path) => path.startsWith('.github/workflows/'));
  return found.map((path) => [path, parse(files, path)]);
}

/** The part of a tree under some keys; an empty one where there is none. */
export function at(tree: unknown, ...keys: readonly string[]): Tree {
  const found = keys.reduce<unknown>((part, key) => (part as Tree | undefined)?.[key], tree);
  return (found ?? {}) as Tree;
}

/** Every value with the given key, in the order of the file. */
export function valuesOf(tree: unknown, wanted: string): readonly unknown[] {
  if (!(tree instanceof Object)) return [];
  return Object.entries(tree).flatMap(([key, value]) => [
    ...(key === wanted ? [value] : []),
    ...valuesOf(value, wanted),
  ]);
}

/** Every text in a tree, in the order of the file. */
export function textsOf(tree: unknown): readonly string[] {
  if (typeof tree === 'string') return [tree];
  return tree instanceof Object ? Object.values(tree).flatMap(textsOf) : [];
}

/** The scripts that a pipeline calls, in order, `deploy` with its overlay. */
export function callsOf(tree: unknown): readonly string[] {
  return textsOf(tree).flatMap((text) =>
    [...text.matchAll(/\.github\/scripts\/([a-z]+)\.sh(?: ([a-z]+)\b)?/g)].map(([, name, overlay]) =>
      overlay === undefined ? String(name) : `${name} ${overlay}`,
    ),
  );
}

/** Names of the images, as the scripts have them. */
export function imagesOf(files: Files): readonly string[] {
  return /^images=\((.*)\)$/m.exec(String(files[paths.images]))?.[1]?.split(' ') ?? [];
}

/** Those of our overlays and of compose.yaml: all but that of jobs over Kafka, which a component and compose.jobs.yaml add. */
export function deployedOf(files: Files): readonly string[] {
  return imagesOf(files).filter((name) => name !== 'events');
}

/** A list of one fault, or of none. */
export const only = <T>(condition: boolean, fault: T): readonly T[] => (condition ? [fault] : []);
export const unique = <T>(values: readonly T[]): readonly T[] => [...new Set(values)];
export const entries = (tree: unknown) => Object.entries((tree ?? {}) as Tree);
/** One name or a list of names. */
export const names = (value: unknown): readonly string[] => (value === undefined ? [] : [value].flat().map(String));
