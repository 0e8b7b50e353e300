import { parseFeature } from './features.ts';
import type { CpuProfile, GpuProfile, HardwareProfile, HostPlatform, HostProfile } from './profile.ts';

type JsonObject = Readonly<Record<string, unknown>>;

/**
 * Reads what `metahub detect --json` wrote; members that a profile does not have are ignored.
 * @throws {Error} naming the member that is missing or has the wrong type.
 */
export function parseProfile(json: unknown): HostProfile {
  const document = objectAt(json, 'the profile');
  const cpu = parseCpu(objectAt(document['cpu'], 'cpu'));
  const features = stringsAt(document['features'], 'features');
  const wrong = features.find((feature) => parseFeature(feature) === undefined);
  if (wrong !== undefined) throw new Error(`features: ${JSON.stringify(wrong)} is not a feature`);
  return {
    platform: parsePlatform(objectAt(document['platform'], 'platform')),
    cpu,
    gpus: arrayAt(document['gpus'], 'gpus').map((gpu, at) => parseGpu(objectAt(gpu, `gpus[${at}]`), at)),
    ...(document['hardware'] === undefined
      ? {}
      : { hardware: parseHardware(objectAt(document['hardware'], 'hardware')) }),
    features,
    warnings: stringsAt(document['warnings'], 'warnings'),
  };
}

function parsePlatform(platform: JsonObject): HostPlatform {
  const variant = optionalStringAt(platform['variant'], 'platform.variant');
  return {
    os: stringAt(platform['os'], 'platform.os'),
    architecture: stringAt(platform['architecture'], 'platform.architecture'),
    ...(variant === undefined ? {} : { variant }),
  };
}

function parseCpu(cpu: JsonObject): CpuProfile {
  const microarchitecture = stringAt(cpu['microarchitecture'], 'cpu.microarchitecture');
  const compatible = stringsAt(cpu['compatible'], 'cpu.compatible');
  return {
    microarchitecture,
    vendor: optionalStringAt(cpu['vendor'], 'cpu.vendor') ?? 'generic',
    compatible: compatible.includes(microarchitecture) ? compatible : [microarchitecture, ...compatible],
    flags: stringsAt(cpu['flags'], 'cpu.flags'),
  };
}

function parseHardware(hardware: JsonObject): HardwareProfile {
  const text = (key: 'kernel' | 'osId' | 'osVersion') => {
    const value = optionalStringAt(hardware[key], `hardware.${key}`);
    return value === undefined ? {} : { [key]: value };
  };
  const number = (key: 'cpuFamily' | 'cpuModel') => {
    const value = hardware[key];
    if (value === undefined) return {};
    if (Number.isSafeInteger(value)) return { [key]: value };
    throw new Error(`hardware.${key} must be a whole number`);
  };
  return {
    ...number('cpuFamily'),
    ...number('cpuModel'),
    ...text('kernel'),
    ...text('osId'),
    ...text('osVersion'),
    ...(hardware['pci'] === undefined ? {} : { pci: stringsAt(hardware['pci'], 'hardware.pci') }),
  };
}

function parseGpu(gpu: JsonObject, at: number): GpuProfile {
  const optional = (key: string) => {
    const value = optionalStringAt(gpu[key], `gpus[${at}].${key}`);
    return value === undefined ? {} : { [key]: value };
  };
  const integrated = gpu['integrated'];
  if (integrated !== undefined && typeof integrated !== 'boolean') {
    throw new Error(`gpus[${at}].integrated must be true or false`);
  }
  return {
    vendor: stringAt(gpu['vendor'], `gpus[${at}].vendor`),
    ...optional('name'),
    ...optional('computeCapability'),
    ...optional('gfxTarget'),
    ...(integrated === undefined ? {} : { integrated }),
  };
}

function objectAt(value: unknown, path: string): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw new Error(value === undefined ? `${path} is missing` : `${path} must be an object`);
}

function arrayAt(value: unknown, path: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new Error(value === undefined ? `${path} is missing` : `${path} must be a list`);
}

function stringsAt(value: unknown, path: string): readonly string[] {
  return arrayAt(value, path).map((item, at) => stringAt(item, `${path}[${at}]`));
}

function stringAt(value: unknown, path: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new Error(value === undefined ? `${path} is missing` : `${path} must be a word`);
}

/** Absent, or null as other programs write absence. */
function optionalStringAt(value: unknown, path: string): string | undefined {
  return value === undefined || value === null ? undefined : stringAt(value, path);
}
