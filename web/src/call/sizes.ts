// How large a jitter buffer a direction needs, of the sizes the probe tries.

/** The share the statistics size buffers by, too. */
export const ENOUGH_PCT = 0.5;

export interface Size {
  size: number;
  share: number | null;
}

/** In order of size. */
export function sizesOf(latePct: Record<string, number | null>): Size[] {
  return Object.entries(latePct)
    .map(([size, share]) => ({ size: Number(size), share }))
    .sort((a, b) => a.size - b.size);
}

export function smallestEnough(sizes: Size[]): { size: number; share: number } | null {
  for (const { size, share } of sizes) if (share !== null && share < ENOUGH_PCT) return { size, share };
  return null;
}

const LEAST_PCT = 0.01;

/** Height of a share between 0 and 1, on a logarithmic scale from 0.01 to 100 %. */
export function heightOf(share: number): number {
  if (share <= LEAST_PCT) return 0;
  return Math.min(Math.log10(share / LEAST_PCT) / Math.log10(100 / LEAST_PCT), 1);
}
