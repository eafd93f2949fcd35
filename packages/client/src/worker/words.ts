// What pages say to their worker, and it to them. The first is also the tag of Background Sync.

export const FLUSH = "selvedge-flush"
export const TAKE_OVER = "selvedge-take-over"
