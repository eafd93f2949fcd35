// What pages say to their worker, and it to them. The first is also the tag of Background Sync.

export const FLUSH = "selvedge-flush"
export const TAKE_OVER = "selvedge-take-over"

/** What the caches begin with that have the files of a version; the version is the rest. */
export const filesOf = (scope: string) => `selvedge-files:${scope}:`
