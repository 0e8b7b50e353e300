import { printable, sizeText } from '../../../lib/text.ts';
import type { Descriptor, ImageManifest } from '../../../oci/manifest.ts';
import { formatDemand, requirementsOf } from '../../../selection/demands.ts';
import { documentText } from '../../output.ts';
import { demandJson, platformText } from '../explain/format.ts';
import type { Inspected, Member } from './run.ts';

const LABEL_WIDTH = 10;

type Row = readonly [label: string, text: string];

function rows(all: readonly Row[], indent = ''): string {
  return all.map(([label, text]) => `${indent}${label.padEnd(LABEL_WIDTH)}${printable(text)}\n`).join('');
}

function annotationRows(annotations: Readonly<Record<string, string>>): readonly Row[] {
  return Object.entries(annotations).map(([name, value], at) => [
    at === 0 ? 'notes' : '',
    `${name} = ${value.length > 100 ? `${value.slice(0, 100)}…` : value}`,
  ]);
}

function layerRows(layers: readonly Descriptor[]): readonly Row[] {
  const total = layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const lines = layers.map(({ digest, sizeBytes }) => `${digest}  ${sizeText(sizeBytes)}`);
  const count = `${layers.length} ${layers.length === 1 ? 'layer' : 'layers'}, ${sizeText(total)}`;
  return [['layers', count], ...lines.map((line): Row => ['', line])];
}

function imageRows({ config, layers }: ImageManifest): readonly Row[] {
  return [['config', `${config.digest}  ${sizeText(config.sizeBytes)}`], ...layerRows(layers)];
}

function memberText({ entry, image, problem }: Member, position: number): string {
  const demands = requirementsOf(entry).map((demand) => `${formatDemand(demand)} (${demand.source})`);
  const { platform } = entry;
  const all: readonly Row[] = [
    ['digest', `${entry.digest}  ${sizeText(entry.sizeBytes)}`],
    ['type', entry.mediaType],
    ...(platform?.features.length ? [['features', platform.features.join(' ')] as const] : []),
    ...(platform?.osFeatures.length ? [['os feat.', platform.osFeatures.join(' ')] as const] : []),
    ...demands.map((demand, at): Row => [at === 0 ? 'demands' : '', demand]),
    ...annotationRows(entry.annotations),
    ...(image === undefined ? [] : imageRows(image)),
    ...(problem === undefined ? [] : [['problem', problem] as const]),
  ];
  return `\n${position + 1}  ${platformText(entry)}\n${rows(all, '   ')}`;
}

/** Formats the manifest and everything that it refers to, one block for each entry. */
export function renderText({ name, manifest, document, members }: Inspected): string {
  const head: readonly Row[] = [
    ['name', name],
    ['type', document.mediaType],
    ['digest', `${manifest.digest}  ${sizeText(manifest.bytes.length)}`],
  ];
  switch (document.kind) {
    case 'index':
      return (
        rows([...head, ['entries', String(members.length)], ...annotationRows(document.annotations)]) +
        members.map(memberText).join('')
      );
    case 'image':
      return rows([...head, ...annotationRows(document.annotations), ...imageRows(document)]);
    case 'opaque':
      return rows([...head, ['', document.reason]]);
  }
}

function imageJson({ config, layers }: ImageManifest) {
  return {
    config: { digest: config.digest, sizeBytes: config.sizeBytes, mediaType: config.mediaType },
    layers: layers.map(({ digest, sizeBytes, mediaType }) => ({ digest, sizeBytes, mediaType })),
  };
}

function memberJson({ entry, image, problem }: Member) {
  return {
    digest: entry.digest,
    mediaType: entry.mediaType,
    sizeBytes: entry.sizeBytes,
    platform: entry.raw['platform'] ?? null,
    annotations: entry.annotations,
    demands: requirementsOf(entry).map(demandJson),
    ...(image === undefined ? {} : imageJson(image)),
    ...(problem === undefined ? {} : { problem }),
  };
}

/** Formats everything for programs. */
export function renderJson({ name, manifest, document, members }: Inspected): string {
  return documentText<'inspect'>({
    image: name,
    digest: manifest.digest,
    mediaType: document.mediaType,
    sizeBytes: manifest.bytes.length,
    ...(document.kind === 'index'
      ? { annotations: document.annotations, entries: members.map(memberJson) }
      : {}),
    ...(document.kind === 'image' ? { annotations: document.annotations, ...imageJson(document) } : {}),
  });
}
