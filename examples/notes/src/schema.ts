import { defineSchema, t, type Doc, type Row } from "@selvedge/client"

/** What a vault is made of. */
export const schema = defineSchema({
  notes: {
    title: t.string(),
    folder: t.ref("folders"),
    tags: t.set(t.string()),
    body: t.text(),
    /** Milliseconds since 1970. */
    created: t.int(),
    updated: t.int(),
    pinned: t.bool(),
    /** A template is a note that others are made of. */
    template: t.bool(),
    /** When it was put into the trash. */
    trashed: t.optional(t.int()),
  },
  folders: {
    name: t.string(),
    parent: t.ref("folders"),
  },
  /** One entity, `about/vault`: what everybody calls it. */
  about: {
    name: t.string(),
  },
})

export type VaultDoc = Doc<(typeof schema)["collections"]>
export type NoteRow = Row<(typeof schema)["collections"]["notes"]>

/** Where the name of a vault is. */
export const ABOUT = "about/vault"
