/**
 * A text that several people edit. It is handed to `openText`, `readText` and their like of `@selvedge/client/text`, which know what is in it
 * (Yjs does); an application that shows no text does not load them.
 */
export interface TextField {
  /** The entity that it is of, and the name of the field. */
  readonly entity: string
  readonly field: string
  /** Says which updates it is made of; equal lists are equal texts. */
  names(): readonly string[]
  /** Updates of Yjs, in the order of their names. */
  updates(): readonly Uint8Array[]
  /** Appends an update. */
  push(update: Uint8Array): void
  /** Replaces all updates by one that contains them. */
  squash(all: Uint8Array): void
  /** Calls `listener` when it may have changed. */
  subscribe(listener: () => void): () => void
}
