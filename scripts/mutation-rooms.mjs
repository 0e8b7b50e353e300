// The rooms of mutation testing. They stand apart from stryker.config.mjs, which sets variables for the run that loads it.

/** Rooms without I/O: nothing excuses a change that no test notices. */
const PURE = 90;
/** Rooms whose code meets sockets, disks and clocks: some changes show only as time or as another order of events. */
const EDGE = 80;

/**
 * What is changed in each room, by which tests it must be noticed, and the least share noticed. A change of what a module
 * works out once, when it is loaded, takes a run of all these tests: `tables` says where that is worth the time.
 */
export const ROOMS = {
  oci: { mutate: ['src/oci/**/*.ts'], tests: 'test/oci/**/*.test.ts', least: PURE, tables: true },
  // The tables of host/data are facts, checked against their sources by test/host/idle-flags and the museum of hosts:
  // to change one of their strings would test the table with itself.
  host: { mutate: ['src/host/**/*.ts', '!src/host/data/**'], tests: 'test/host/**/*.test.ts', least: PURE },
  selection: { mutate: ['src/selection/**/*.ts'], tests: 'test/selection/**/*.test.ts', least: PURE },
  auth: {
    mutate: ['src/upstream/auth/**/*.ts'],
    tests:
      'test/upstream/{challenge,challenge-parts,credentials-stay-home,faults-access,fuzz,keychain,push-forwarder,tokens,vanity-hosts}.test.ts',
    least: EDGE,
  },
  // long-bodies starts the program as it was built, in which nothing is changed.
  site: { mutate: ['src/site/**/*.ts'], tests: 'test/site/**/!(long-bodies).test.ts', least: EDGE },
  store: { mutate: ['src/store/**/*.ts'], tests: 'test/store/**/*.test.ts', least: EDGE },
  mirror: { mutate: ['src/mirror/**/*.ts'], tests: 'test/mirror/**/*.test.ts', least: EDGE },
};
