// What tabs say to each other about documents.

import type { Edit, Text } from "./entity.js"
import type { News } from "./mirror.js"
import type { WakeUp } from "./push.js"
import type { Origin } from "./rows.js"
import type { Peer, Right, WorkspaceState } from "./workspace.js"
import type { Failure } from "./tabs/message.js"
import { parse, type Content } from "./values.js"
import type { Whole } from "./whole.js"

/** What a tab posts: changes to a document, each of several edits. */
export interface DocumentPost {
  readonly id: string
  readonly changes: readonly (readonly Edit[])[]
}

/** What a tab asks of the one that leads. It may be asked twice, of two that lead one after the other. */
export type Question =
  | { readonly type: "hello" }
  | { readonly type: "documents" }
  | { readonly type: "create"; readonly id: string; readonly title: string; readonly isEncrypted: boolean }
  | { readonly type: "open"; readonly id: string }
  | { readonly type: "join"; readonly link: string }
  | { readonly type: "forget"; readonly id: string }
  | { readonly type: "synced"; readonly id: string }
  | { readonly type: "history"; readonly id: string; readonly entity: string; readonly field: string | undefined }
  | { readonly type: "invite"; readonly id: string; readonly rights: readonly Right[]; readonly once: boolean }
  | { readonly type: "members"; readonly id: string }
  | { readonly type: "remove"; readonly id: string; readonly device: string }
  | { readonly type: "inspect"; readonly id: string }
  | { readonly type: "wake"; readonly by: WakeUp | undefined }
  | { readonly type: "show"; readonly id: string; readonly state: string | undefined }
  | { readonly type: "hurry" }

/** A question, and whose it is. */
export interface Asked {
  readonly tab: string
  readonly question: Question
}

/** How it stands, as who leads sees it. */
export type Standing = Omit<WorkspaceState, "role" | "unsaved" | "isVolatile" | "trouble"> & {
  /** An error would lose its kind on the way to another tab. */
  readonly trouble: Failure | undefined
}

/** Who this device is, and how it stands. */
export interface Hello {
  readonly device: string
  readonly standing: Standing
}

/** Entities as the engine writes them: JSON of the fields, and texts. */
export type RawNews = readonly (readonly [id: string, json: string | undefined, texts: readonly unknown[]])[]

/** What who leads tells all tabs. */
export type Told =
  | {
      readonly type: "news"
      readonly id: string
      /** Of who leads; `version` counts what is told of a document in it. */
      readonly term: string
      readonly version: number
      readonly news: RawNews
      /** Whose post it came of, and which. */
      readonly tab: string | undefined
      readonly taken: number
      readonly origin: Origin
    }
  /** Anything may be otherwise: it is to be opened again. */
  | { readonly type: "anew"; readonly id: string }
  | { readonly type: "forgotten"; readonly id: string }
  | { readonly type: "peers"; readonly id: string; readonly peers: readonly Peer[] }
  | { readonly type: "standing"; readonly standing: Standing }

/** Everything of a document. */
export interface Opened {
  readonly term: string
  readonly version: number
  readonly whole: Whole
  /** The last post of the tab that asks that is in it. */
  readonly taken: number
  readonly info: { readonly title: string; readonly isEncrypted: boolean; readonly rights: readonly Right[] | undefined }
  readonly peers: readonly Peer[]
}

export function readNews(raw: RawNews): News {
  return raw.map(([id, json, texts]) => {
    const fields = json === undefined ? undefined : parse<Record<string, Content>>(json)
    return [id, fields && { fields, texts: readTexts(texts) }]
  })
}

/** Texts from a flat list of field, names, updates. */
function readTexts(flat: readonly unknown[]): Record<string, Text> {
  const texts: [field: string, text: Text][] = []
  for (let at = 0; at < flat.length; at += 3) {
    texts.push([flat[at] as string, { names: flat[at + 1] as string[], updates: flat[at + 2] as Uint8Array[] }])
  }
  return Object.fromEntries(texts)
}
