import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, onTestFinished, test } from 'vitest';
import { queryInstanceType } from '../../src/probe/cloud.ts';
import { probeHost } from '../../src/probe/host.ts';
import { collectDiagnostics } from '../../src/probe/host-root.ts';
import { listenOnLoopback } from '../support/loopback.ts';
import { dataDirectory } from '../support/store.ts';

async function metadataService(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  const port = await listenOnLoopback(server);
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${port}`;
}

async function ask(listener: RequestListener, limitMs = 60_000) {
  const problems = collectDiagnostics();
  const baseUrl = await metadataService(listener);
  const type = await queryInstanceType({ baseUrl, limitMs, problems });
  return { type, warnings: problems.warnings, failed: problems.failed() };
}

describe('instance types from cloud metadata services', () => {
  test('are read from AWS only with a token', async () => {
    const { type } = await ask((request, response) => {
      if (request.method === 'PUT' && request.url === '/latest/api/token') {
        response.end(request.headers['x-aws-ec2-metadata-token-ttl-seconds'] ? 'TOKEN' : '');
      } else if (
        request.url === '/latest/meta-data/instance-type' &&
        request.headers['x-aws-ec2-metadata-token'] === 'TOKEN'
      ) {
        response.end('c5.9xlarge');
      } else response.writeHead(401).end();
    });
    expect(type).toBe('c5.9xlarge');
  });

  test('are read from the end of Google’s path', async () => {
    const { type } = await ask((request, response) => {
      const isGoogle =
        request.url === '/computeMetadata/v1/instance/machine-type' &&
        request.headers['metadata-flavor'] === 'Google';
      response.writeHead(isGoogle ? 200 : 404).end('projects/1234/machineTypes/n2-standard-8');
    });
    expect(type).toBe('n2-standard-8');
  });

  test('are read from Azure’s size', async () => {
    const { type } = await ask((request, response) => {
      const isAzure =
        request.url?.startsWith('/metadata/instance/compute/vmSize?') &&
        request.headers['metadata'] === 'true';
      response.writeHead(isAzure ? 200 : 400).end('Standard_HB120rs_v3');
    });
    expect(type).toBe('Standard_HB120rs_v3');
  });

  test.each([
    [4096, 'Standard_HB120rs_v3'],
    [4097, undefined],
  ])('are read from an answer of %d characters: %s', async (characters, expected) => {
    const { type } = await ask((request, response) => {
      const isAzure = request.url?.startsWith('/metadata/instance/compute/vmSize?');
      response.writeHead(isAzure ? 200 : 400).end('Standard_HB120rs_v3'.padEnd(characters));
    });
    expect(type).toBe(expected);
  });

  test('cost no more than the time limit when the service never answers', async () => {
    const { type, warnings, failed } = await ask(() => {}, 200);
    expect(type).toBeUndefined();
    expect(failed).toBe(true);
    expect(warnings).toEqual(['no cloud metadata service named an instance type within 0.2 s']);
  });

  test('are abandoned in time when the service never answers, whatever memory is collected meanwhile', async () => {
    setFlagsFromString('--expose-gc');
    const collect: () => void = runInNewContext('gc');
    const collecting = setInterval(collect, 20);
    onTestFinished(() => clearInterval(collecting));
    expect((await ask(() => {}, 300)).type).toBeUndefined();
  });

  test('are not read from a captive portal’s page', async () => {
    const { type, failed } = await ask((_request, response) => response.end('<html>please log in</html>'));
    expect(type).toBeUndefined();
    expect(failed).toBe(true);
  });

  test('are cut off when the response is endless', async () => {
    const { type } = await ask((_request, response) => {
      const timer = setInterval(() => response.write('x'.repeat(4096)), 1);
      response.on('close', () => clearInterval(timer));
    });
    expect(type).toBeUndefined();
  });
});

/** What node:http asks from now on, whoever asks. */
function requestsFromNow(): readonly unknown[] {
  const asked: unknown[] = [];
  const note = (message: unknown) => asked.push(message);
  subscribe('http.client.request.start', note);
  onTestFinished(() => {
    unsubscribe('http.client.request.start', note);
  });
  return asked;
}

test('probeHost() sends no metadata request without --cloud', async () => {
  const asked = requestsFromNow();
  const { facts } = await probeHost({ root: '/', now: () => new Date() });
  expect(facts.os).not.toBe('');
  expect(asked).toEqual([]);
});

test('probeHost() sends no metadata request for a captured tree, even with --cloud, because it would describe this machine', async () => {
  const asked = requestsFromNow();
  const root = await dataDirectory();
  mkdirSync(join(root, 'proc'));
  writeFileSync(join(root, 'proc/cpuinfo'), 'processor\t: 0\nvendor_id\t: GenuineIntel\n');
  const { facts } = await probeHost({ root, architecture: 'amd64', cloud: true, now: () => new Date() });
  expect([facts.cpu.vendor, facts.system.instanceType]).toEqual(['GenuineIntel', undefined]);
  expect(asked).toEqual([]);
});
