import { describe, expect, test } from 'vitest';
import { choose, listedImages } from '../../src/catalog/choose.ts';
import { openCatalog } from '../../src/cli/settings/catalog.ts';
import { answersTo } from '../../src/oci/image-list.ts';
import { parseTag, type Tag } from '../../src/oci/reference.ts';
import { hostOf } from '../support/host-of.ts';

const catalog = await openCatalog();

/** The tag that a host gets of a list of the catalogue; undefined when none of its images runs there. */
async function tagFor(name: string, asked: string, host: string): Promise<string | undefined> {
  const { lists } = await catalog.entry(name);
  const tag = parseTag(asked) as Tag;
  const list = lists.find(({ spec }) => answersTo(spec, tag));
  if (list === undefined) throw new Error(`no list of ${name} answers to ${asked}`);
  const { image } = choose(listedImages(list.spec, tag), hostOf(host));
  return image?.name.slice(image.name.lastIndexOf(':') + 1);
}

/**
 * The pairs that text-embeddings-inference itself lets start: backends/candle/src/compute_cap.rs, `compute_cap_matching(runtime,
 * compile)` (facts only, Apache-2.0), for the GPUs whose build is published.
 */
describe('text-embeddings-inference, by its own table of compute capabilities', () => {
  test.each([
    ['7.0', 'cpu-1.9'],
    ['7.5', 'turing-1.9'],
    ['8.0', '1.9'],
    ['8.6', '86-1.9'],
    ['8.9', '89-1.9'],
    ['9.0', 'hopper-1.9'],
    ['10.0', '100-1.9'],
    ['10.3', 'cpu-1.9'],
    ['12.0', '120-1.9'],
    ['6.1', 'cpu-1.9'],
  ])('capability %s gets %s', async (capability, tag) => {
    expect(await tagFor('tei', '1.9', `cpu:icelake nvcap:${capability} cuda:13.0`)).toBe(tag);
  });

  test.each([
    ['a GB10, which is arm64', 'cpu:neoverse_v2 nvcap:12.1 cuda:13.0', '121-1.9'],
    ['a Grace Hopper, for which there is no build', 'cpu:neoverse_v2 nvcap:9.0 cuda:13.0', 'cpu-arm64-1.9'],
    ['an arm64 host', 'cpu:neoverse_n1', 'cpu-arm64-1.9'],
    ['a Gaudi2', 'cpu:icelake accel:habana-gaudi2', 'hpu-1.9'],
    ['a Battlemage', 'cpu:icelake accel:intel-battlemage', 'xpu-ipex-1.9'],
    ['an H100 whose driver runs CUDA 11.8 only', 'cpu:icelake nvcap:9.0 cuda:11.8', 'cpu-1.9'],
    ['a host without any accelerator', 'cpu:nehalem', 'cpu-1.9'],
  ])('%s', async (_, host, tag) => {
    expect(await tagFor('tei', '1.9', host)).toBe(tag);
  });

  test('-grpc goes with every prefix', async () => {
    expect(await tagFor('tei', '1.9-grpc', 'cpu:icelake nvcap:8.9 cuda:13.0')).toBe('89-1.9-grpc');
  });
});

/** The table "Supported GPU architectures" and the list of images of docs/docker.md (facts only, MIT). */
describe('llama.cpp, by its own list of images and table of targets', () => {
  test.each([
    ['gfx908', 'server-rocm'],
    ['gfx90a', 'server-rocm'],
    ['gfx942', 'server-rocm'],
    ['gfx950', 'server-rocm'],
    ['gfx1012', 'server-rocm'],
    ['gfx1036', 'server-rocm'],
    ['gfx1100', 'server-rocm'],
    ['gfx1151', 'server-rocm'],
    ['gfx1201', 'server-rocm'],
    ['gfx906', 'server'],
    ['gfx900', 'server'],
  ])('%s gets %s', async (target, tag) => {
    expect(await tagFor('llama.cpp', 'server', `cpu:zen4 gfx:${target}`)).toBe(tag);
  });

  test.each([
    ['a T4 with CUDA 12.4', 'cpu:skylake nvcap:7.5 cuda:12.4', 'server-cuda'],
    ['a T4 with CUDA 13.0', 'cpu:skylake nvcap:7.5 cuda:13.0', 'server-cuda13'],
    ['a V100, which CUDA 13 has left behind', 'cpu:skylake nvcap:7.0 cuda:13.0', 'server-cuda'],
    ['a GH200', 'cpu:neoverse_v2 nvcap:9.0 cuda:13.0', 'server-cuda13'],
    [
      'a Jetson Orin, for which the arm64 image is not built',
      'cpu:neoverse_n1 nvcap:8.7 cuda:12.6',
      'server',
    ],
    ['an MI50 with Mesa', 'cpu:zen4 gfx:gfx906 accel:vulkan', 'server-vulkan'],
    ['an MI300X with Mesa', 'cpu:zen4 gfx:gfx942 accel:vulkan', 'server-rocm'],
    ['an Arc with Mesa', 'cpu:zen4 accel:intel-arc accel:vulkan', 'server-intel'],
    ['a Moore Threads card', 'cpu:zen4 accel:musa', 'server-musa'],
    ['a Raspberry Pi', 'cpu:aarch64', 'server'],
  ])('%s', async (_, host, tag) => {
    expect(await tagFor('llama.cpp', 'server', host)).toBe(tag);
  });

  test('a build keeps its number behind the backend', async () => {
    expect(await tagFor('llama.cpp', 'full-b4719', 'cpu:zen4 gfx:gfx942')).toBe('full-rocm-b4719');
  });
});
