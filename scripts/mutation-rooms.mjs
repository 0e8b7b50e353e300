// The rooms of mutation testing. They are not in stryker.config.mjs, because loading that sets variables for
// the run.

/** The least score, in percent, of rooms without I/O. */
const PURE = 90;
/**
 * The least score, in percent, of rooms with sockets, disks and clocks, where some changes show only as time
 * or order of events.
 */
const EDGE = 80;

/**
 * For each room the files to change, the tests that must notice the changes, and the least score. A change of
 * a value that a module computes when it is loaded needs a run of all these tests; `tables` says where that
 * is worth the time. `lazy` names the modules that the program imports when it needs them: they are loaded
 * before the tests, because Stryker tries such a change only with the test that loads the module first.
 */
export const ROOMS = {
  oci: { mutate: ['src/oci/**/*.ts'], tests: 'test/oci/**/*.test.ts', least: PURE, tables: true },
  // The tables of host/data are facts, which test/host/idle-flags and the museum of hosts check against their
  // sources. A test of their strings would compare the table with itself.
  host: { mutate: ['src/host/**/*.ts', '!src/host/data/**'], tests: 'test/host/**/*.test.ts', least: PURE },
  selection: { mutate: ['src/selection/**/*.ts'], tests: 'test/selection/**/*.test.ts', least: PURE },
  auth: {
    mutate: ['src/upstream/auth/**/*.ts'],
    tests:
      'test/upstream/{challenge,challenge-parts,credentials-stay-home,faults-access,fuzz,keychain,push-forwarder,tokens,vanity-hosts}.test.ts',
    least: EDGE,
  },
  // The site by folder: in one run, its tests take longer than Stryker waits for them on a busy machine. long-bodies starts the
  // built program, which has no mutants.
  site: {
    mutate: ['src/site/*.ts'],
    tests: 'test/site/!(long-bodies|oidc|oidc-*|web|web-*).test.ts',
    least: EDGE,
  },
  'site-api': { mutate: ['src/site/api/**/*.ts'], tests: 'test/site/api/**/*.test.ts', least: EDGE },
  'site-enrolment': {
    mutate: ['src/site/enrolment/**/*.ts'],
    tests: 'test/site/enrolment/**/*.test.ts',
    least: EDGE,
    tables: true,
    lazy: ['cloud-identity', 'cloud-keys', 'challenge'].map((name) => `src/site/enrolment/${name}.ts`),
  },
  'site-oidc': { mutate: ['src/site/oidc/**/*.ts'], tests: 'test/site/{oidc,oidc-*}.test.ts', least: EDGE },
  'site-web': { mutate: ['src/site/web/**/*.ts'], tests: 'test/site/{web,web-*}.test.ts', least: EDGE },
  store: { mutate: ['src/store/**/*.ts'], tests: 'test/store/**/*.test.ts', least: EDGE },
  mirror: { mutate: ['src/mirror/**/*.ts'], tests: 'test/mirror/**/*.test.ts', least: EDGE },
};
