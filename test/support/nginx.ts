import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { IssuedCertificate } from './certificates.ts';
import { freePort } from './loopback.ts';
import { startServer } from './processes.ts';
import type { Workplace } from './workplace.ts';

export interface NginxOptions {
  /** The URL of a site, or those of its replicas, used in turn. */
  readonly backend: string | readonly string[];
  readonly certificate: IssuedCertificate;
}

/**
 * Starts nginx with a certificate in front of a site, as in docs/site.md and docs/replicas.md. Resolves with
 * `localhost:PORT`.
 */
export async function startNginx(
  workplace: Workplace,
  { backend, certificate }: NginxOptions,
): Promise<string> {
  const folder = workplace.folder('nginx');
  const port = await freePort();
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${join(folder, name)};`,
  );
  const servers = [backend].flat().map((url) => `server ${new URL(url).host} fail_timeout=2s;`);
  const configuration = `
error_log stderr notice;
pid ${join(folder, 'pid')};
events {}
http {
  access_log off;
  ${temporary.join('\n  ')}
  upstream replicas {
    ${servers.join('\n    ')}
    keepalive 32;
  }
  server {
    listen 127.0.0.1:${port} ssl;
    server_name localhost;
    ssl_certificate ${certificate.certFile};
    ssl_certificate_key ${certificate.keyFile};
    location / {
      proxy_pass http://replicas;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 15m;
    }
  }
}
`;
  const file = join(folder, 'nginx.conf');
  writeFileSync(file, configuration);
  const server = await startServer({
    command: 'nginx',
    args: ['-p', folder, '-c', file, '-e', 'stderr', '-g', 'daemon off;'],
    ready: /start worker process \d+/,
  });
  workplace.onClose(() => server.stop('SIGQUIT'));
  return `localhost:${port}`;
}
