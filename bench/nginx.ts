import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../test/support/loopback.ts';
import { startServer } from '../test/support/processes.ts';
import type { Workplace } from '../test/support/workplace.ts';
import { SERVER_CORES } from './drive.ts';

export interface Nginx {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** A certificate and its key. */
export interface Identity {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface NginxOptions {
  /** Directives of the one `server` block. */
  readonly server: string;
  /** Directives of the `http` block: caches, upstreams. */
  readonly http?: string;
  readonly tls?: Identity;
}

/**
 * Starts nginx with one worker, because every other server here is one process, and a directory for all that it
 * writes.
 */
export async function startNginx(workplace: Workplace, name: string, options: NginxOptions): Promise<Nginx> {
  const folder = workplace.folder(`nginx-${name}`);
  const port = await freePort();
  const { tls } = options;
  const identity = tls ? `ssl_certificate ${tls.certFile}; ssl_certificate_key ${tls.keyFile};` : '';
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path ${folder}/${kind};`,
  );
  const file = join(folder, 'nginx.conf');
  writeFileSync(
    file,
    `daemon off; user root; worker_processes 1; pid ${folder}/pid; error_log stderr notice;
    events { worker_connections 4096; }
    http {
      access_log off; sendfile on; tcp_nopush on; tcp_nodelay on;
      keepalive_requests 100000000; keepalive_timeout 65; open_file_cache max=1000 inactive=60s;
      ${paths.join(' ')}
      ${options.http ?? ''}
      server { listen 127.0.0.1:${port}${tls ? ' ssl' : ''}; ${identity} ${options.server} }
    }`,
  );
  const server = await startServer({
    command: 'taskset',
    args: ['--cpu-list', SERVER_CORES, 'nginx', '-e', 'stderr', '-c', file],
    ready: /start worker processes/,
  });
  const stop = async () => {
    await server.stop('SIGQUIT');
  };
  workplace.onClose(stop);
  return { url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`, pid: server.pid, stop };
}

/** A reverse proxy with the usual nginx settings for large bodies: buffers in memory, no temporary files. */
export function proxyTo(upstream: string): NginxOptions {
  const host = upstream.replace(/^https?:\/\//, '');
  const scheme = upstream.startsWith('https') ? 'https' : 'http';
  return {
    http: `upstream up { server ${host}; keepalive 64; }`,
    server: `location / { proxy_pass ${scheme}://up; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_max_temp_file_size 0; proxy_buffers 16 64k; proxy_buffer_size 64k; proxy_busy_buffers_size 128k; }`,
  };
}

/** The same proxy with a cache. */
export function cacheOf(upstream: string, folder: string): NginxOptions {
  const { http = '' } = proxyTo(upstream);
  return {
    http: `${http} proxy_cache_path ${folder} levels=1:2 keys_zone=c:10m max_size=20g inactive=1h use_temp_path=off;`,
    server: `location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache c; proxy_cache_key $uri$http_accept; proxy_cache_valid 200 1h;
      proxy_ignore_headers Vary Cache-Control; proxy_buffers 16 64k; proxy_buffer_size 64k; proxy_busy_buffers_size 128k; }`,
  };
}
