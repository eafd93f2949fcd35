import type { Session } from "./engine.js"
import type { Value } from "./schema.js"
import type { Store } from "./store.js"
import { isSame, parse, type Content } from "./values.js"
import type { Former } from "./workspace.js"

/** What is written within this time is one version: every keystroke would be none. */
const APART_MS = 120_000
/** Versions of an entity, at most; the oldest go. */
const VERSIONS_MAX = 100
/** An entity that is larger has no versions. */
const BYTES_MAX = 512 << 10

/** An entity as it was. */
interface Version {
  readonly at: number
  readonly by: string
  readonly json: string
  readonly texts: readonly unknown[]
}

/** What entities were before: versions, stored beside the documents. The log at the relay begins with a snapshot, and has no past. */
export class Past {
  readonly #store: Store
  /** When the last version of an entity was written. */
  readonly #known = new Map<string, number>()

  constructor(store: Store) {
    this.#store = store
  }

  /**
   * What is to be stored of these entities as they are: before they are changed here, and after others changed them. Together that is all
   * that there was, but for what followed within a short time.
   */
  versions(session: Session, document: string, ids: Iterable<string>): Record<string, unknown> {
    const meta: Record<string, unknown> = {}
    for (const entity of ids) {
      const key = prefix(document, entity)
      const now = Date.now()
      if (Math.abs(now - (this.#known.get(key) ?? -Infinity)) < APART_MS) continue
      const version = versionOf(session, document, entity)
      if (!version) continue
      this.#known.set(key, now)
      meta[`${key}${String(version.at).padStart(15, "0")}`] = version
      void this.#trim(key)
    }
    return meta
  }

  /** The keys under which versions of a document are stored. */
  keys(document: string): Promise<string[]> {
    return this.#store.metaKeys(`past:${document}\0`)
  }

  /** What was written to an entity, the newest first. */
  async of({ id, entity, field }: { id: string; entity: string; field: string | undefined }, own: string): Promise<Former[]> {
    const versions = await this.#read(`${prefix(id, entity)}`)
    const formers = versions.flatMap((version, at) => changes(versions[at - 1], version, own))
    return formers.filter(former => field === undefined || former.field === field).reverse()
  }

  async #trim(key: string): Promise<void> {
    const found = await this.#store.metaKeys(key).catch(() => [])
    const old = found.slice(0, Math.max(found.length - VERSIONS_MAX, 0))
    if (old.length > 0)
      await this.#store.save({ meta: Object.fromEntries(old.map(key => [key, undefined])) }).catch(() => undefined)
  }

  async #read(key: string): Promise<Version[]> {
    const found = await this.#store.metaKeys(key)
    return Promise.all(found.map(async key => (await this.#store.meta(key)) as Version))
  }
}

const prefix = (document: string, entity: string) => `past:${document}\0${entity}\0`

function versionOf(session: Session, document: string, entity: string): Version | undefined {
  const json = session.object(document, entity)
  if (json === undefined || json.length > BYTES_MAX) return undefined
  const texts = session.texts(document, entity) as unknown[]
  const bytes = texts.filter((_, at) => at % 3 === 2).flat() as Uint8Array[]
  if (bytes.reduce((sum, { length }) => sum + length, 0) > BYTES_MAX) return undefined
  const [at, by] = session.lastStamp(document, entity) as [number?, string?]
  return { at: at ?? Date.now(), by: by ?? "", json, texts }
}

/** What a version changed against the one before. */
function changes(before: Version | undefined, { at, by, json, texts }: Version, own: string): Former[] {
  const [old, now] = [before ? contents(before.json, before.texts) : {}, contents(json, texts)]
  const fields = new Set([...Object.keys(old), ...Object.keys(now)])
  const changed = [...fields].filter(field => !isSame(old[field], now[field]))
  return changed.map(field => ({ field, value: now[field] as Value | undefined, at, by, isOwn: by === own }))
}

/** Fields and texts of a version; a text is its updates. */
function contents(json: string, texts: readonly unknown[]): Record<string, Content | readonly Uint8Array[] | undefined> {
  const fields = parse<Record<string, Content>>(json)
  const found = texts.flatMap((field, at) => (at % 3 === 0 ? [[field as string, texts[at + 2] as Uint8Array[]] as const] : []))
  return { ...fields, ...Object.fromEntries(found) }
}
