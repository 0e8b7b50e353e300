// In the words of Node.js 4: an older one than MetaHub runs on must be able to say so.
'use strict';

/** The lowest supported version of each line: `engines` of package.json. zlib.crc32 is in no older one. */
const NEEDED = 'Node.js 20.19 or a later 20, or 22.12 or newer';

function isSupported(version) {
  const parts = version.split('.').map(Number);
  const major = parts[0];
  const minor = parts[1];
  if (major === 20) return minor >= 19;
  if (major === 22) return minor >= 12;
  return major > 22;
}

/** Ends the process, with what to do, on a Node.js that cannot run MetaHub. */
function assertSupported(version) {
  if (isSupported(version)) return;
  process.stderr.write(
    'metahub: needs ' +
      NEEDED +
      '; this is ' +
      version +
      ' (' +
      process.execPath +
      ')\n' +
      '  Install a newer Node.js, or the Debian package of MetaHub, which brings its own.\n',
  );
  process.exit(1);
}

module.exports = { isSupported: isSupported, assertSupported: assertSupported };
