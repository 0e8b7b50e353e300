/**
 * The first driver branch that runs each CUDA release without a compatibility package, newest first.
 * Source: NVIDIA's CUDA Toolkit release notes, table "CUDA Toolkit and Corresponding Driver Versions" (facts only).
 * @see https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/
 */
const CUDA_BY_BRANCH: readonly (readonly [branch: number, cuda: string])[] = [
  [590, '13.1'],
  [580, '13.0'],
  [575, '12.9'],
  [570, '12.8'],
  [565, '12.7'],
  [560, '12.6'],
  [555, '12.5'],
  [550, '12.4'],
  [545, '12.3'],
  [535, '12.2'],
  [530, '12.1'],
  [525, '12.0'],
  [520, '11.8'],
  [515, '11.7'],
  [510, '11.6'],
  [495, '11.5'],
  [470, '11.4'],
  [465, '11.3'],
  [460, '11.2'],
  [455, '11.1'],
  [450, '11.0'],
  [440, '10.2'],
  [418, '10.1'],
  [410, '10.0'],
  [396, '9.2'],
  [390, '9.1'],
  [384, '9.0'],
];

/** The greatest CUDA that a driver (`535.104.05`) runs; nothing for a driver older than CUDA 9. */
export function greatestCuda(driver: string): string | undefined {
  const branch = Number.parseInt(driver, 10);
  return CUDA_BY_BRANCH.find(([first]) => branch >= first)?.[1];
}
