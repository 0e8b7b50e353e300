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

describe('cloud metadata services', () => {
  test('AWS tells the instance type only to who brings a token', async () => {
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

  test('Google names it at the end of a path', async () => {
    const { type } = await ask((request, response) => {
      const isGoogle =
        request.url === '/computeMetadata/v1/instance/machine-type' &&
        request.headers['metadata-flavor'] === 'Google';
      response.writeHead(isGoogle ? 200 : 404).end('projects/1234/machineTypes/n2-standard-8');
    });
    expect(type).toBe('n2-standard-8');
  });

  test('read the instance type from what Azure calls the size', async () => {
    const { type } = await ask((request, response) => {
      const isAzure =
        request.url?.startsWith('/metadata/instance/compute/vmSize?') &&
        request.headers['metadata'] === 'true';
      response.writeHead(isAzure ? 200 : 400).end('Standard_HB120rs_v3');
    });
    expect(type).toBe('Standard_HB120rs_v3');
  });

  test('that never answer cost no more than the limit', async () => {
    const { type, warnings, failed } = await ask(() => {}, 200);
    expect(type).toBeUndefined();
    expect(failed).toBe(true);
    expect(warnings).toEqual(['no cloud metadata service named an instance type within 0.2 s']);
  });

  test('that never answer are given up in time, whatever memory is cleared meanwhile', async () => {
    setFlagsFromString('--expose-gc');
    const collect: () => void = runInNewContext('gc');
    const collecting = setInterval(collect, 20);
    onTestFinished(() => clearInterval(collecting));
    expect((await ask(() => {}, 300)).type).toBeUndefined();
  });

  test('a portal that answers everything with its page is not believed', async () => {
    const { type, failed } = await ask((_request, response) => response.end('<html>please log in</html>'));
    expect(type).toBeUndefined();
    expect(failed).toBe(true);
  });

  test('an endless answer is cut off', async () => {
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

test('probeHost() asks no metadata service on this machine without --cloud', async () => {
  const asked = requestsFromNow();
  const { facts } = await probeHost({ root: '/', now: () => new Date() });
  expect(facts.os).not.toBe('');
  expect(asked).toEqual([]);
});

test('probeHost() asks no metadata service for a captured tree, even with --cloud: it would answer for this machine', async () => {
  const asked = requestsFromNow();
  const root = await dataDirectory();
  mkdirSync(join(root, 'proc'));
  writeFileSync(join(root, 'proc/cpuinfo'), 'processor\t: 0\nvendor_id\t: GenuineIntel\n');
  const { facts } = await probeHost({ root, architecture: 'amd64', cloud: true, now: () => new Date() });
  expect([facts.cpu.vendor, facts.system.instanceType]).toEqual(['GenuineIntel', undefined]);
  expect(asked).toEqual([]);
});
